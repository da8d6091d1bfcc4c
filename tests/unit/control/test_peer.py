"""Peers of real sockets; tests that change the user require root."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventwriter.control.peer import NO_GROUP, Operators, Peer, peer_of
from eventwriter.control.socket_lock import acquire

STRANGER, OPERATORS = 64321, 64322
"""Ids of a user and a group that do not exist."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that every user may connect to; if root runs the test, its group is `OPERATORS`."""
    tmp_path.chmod(0o711)
    bound = acquire(str(tmp_path / "s"), 0o666, None)
    if os.geteuid() == 0:
        os.chown(bound.path, 0, OPERATORS)
    bound.listener.setblocking(True)
    yield bound.listener
    bound.release()


def as_user(listener: socket.socket, groups: list[int]) -> Peer:
    """Connect as the stranger with these supplementary groups; return the peer that the kernel reports."""
    path = Path(listener.getsockname())
    if (pid := os.fork()) == 0:
        try:
            os.chdir(path.parent)  # still as root: other users may not enter the directories above
            os.setgroups(groups)
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            socket.socket(socket.AF_UNIX).connect(path.name)
            os._exit(0)
        finally:
            os._exit(1)
    assert 0 == os.waitpid(pid, 0)[1]
    connection, _ = listener.accept()
    with connection:
        return peer_of(connection)


def test_own_user_is_allowed(listener: socket.socket) -> None:
    """A process of the daemon's own user may change things."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            peer = peer_of(connection)

    assert (os.getpid(), os.getuid(), "this process") == (peer.pid, peer.uid, str(peer))
    assert set(os.getgroups()) | {os.getgid()} == peer.groups
    assert Operators.of_socket(listener).allows(peer)


@needs_root
@pytest.mark.parametrize(("groups", "allowed"), [([], False), ([STRANGER + 5], False), ([7, OPERATORS], True)])
def test_other_user_is_allowed_only_by_group(listener: socket.socket, groups: list[int], allowed: bool) -> None:
    """Another user may change things only as a member of the socket's group, which may be a supplementary group."""
    peer = as_user(listener, groups)

    assert (STRANGER, frozenset({STRANGER, *groups})) == (peer.uid, peer.groups)
    assert allowed == Operators.of_socket(listener).allows(peer)


@needs_root
def test_owner_of_the_socket_is_allowed(tmp_path: Path) -> None:
    """The owner of the socket and the members of its group may change things."""
    bound = acquire(str(tmp_path / "s"), 0o660, "nogroup", "nobody")
    file = os.stat(bound.path)
    operators = Operators.of_socket(bound.listener)
    bound.release()

    assert operators.allows(Peer(1, file.st_uid, frozenset()))
    assert operators.allows(Peer(1, STRANGER, frozenset({file.st_gid})))
    assert not operators.allows(Peer(1, STRANGER, frozenset({STRANGER})))


def test_socket_without_a_file_has_no_group() -> None:
    """A listening socket without a file allows only root and the daemon's own user."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        operators = Operators.of_socket(ours)

    assert NO_GROUP == operators.group
    assert not operators.allows(Peer(1, STRANGER, frozenset({0})))


@needs_root
def test_peer_in_too_many_groups_has_only_its_own_group(listener: socket.socket) -> None:
    """A peer in more groups than the kernel call can return is denied what its supplementary groups would allow."""
    peer = as_user(listener, [OPERATORS, *range(70_000, 70_400)])

    assert frozenset({STRANGER}) == peer.groups
