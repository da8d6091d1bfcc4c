"""
Limits of the code: sizes, docstrings, named exceptions, no import cycles.

Code that is better above a limit is listed here with the reason.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = sorted(path for path in (ROOT / "eventwriter").rglob("*.py") if not path.stem.endswith("_pb2"))
OURS = [*PACKAGE, *sorted((ROOT / "benchmarks").rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 6

LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS = {
    "eventwriter/tables/ocsf/events_from_logs.py:builder": "each value once, in the order of the columns",
    "eventwriter/tables/ocsf/network_activity.py:row_maker": "each value once, in the order of the columns",
    "eventwriter/tables/ocsf/network_activity_from_ocsf.py:builder": "each value once, in the order of the columns",
    "eventwriter/tables/otel/metrics.py:builder": "each value once, in the order of the columns",
}
BROAD_HANDLERS = {
    "eventwriter/worker/main.py:run": "entry of the worker process, which reports its failure before it exits",
    "eventwriter/supervisor/main.py:run": "entry of the supervisor process, which closes its workers",
    "eventwriter/supervisor/main.py:_answer_request": "a defect in a verb must not end the supervisor and all workers",
    "eventwriter/supervisor/requests.py:encode_answer": "a malformed reply of a worker must not end the supervisor",
    "eventwriter/kinds/registry.py:custom_kind": "code of another package, which may raise anything",
    "eventwriter/kinds/registry.py:decode": "code of another package, which may raise anything",
    "eventwriter/kinds/registry.py:row": "code of another package, which may raise anything",
    "eventwriter/pipeline/decode.py:__call__": "a defect of a decoder must not end worker after worker",
    "eventwriter/pipeline/decode.py:_not_decoded": "a defect of a decoder must not end worker after worker",
    "eventwriter/pipeline/batcher.py:_encode_rows": "a defect of a row builder must not end worker after worker",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    """Return a path in the form of the lists above."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Yield a file's functions and methods with their `file:name`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield f"{named(path)}:{node.name}", node


def lines(node: Function) -> int:
    """Return the number of a function's lines without its docstring, whose length is not limited."""
    assert node.end_lineno is not None
    count = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None and first.end_lineno is not None:
        count -= first.end_lineno - first.lineno + 1
    return count


def parameters(node: Function) -> int:
    """Return the number of parameters without self and cls."""
    args = node.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def public(nodes: list[ast.stmt], within: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield public classes, functions and methods, also within classes."""
    for node in nodes:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield f"{within}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{within}{node.name}.")


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, also inside functions; imports for type checking do not count."""
    found = set()
    waiting: list[ast.AST] = list(tree(path).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        else:
            waiting += list(ast.iter_child_nodes(node))
    return found


def module(path: Path) -> str:
    """Return a file's module name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def broad_handlers(path: Path) -> Iterator[str]:
    """Yield, as `file:function`, the innermost functions that catch every exception."""
    waiting: list[tuple[str, ast.AST]] = [("", tree(path))]
    while waiting:
        within, node = waiting.pop()
        if isinstance(node, ast.ExceptHandler) and is_broad(node):
            yield f"{named(path)}:{within}"
        within = node.name if isinstance(node, Function) else within
        waiting += [(within, child) for child in ast.iter_child_nodes(node)]


def is_command(node: Function) -> bool:
    """Return whether a function is a click command, which has a parameter for each option."""
    return any("option(" in ast.unparse(decorator) for decorator in node.decorator_list)


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler catches every exception; one that raises it again at its end does not count."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )
    last = handler.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


def test_files_are_short() -> None:
    """No file has more than 500 lines, except for the listed ones."""
    long = {named(path) for path in OURS if len(path.read_text().splitlines()) > FILE_LINES_MAX}

    assert set() == long - set(LONG_FILES)


def test_functions_are_short() -> None:
    """No function has more than 60 lines besides its docstring, except for the listed ones."""
    long = {name for path in OURS for name, node in functions(path) if lines(node) > FUNCTION_LINES_MAX}

    assert set() == long - set(LONG_FUNCTIONS)


def test_functions_have_few_parameters() -> None:
    """No function has more than six parameters besides self, except for click commands."""
    many = {
        name
        for path in OURS
        for name, node in functions(path)
        if parameters(node) > PARAMETERS_MAX and not is_command(node)
    }

    assert set() == many


def test_exceptions_are_named() -> None:
    """Every exception is caught only by the listed functions; all other handlers name what they catch."""
    broad = {place for path in PACKAGE for place in broad_handlers(path)}

    assert set() == broad - set(BROAD_HANDLERS)


def test_public_names_have_docstrings() -> None:
    """Every module and every public class, function and method has a docstring."""
    bare = {named(path) for path in OURS if ast.get_docstring(tree(path)) is None}
    bare |= {
        f"{named(path)}:{name}"
        for path in PACKAGE
        for name, node in public(tree(path).body, "")
        if isinstance(node, ast.ClassDef | Function) and ast.get_docstring(node) is None
    }

    assert set() == bare


def test_tests_state_their_claims() -> None:
    """Every test has a docstring that states a fact, not a wish."""
    tests = [(name, node) for path in TESTS for name, node in functions(path) if node.name.startswith("test_")]
    bare = [name for name, node in tests if ast.get_docstring(node) is None]
    wishful = [name for name, node in tests if re.search(r"\bshould\b", ast.get_docstring(node) or "")]

    assert tests
    assert ([], []) == (bare, wishful)


def test_imports_have_no_cycle() -> None:
    """The modules can be ordered so that each one imports only earlier ones, also inside functions."""
    modules = {module(path) for path in PACKAGE}
    graph = {module(path): (imported(path) & modules) - {module(path)} for path in PACKAGE}
    # `from eventwriter import clock` also names the package, which is always imported first.
    graph = {name: needs - {name.rpartition(".")[0]} for name, needs in graph.items()}

    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))

    assert modules == set(order)


def test_ignored_type_errors_have_codes() -> None:
    """Every comment that ignores a type error names its code."""
    bare = [
        f"{named(path)}:{number}"
        for path in [*OURS, *TESTS]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*type:\s*ignore(?!\[)", line) and path != Path(__file__)
    ]

    assert [] == bare


@pytest.mark.parametrize(
    ("listed", "measured"),
    [
        (LONG_FILES, lambda: {named(path) for path in OURS if len(path.read_text().splitlines()) > FILE_LINES_MAX}),
        (
            LONG_FUNCTIONS,
            lambda: {n for path in OURS for n, node in functions(path) if lines(node) > FUNCTION_LINES_MAX},
        ),
        (BROAD_HANDLERS, lambda: {place for path in PACKAGE for place in broad_handlers(path)}),
    ],
    ids=["long files", "long functions", "broad handlers"],
)
def test_lists_contain_only_exceptions(listed: dict[str, str], measured: Callable[[], set[str]]) -> None:
    """Everything in the lists of exceptions is above its limit, so the lists shrink with the code."""
    assert set() == set(listed) - measured()


def test_measures_find_what_they_measure() -> None:
    """The measuring functions find what they look for in sample code."""
    code = ast.parse("""
def long(self, a, *, b):
    'Docstring.'
    try:
        pass
    except Exception:
        return 1
""")
    (function,) = code.body
    assert isinstance(function, Function)
    handler = next(node for node in ast.walk(code) if isinstance(node, ast.ExceptHandler))

    assert (5, 2, True) == (lines(function), parameters(function), is_broad(handler))
