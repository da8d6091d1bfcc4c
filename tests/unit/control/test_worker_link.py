"""A child's end of its link."""

import json
import socket
from collections.abc import Iterator

import pytest

from eventwriter.control.worker_link import receive_commands, send, send_heartbeat


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The parent's end and the child's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_heartbeat_is_one_packet(ends: tuple[socket.socket, socket.socket]) -> None:
    """A heartbeat is one packet with one JSON object."""
    parent, child = ends

    assert send_heartbeat(child, {"state": "running"})
    assert {"type": "heartbeat", "state": "running"} == json.loads(parent.recv(1000))


def test_waiting_commands_are_returned(ends: tuple[socket.socket, socket.socket]) -> None:
    """All waiting commands are returned in order without blocking; malformed packets are skipped."""
    parent, child = ends
    for packet in (b'{"type": "log_level"}', b"\xff", b'{"type": "drain"}'):
        parent.send(packet)

    assert ["log_level", "drain"] == [command["type"] for command in receive_commands(child)]
    assert [] == receive_commands(child)


def test_closed_link_is_a_stop_command(ends: tuple[socket.socket, socket.socket]) -> None:
    """A link that the parent has closed is the command to stop, after earlier commands."""
    parent, child = ends
    parent.send(b'{"type": "drain"}')
    parent.close()

    assert ["drain", "stop"] == [command["type"] for command in receive_commands(child)]
    assert not send(child, b"x")


def test_full_link_does_not_block(ends: tuple[socket.socket, socket.socket]) -> None:
    """If the link is full, sending returns without blocking, and the heartbeat is lost."""
    _, child = ends
    sent = 0
    while sent < 10_000 and send(child, b"x" * 1000):
        sent += 1

    assert 0 < sent < 10_000
