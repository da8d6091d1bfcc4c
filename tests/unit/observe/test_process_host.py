"""Figures of processes."""

import os

import pytest

from eventwriter.observe.process import Process


def test_own_figures_are_plausible() -> None:
    """A process sees its own memory and time; its share of memory is not above its resident memory."""
    process = Process()
    usage = process.usage()

    assert usage.cpu_s > 0
    assert 2**20 < process.pss_bytes() <= process.usage().rss_bytes


def test_gone_process_is_reported_as_gone() -> None:
    """Asking about a process that has ended raises what Python raises for it."""
    pid = os.fork()
    if pid == 0:
        os.read(os.pipe()[0], 1)
    process = Process(pid)
    os.kill(pid, 9)
    os.waitpid(pid, 0)

    with pytest.raises(ProcessLookupError, match=str(pid)):
        process.usage()
