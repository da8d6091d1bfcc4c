"""Trying what may kill, in a process of its own."""

import os
import signal
import threading

import pytest

from eventwriter.admin.dlq.sandbox import run_in_child


def spin() -> bytes:
    while True:
        pass


def raising() -> bytes:
    raise KeyError("unforeseen")


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(lambda: b"x" * 300_000, (b"x" * 300_000, None), id="an answer larger than a pipe"),
        pytest.param(lambda: os.kill(os.getpid(), signal.SIGTERM), (b"", "it was killed by SIGTERM"), id="term"),
        pytest.param(lambda: os.kill(os.getpid(), signal.SIGKILL), (b"", "it was killed by SIGKILL"), id="kill"),
        pytest.param(spin, (b"", "it did not finish within 0.1 s"), id="hang"),
        pytest.param(raising, (b"", "it raised an unexpected exception"), id="exception"),
    ],
)
def test_trial_tells_how_it_ended(act, expected) -> None:
    """The answer comes back, or how the child died; the caller lives."""
    # A runner of tests side by side has threads of its own; they do not matter to a child that only does this.
    assert 1 == threading.active_count() or "PYTEST_XDIST_WORKER" in os.environ

    assert expected == run_in_child(act, 0.1 if act is spin else 30)
