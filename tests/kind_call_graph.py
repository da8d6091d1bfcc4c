"""
Static call graph of a kind: the functions that its decoder and row builders may call.

The tests of the documentation derive the dead letter reasons and the options of a kind from these functions. The source
is parsed, not run, and each name that a function refers to counts as a call, so the graph is complete but may contain
functions that are never called.
"""

import ast
import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eventwriter.kinds.registry import Kind

Place = tuple[str, str]
"""(module, top-level name in it)."""


class Module:
    """The top-level definitions and the imports of one module."""

    def __init__(self, name: str) -> None:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text())
        self.name = name
        self.definitions: dict[str, ast.AST] = {}
        self.imported: dict[str, Place] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.definitions[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    names = [one.id for one in ast.walk(target) if isinstance(one, ast.Name)]
                    self.definitions.update(dict.fromkeys(names, node))
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (node.module, alias.name)

    def references(self, name: str) -> Iterator[Place]:
        """Yield the places that a definition refers to."""
        for node in ast.walk(self.definitions[name]):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, inner = self.imported.get(node.value.id, ("", ""))
                yield f"{module}.{inner}", node.attr
            if isinstance(node, ast.Name):
                yield self.imported.get(node.id, (self.name, node.id))


@functools.cache
def module(name: str) -> Module | None:
    """Return a module of the package, or None if the package has no module of this name."""
    if not name.startswith("eventwriter."):
        return None
    try:
        return Module(name) if importlib.util.find_spec(name) else None
    except ModuleNotFoundError:
        return None


def definition_places(function: Any) -> Iterator[Place]:
    """Yield where a callable and the callables that it holds are defined."""
    if isinstance(function, functools.partial):
        for part in (function.func, *function.args):
            yield from definition_places(part)
    elif callable(function) and hasattr(function, "__qualname__"):
        yield function.__module__, function.__qualname__.partition(".")[0]
        for cell in getattr(function, "__closure__", None) or ():
            yield from definition_places(cell.cell_contents)
    elif callable(function):
        yield type(function).__module__, type(function).__qualname__
        for held in vars(function).values():
            yield from definition_places(held)


def reachable(functions: list[Callable[..., Any]]) -> list[ast.AST]:
    """Return the definitions that can be reached from functions."""
    waiting = [place for function in functions for place in definition_places(function)]
    seen: dict[Place, ast.AST] = {}
    while waiting:
        place = waiting.pop()
        found = module(place[0])
        if place in seen or found is None or place[1] not in found.definitions:
            continue
        seen[place] = found.definitions[place[1]]
        waiting += found.references(place[1])
    return list(seen.values())


def code_of(kind: Kind) -> list[ast.AST]:
    """Return the definitions that decode the messages of a kind and build its rows."""
    tables = [table for one in (*kind.tables, *kind.also) for table in (one, *one.variants.values())]
    functions: list[Callable[..., Any]] = [kind.decode, *(table.builder for table in tables)]
    return reachable([*functions, *([kind.any_table] if kind.any_table else [])])


def reasons(code: list[ast.AST]) -> set[str]:
    """Return the dead letter reasons that the code may raise as `Poison` or as `otlp.json.Invalid`."""
    calls = [
        node
        for part in code
        for node in ast.walk(part)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    poison = [call.args[0] for call in calls if call.func.id == "Poison"]  # type: ignore[attr-defined]
    invalid = [call.args[1] for call in calls if call.func.id == "Invalid" and len(call.args) > 1]  # type: ignore[attr-defined]
    return {reason.value for reason in (*poison, *invalid) if isinstance(reason, ast.Constant)}


def options(code: list[ast.AST]) -> set[str]:
    """Return the options of a stream entry that the code reads."""
    return {
        node.args[0].value
        for part in code
        for node in ast.walk(part)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and ast.unparse(node.func.value) in ("options", "build.options")
        and isinstance(node.args[0], ast.Constant)
    }
