"""
Retired names and oblique phrases stay out of identifiers, docstrings, comments, messages and documentation.

The words below once named things in this project that have a standard term. A file that needs one of
them for another reason is listed in `ALLOWED_FILES` with the reason.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THIS = Path(__file__).resolve()
CODE = [
    path
    for folder in ("eventwriter", "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.stem.endswith("_pb2") and path.resolve() != THIS and "data" not in path.relative_to(ROOT).parts
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]

RETIRED_WORDS = frozenset(
    [
        "bury",
        "buried",
        "careful",
        "carefully",
        "chores",
        "clerk",
        "crew",
        "deaf",
        "desk",
        "detour",
        "detours",
        "errand",
        "errands",
        "expecter",
        "fleet",
        "folding",
        "hush",
        "inquiries",
        "mend",
        "mended",
        "obey",
        "outlook",
        "pardon",
        "pardoned",
        "pardons",
        "patience",
        "refit",
        "remembered",
        "sharers",
        "sieve",
        "strangers",
        "strays",
        "suspicion",
        "told",
        "twin",
        "widen",
        "wiring",
        "wish",
        "wishes",
    ]
)
"""Words, split at underscores and capitals, that no identifier may contain."""

RETIRED_PHRASES = (
    r"\b[Ss]omebody\b",
    r"\b[Mm]end(?:s|ed|ing)?\b",
    r"\bmade anew\b",
    r"\bis wanted\b",
    r"(?<!there )\bis none\b",
    r"\bhere and there\b",
    r"\bhangs? out\b",
    r"\b[Tt]he books\b",
    r"\bprove[sn]? (?:the|its) books\b",
    r"\bthat which\b",
    r"\bfor whom it concerns\b",
    r"\bno letters?\b",
)

ALLOWED_FILES = {
    "tests/producer_recordings.py": "`told` is what a recorded program was told to send",
    "tests/unit/producers/test_recordings.py": "`told` is what a recorded program was told to send",
}
"""Files whose identifiers are not checked, and the reason."""


def words(name: str) -> set[str]:
    """Return the lower-case words of an identifier."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def identifiers(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the names that a file defines or assigns."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.value.lineno, node.arg


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the text that people read: comments, docstrings and messages of code, lines of pages."""
    if path.suffix == ".md":
        yield from enumerate(path.read_text().splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], token.string


def place(path: Path) -> str:
    """Return a path relative to the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def test_identifiers_have_no_retired_words() -> None:
    """No identifier contains a retired word."""
    found = {
        f"{place(path)}:{line} {name}"
        for path in CODE
        if place(path) not in ALLOWED_FILES
        for line, name in identifiers(path)
        if words(name) & RETIRED_WORDS
    }

    assert not sorted(found)


def test_prose_has_no_retired_phrases() -> None:
    """No comment, docstring, message or page contains a retired phrase."""
    found = [
        f"{place(path)}:{line} {match.group(0)!r}"
        for path in (*CODE, *PAGES)
        for line, text in prose(path)
        for phrase in RETIRED_PHRASES
        for match in re.finditer(phrase, text)
    ]

    assert not found


def test_modules_have_no_retired_names() -> None:
    """No module of the package is named by a retired word."""
    found = [place(path) for path in CODE if words(path.stem) & RETIRED_WORDS]

    assert not found
