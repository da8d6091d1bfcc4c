"""
What failed tests found lost or there twice, in files that outlive them.

A busy machine makes a test fail that passes when it is run again; a lost message is
no such failure. `EVENTWRITER_LOSSES` names the folder that gets a file for each test
that failed over books that do not balance; `.ci/run` looks there last.
"""

import os
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest

_looks: dict[str, str] = {}
"""For each of the running test's books, what the latest look at them found wrong."""


def looked(books: str, wrong: str | None) -> None:
    """
    Record the result of an audit, after late messages have had time to arrive.

    Args:
        books: Which ones; each look takes the place of the one before.
        wrong: What is lost or there twice; None where they balance.
    """
    if wrong is None:
        _looks.pop(books, None)
    else:
        _looks[books] = wrong


def pytest_runtest_setup() -> None:
    """Begin a test without anything found."""
    _looks.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave a file where a test fails and its books were wrong; a test may want them to be."""
    report = yield
    folder = os.environ.get("EVENTWRITER_LOSSES")
    if folder and report.when == "call" and report.failed:
        for books, wrong in _looks.items():
            Path(folder, uuid.uuid4().hex).write_text(f"{item.nodeid}: {books}: {wrong}\n")
    return report
