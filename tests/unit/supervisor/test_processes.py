"""Words for ends, names for processes, packets on the link."""

import json
import os
import signal
import socket

import pytest

from eventwriter.model import SlotName
from eventwriter.supervisor.processes import in_words, process_name, receive, start


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exit code 0"),
        (3 << 8, "exit code 3"),
        (70 << 8, "exit code 70 (an unforeseen exception; see the log)"),
        (signal.SIGKILL, "killed by SIGKILL; the kernel's out-of-memory killer is the usual cause"),
        (signal.SIGSEGV, "killed by SIGSEGV"),
        (signal.SIGSEGV | 0x80, "killed by SIGSEGV"),
        (40, "killed by signal 40"),
    ],
)
def test_end_is_said_in_words(status: int, words: str) -> None:
    """A wait status becomes what an operator understands."""
    assert words == in_words(status)


@pytest.mark.parametrize(
    ("slot", "name"),
    [
        (SlotName("LOGS", 0), b"ew:LOGS/0"),
        (SlotName("OTEL_METRICS", 12), b"ew:OTEL_METR/12"),
    ],
)
def test_process_name_keeps_the_partition(slot: SlotName, name: bytes) -> None:
    """Where 15 bytes do not hold the name, the stream is cut and not the partition."""
    assert name == process_name(slot)
    assert len(name) <= 15


def test_fork_that_is_refused_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user has as many processes as he may (RLIMIT_NPROC), every descriptor and the signals are as before."""

    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    files, mask = os.listdir("/proc/self/fd"), signal.pthread_sigmask(signal.SIG_BLOCK, ())

    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        start(SlotName("A", 0), lambda _slot, _link: 0, lambda: None)

    assert (files, mask) == (os.listdir("/proc/self/fd"), signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_garbage_on_the_link_is_passed_over() -> None:
    """A packet that is no JSON object costs nothing; the next one counts."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    for packet in (b"\xff{", b"[1]", json.dumps({"state": "running"}).encode()):
        theirs.send(packet)

    with ours, theirs:
        assert [{"state": "running"}] == list(receive(ours))


def test_closed_link_is_told_apart_from_a_quiet_one() -> None:
    """The end of a link is an end, not an empty packet."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    assert [] == list(receive(ours))
    theirs.close()

    with ours, pytest.raises(EOFError):
        list(receive(ours))
