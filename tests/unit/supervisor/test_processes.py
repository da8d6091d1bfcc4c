"""Descriptions of exits, names of processes, packets on the link."""

import json
import os
import signal
import socket

import pytest

from eventwriter.model import SlotName
from eventwriter.supervisor.processes import describe_exit, process_name, receive, start
from eventwriter.supervisor.slot import ChildName


@pytest.mark.parametrize(
    ("status", "description"),
    [
        (0, "exit code 0"),
        (3 << 8, "exit code 3"),
        (70 << 8, "exit code 70 (an unexpected exception; see the log)"),
        (signal.SIGKILL, "killed by SIGKILL; sent from outside eventwriter"),
        (signal.SIGSEGV, "killed by SIGSEGV"),
        (signal.SIGSEGV | 0x80, "killed by SIGSEGV"),
        (40, "killed by signal 40"),
    ],
)
def test_wait_status_is_described(status: int, description: str) -> None:
    """A wait status is described by its exit code or signal."""
    assert description == describe_exit(status)


def test_own_kill_is_not_attributed_to_the_kernel() -> None:
    """A SIGKILL of the supervisor names its reason, even if the out-of-memory killer was active meanwhile."""
    assert "killed by the supervisor: no heartbeat" == describe_exit(signal.SIGKILL, "no heartbeat", oom=True)


def test_exit_before_a_kill_is_described_as_an_exit() -> None:
    """A process that exited before the SIGKILL arrived is described by its exit code."""
    assert "exit code 3" == describe_exit(3 << 8, "it did not drain")


def test_out_of_memory_killer_is_named_if_it_was_active() -> None:
    """A foreign SIGKILL is attributed to the kernel only if the machine counted an out-of-memory kill."""
    assert "out-of-memory killer" in describe_exit(signal.SIGKILL, oom=True)


@pytest.mark.parametrize(
    ("child", "name"),
    [
        (SlotName("LOGS", 0), b"ew:LOGS/0"),
        (SlotName("OTEL_METRICS", 12), b"ew:OTEL_METR/12"),
        ("web", b"ew:web"),
    ],
)
def test_process_name_keeps_the_partition(child: ChildName, name: bytes) -> None:
    """If the name exceeds 15 bytes, the stream is truncated, not the partition."""
    assert name == process_name(child)
    assert len(name) <= 15


def test_failed_fork_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """If fork fails, as at RLIMIT_NPROC, no descriptor stays open and the signal mask is restored."""

    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    files, mask = os.listdir("/proc/self/fd"), signal.pthread_sigmask(signal.SIG_BLOCK, ())

    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        start(SlotName("A", 0), lambda _slot, _link: 0, lambda: None)

    assert (files, mask) == (os.listdir("/proc/self/fd"), signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_malformed_packet_is_skipped() -> None:
    """A packet that is not a JSON object is skipped, and the next one is returned."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    for packet in (b"\xff{", b"[1]", json.dumps({"state": "running"}).encode()):
        theirs.send(packet)

    with ours, theirs:
        assert [{"state": "running"}] == list(receive(ours))


def test_closed_link_raises_eof() -> None:
    """An empty link returns no packet, and a closed one raises EOFError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    assert [] == list(receive(ours))
    theirs.close()

    with ours, pytest.raises(EOFError):
        list(receive(ours))
