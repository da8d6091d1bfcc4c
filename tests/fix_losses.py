"""
Reports of lost or duplicated messages that failed tests found, in files.

A test that fails only on a busy machine may be repeated, but not one that lost a message.
For each failed test whose audit found a problem, a file is written to the folder
`EVENTWRITER_LOSSES`, which `.ci/run` checks at the end.
"""

import os
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest

_problems: dict[str, str] = {}
"""Name of an audit of the running test → problem that its latest run found."""


def record_audit(audit: str, problem: str | None) -> None:
    """
    Record the result of an audit, after late messages have had time to arrive.

    Args:
        audit: Name of the audit; a later result replaces an earlier one.
        problem: Lost or duplicated messages; None if there are none.
    """
    if problem is None:
        _problems.pop(audit, None)
    else:
        _problems[audit] = problem


def pytest_runtest_setup() -> None:
    """Start a test without recorded audits."""
    _problems.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write a file for each failed audit of a failed test; a test may also expect an audit to fail."""
    report = yield
    folder = os.environ.get("EVENTWRITER_LOSSES")
    if folder and report.when == "call" and report.failed:
        for audit, problem in _problems.items():
            Path(folder, uuid.uuid4().hex).write_text(f"{item.nodeid}: {audit}: {problem}\n")
    return report
