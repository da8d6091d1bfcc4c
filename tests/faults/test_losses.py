"""What a failed test has found lost leaves a file; whatever else fails does not."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
from fix_losses import looked

def test_fails_over_wrong_books():
    looked("rows", "5 lost")
    assert False

def test_wants_wrong_books():
    looked("rows", "6 lost")

def test_fails_over_something_else():
    looked("rows", "7 lost")
    looked("rows", None)
    assert False
"""


def test_only_failures_over_wrong_books_leave_a_file(tmp_path: Path) -> None:
    """One file is left, by the test that failed while its books did not balance at the last look."""
    (tmp_path / "losses").mkdir()
    (tmp_path / "test_books.py").write_text(TESTS)
    environ = {
        **os.environ,
        "EVENTWRITER_LOSSES": str(tmp_path / "losses"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }

    words = [sys.executable, "-m", "pytest", "-q", "-p", "fix_losses", "-p", "no:cacheprovider", "test_books.py"]
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert ["test_books.py::test_fails_over_wrong_books: rows: 5 lost\n"] == [
        file.read_text() for file in (tmp_path / "losses").iterdir()
    ]
