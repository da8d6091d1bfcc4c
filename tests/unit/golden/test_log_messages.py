"""The log messages of the package, collected from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

from fix_golden import CheckGolden

import eventwriter

PACKAGE = Path(eventwriter.__file__).parent
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a logger's method, with the level; `log.log(level, …)` has the level "log"."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "logger" | "_log"), attr=level)):
                if level in LEVELS:
                    yield level, node


def texts(message: ast.expr) -> list[str]:
    """Return the texts a message can have; `{}` stands for a value that is filled in."""
    match message:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return ["".join(v.value if isinstance(v, ast.Constant) else "{}" for v in values)]
        case ast.IfExp(body=one, orelse=other):
            return [*texts(one), *texts(other)]
    return ["{}"]


def extra_keys(call: ast.Call) -> str:
    """Return the sorted keys of the call's `extra`; "…" stands for keys that are not literals."""
    keys: set[str] = set()
    for keyword in call.keywords:
        if keyword.arg == "extra":
            for node in ast.walk(keyword.value):
                if isinstance(node, ast.Dict):
                    keys |= {key.value if isinstance(key, ast.Constant) else "…" for key in node.keys}
            if not isinstance(keyword.value, ast.Dict | ast.IfExp):
                keys.add("…")
    return f" [{', '.join(sorted(keys))}]" if keys else ""


def test_log_messages_are_unchanged(check_golden: CheckGolden) -> None:
    """Each level, message and set of extra keys that the package can log is in the stored list."""
    found = {
        f"{level}: {text}{extra_keys(call)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for level, call in calls(ast.parse(path.read_text(encoding="utf-8")))
        for text in texts(call.args[1 if level == "log" else 0])
    }

    assert len(found) > 50
    check_golden("log_messages.txt", "".join(f"{line}\n" for line in sorted(found)))
