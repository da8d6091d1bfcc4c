"""A failed test that found lost or duplicated messages leaves a file; other failures do not."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
from fix_losses import record_audit

def test_fails_with_losses():
    record_audit("rows", "5 lost")
    assert False

def test_passes_with_losses():
    record_audit("rows", "6 lost")

def test_fails_after_losses_were_found_late():
    record_audit("rows", "7 lost")
    record_audit("rows", None)
    assert False
"""


def test_only_failures_with_losses_leave_a_file(tmp_path: Path) -> None:
    """Only the test that failed while its last audit found a loss leaves a file."""
    (tmp_path / "losses").mkdir()
    (tmp_path / "test_audits.py").write_text(TESTS)
    environ = {
        **os.environ,
        "EVENTWRITER_LOSSES": str(tmp_path / "losses"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }

    command = [sys.executable, "-m", "pytest", "-q", "-p", "fix_losses", "-p", "no:cacheprovider", "test_audits.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert ["test_audits.py::test_fails_with_losses: rows: 5 lost\n"] == [
        file.read_text() for file in (tmp_path / "losses").iterdir()
    ]
