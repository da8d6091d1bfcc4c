"""
Golden files: outputs that may change only deliberately, stored in tests/data/golden.

`pytest tests/unit/golden --update-golden` rewrites the files.
"""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "data" / "golden"
UPDATE_COMMAND = "bin/test tests/unit/golden --update-golden"

CheckGolden = Callable[[str, str], None]
"""Compares a text with the golden file of the given name, or rewrites the file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("golden").addoption(
        "--update-golden",
        action="store_true",
        default=bool(os.environ.get("EVENTWRITER_UPDATE_GOLDEN")),
        help="rewrite the files in tests/data/golden instead of comparing with them",
    )


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> CheckGolden:
    """Return the function that compares a text with a golden file."""
    update = bool(request.config.getoption("--update-golden"))

    def check(name: str, text: str) -> None:
        if update:
            (GOLDEN / name).write_text(text, encoding="utf-8")
        if changes := difference(GOLDEN / name, text):
            pytest.fail(
                f"{changes}\nIf the change is intended, run {UPDATE_COMMAND} and review the diff.", pytrace=False
            )

    return check


def difference(path: Path, text: str) -> str:
    """Return a unified diff from a golden file to a text; empty if they are equal."""
    if not path.exists():
        return f"{path} does not exist"
    golden = path.read_bytes().decode()
    if golden == text:
        return ""
    lines = difflib.unified_diff(
        golden.splitlines(), text.splitlines(), f"golden/{path.name}", "actual", lineterm="", n=2
    )
    return "\n".join(lines) or f"{path} differs in line endings or in its last newline"
