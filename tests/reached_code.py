"""
Functions of the package that the decoder and the row builders of a kind may call, and what those raise and read.

The source is read, not run: each name that is mentioned counts as called. So nothing is missed, and few names are
superfluous.
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
    """One module's top-level definitions, and what its names stand for."""

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

    def mentioned(self, name: str) -> Iterator[Place]:
        """Yield what a definition mentions of ours."""
        for node in ast.walk(self.definitions[name]):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, inner = self.imported.get(node.value.id, ("", ""))
                yield f"{module}.{inner}", node.attr
            if isinstance(node, ast.Name):
                yield self.imported.get(node.id, (self.name, node.id))


@functools.cache
def module(name: str) -> Module | None:
    """Return one of our modules; None where there is none of that name."""
    if not name.startswith("eventwriter."):
        return None
    try:
        return Module(name) if importlib.util.find_spec(name) else None
    except ModuleNotFoundError:
        return None


def starts(act: Any) -> Iterator[Place]:
    """Yield where a callable is defined, and the functions that it holds."""
    if isinstance(act, functools.partial):
        for part in (act.func, *act.args):
            yield from starts(part)
    elif callable(act) and hasattr(act, "__qualname__"):
        yield act.__module__, act.__qualname__.partition(".")[0]
        for cell in getattr(act, "__closure__", None) or ():
            yield from starts(cell.cell_contents)
    elif callable(act):
        yield type(act).__module__, type(act).__qualname__
        for held in vars(act).values():
            yield from starts(held)


def reached(acts: list[Callable[..., Any]]) -> list[ast.AST]:
    """Return the definitions that functions lead to."""
    waiting = [place for act in acts for place in starts(act)]
    seen: dict[Place, ast.AST] = {}
    while waiting:
        place = waiting.pop()
        found = module(place[0])
        if place in seen or found is None or place[1] not in found.definitions:
            continue
        seen[place] = found.definitions[place[1]]
        waiting += found.mentioned(place[1])
    return list(seen.values())


def of_kind(kind: Kind) -> list[ast.AST]:
    """Return all that decodes a kind's messages and builds its rows."""
    tables = [table for one in (*kind.tables, *kind.also) for table in (one, *one.variants.values())]
    acts: list[Callable[..., Any]] = [kind.decode, *(table.builder for table in tables)]
    return reached([*acts, *([kind.any_table] if kind.any_table else [])])


def reasons(code: list[ast.AST]) -> set[str]:
    """Return the reasons of poison that may be raised, also by way of `otlp.json.Invalid`."""
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
    """Return the options of a stream's entry that are read."""
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
