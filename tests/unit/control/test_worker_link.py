"""A child's end of its link."""

import json
import socket
from collections.abc import Iterator

import pytest

from eventwriter.control.worker_link import beat, commands, send


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The parent's and the child's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_heartbeat_arrives_as_one_packet(ends: tuple[socket.socket, socket.socket]) -> None:
    """A heartbeat is one JSON object that says what it is."""
    parent, child = ends

    assert beat(child, {"state": "running"})
    assert {"type": "heartbeat", "state": "running"} == json.loads(parent.recv(1000))


def test_commands_are_read_as_far_as_they_are_there(ends: tuple[socket.socket, socket.socket]) -> None:
    """All waiting commands come, in order, without waiting for more; garbage is passed over."""
    parent, child = ends
    for packet in (b'{"type": "log_level"}', b"\xff", b'{"type": "drain"}'):
        parent.send(packet)

    assert ["log_level", "drain"] == [one["type"] for one in commands(child)]
    assert [] == commands(child)


def test_parent_that_is_gone_means_stop(ends: tuple[socket.socket, socket.socket]) -> None:
    """The end of the link is the command to stop, after what was said before it."""
    parent, child = ends
    parent.send(b'{"type": "drain"}')
    parent.close()

    assert ["drain", "stop"] == [one["type"] for one in commands(child)]
    assert not send(child, b"x")


def test_parent_that_does_not_read_holds_nobody_up(ends: tuple[socket.socket, socket.socket]) -> None:
    """When the link is full a heartbeat is lost, and sending returns."""
    _, child = ends
    sent = 0
    while sent < 10_000 and send(child, b"x" * 1000):
        sent += 1

    assert 0 < sent < 10_000
