"""Who is at the other end, over real sockets; with real other users where the test may become one."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventwriter.control.peer import NOBODY, Operators, Peer, peer_of
from eventwriter.control.socket_lock import claim

STRANGER, OPERATORS = 64321, 64322
"""A user and a group that nobody is in."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that everybody may connect to, in the group of the operators where this may be set."""
    tmp_path.chmod(0o711)
    claimed = claim(str(tmp_path / "s"), 0o666, None)
    if os.geteuid() == 0:
        os.chown(claimed.path, 0, OPERATORS)
    claimed.listener.setblocking(True)
    yield claimed.listener
    claimed.leave()


def as_user(listener: socket.socket, groups: list[int]) -> Peer:
    """Connect as the stranger with these further groups; return who the kernel says it was."""
    path = Path(listener.getsockname())
    if (pid := os.fork()) == 0:
        try:
            os.chdir(path.parent)  # while root: folders above may be closed to others
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


def test_own_user_is_a_keeper(listener: socket.socket) -> None:
    """Whoever runs as the daemon's user may change things."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            peer = peer_of(connection)

    assert (os.getpid(), os.getuid(), "this process") == (peer.pid, peer.uid, str(peer))
    assert set(os.getgroups()) | {os.getgid()} == peer.groups
    assert Operators.of(listener).include(peer)


@needs_root
@pytest.mark.parametrize(("groups", "included"), [([], False), ([STRANGER + 5], False), ([7, OPERATORS], True)])
def test_stranger_is_a_keeper_by_group_only(listener: socket.socket, groups: list[int], included: bool) -> None:
    """Another user counts where it is a member of the socket's group, supplementary groups included."""
    peer = as_user(listener, groups)

    assert (STRANGER, frozenset({STRANGER, *groups})) == (peer.uid, peer.groups)
    assert included == Operators.of(listener).include(peer)


@needs_root
def test_owner_of_the_socket_is_a_keeper(tmp_path: Path) -> None:
    """A socket that was given to a user is for that user."""
    claimed = claim(str(tmp_path / "s"), 0o660, "nogroup", "nobody")
    found = os.stat(claimed.path)
    keepers = Operators.of(claimed.listener)
    claimed.leave()

    assert keepers.include(Peer(1, found.st_uid, frozenset()))
    assert keepers.include(Peer(1, STRANGER, frozenset({found.st_gid})))
    assert not keepers.include(Peer(1, STRANGER, frozenset({STRANGER})))


def test_socket_without_a_file_has_no_group() -> None:
    """A listener that has no file, as one that was handed over, is for root and the daemon's user only."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        keepers = Operators.of(ours)

    assert NOBODY == keepers.group
    assert not keepers.include(Peer(1, STRANGER, frozenset({0})))


@needs_root
def test_peer_in_too_many_groups_is_known_by_its_own(listener: socket.socket) -> None:
    """A peer in more groups than can be asked for is denied what its groups would grant, not an error."""
    peer = as_user(listener, [OPERATORS, *range(70_000, 70_400)])

    assert frozenset({STRANGER}) == peer.groups
