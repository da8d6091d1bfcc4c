"""Notifications to systemd over a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventwriter.supervisor.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The address as in NOTIFY_SOCKET, and the socket of systemd."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@eventwriter-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as receiver:
        receiver.bind(address.replace("@", "\0", 1))
        yield address, receiver


def received(receiver: socket.socket) -> list[str]:
    """Return all datagrams that have arrived."""
    datagrams = []
    while True:
        try:
            datagrams.append(receiver.recv(4096).decode())
        except BlockingIOError:
            return datagrams


def test_ready_is_sent_once(manager: tuple[str, socket.socket]) -> None:
    """READY is sent once, and again after a reload."""
    notifier = Notifier(manager[0])

    notifier.ready()
    notifier.ready()
    notifier.reloading()
    notifier.ready()
    notifier.stopping()
    notifier.close()

    datagrams = received(manager[1])
    assert datagrams[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ["READY=1", "READY=1", "STOPPING=1"] == [datagrams[0], *datagrams[2:]]


def test_status_is_sent_only_if_it_changed(manager: tuple[str, socket.socket]) -> None:
    """An unchanged line is not sent again, and a newline in it does not start another variable."""
    notifier = Notifier(manager[0])

    notifier.status("healthy")
    notifier.status("healthy")
    notifier.status("failing\nREADY=1")
    notifier.close()

    assert ["STATUS=healthy", "STATUS=failing READY=1"] == received(manager[1])


def test_watchdog_is_sent_at_half_its_time(manager: tuple[str, socket.socket]) -> None:
    """The watchdog notification is sent every half period, however often the loop runs."""
    notifier = Notifier(manager[0], watchdog_s=10.0)

    for now_s in (100.0, 101.0, 104.9, 105.0, 106.0, 110.0):
        notifier.watchdog(now_s)
    notifier.close()

    assert 3 * ["WATCHDOG=1"] == received(manager[1])


@pytest.mark.parametrize(
    ("extra", "count"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({"WATCHDOG_USEC": "0"}, 0),
        ({}, 0),
    ],
)
def test_watchdog_of_another_process_is_ignored(
    manager: tuple[str, socket.socket], extra: dict[str, str], count: int
) -> None:
    """The watchdog variables count only for the process that they name."""
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": manager[0], **extra})

    notifier.watchdog(1.0)
    notifier.close()

    assert count == len(received(manager[1]))


def test_nothing_is_sent_without_systemd() -> None:
    """Without NOTIFY_SOCKET, every call does nothing."""
    notifier = Notifier.from_environ({"WATCHDOG_USEC": "1000"})

    notifier.ready()
    notifier.watchdog(1.0)
    notifier.close()

    assert notifier.is_ready


def test_missing_socket_of_systemd_is_ignored(tmp_path: Path) -> None:
    """If the socket of systemd is gone, notifications are dropped without an error."""
    notifier = Notifier(str(tmp_path / "gone"))

    notifier.status("healthy")
    notifier.close()

    assert not notifier.is_ready
