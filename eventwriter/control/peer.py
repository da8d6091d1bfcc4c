"""
The process at the other end of a Unix socket, and what it may do.

The kernel reports the peer's user and groups at the time of the connection. The mode of the socket
file decides who may connect; this module decides what a connected peer may request.
"""

import os
import socket
import struct
from dataclasses import dataclass

PEERCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
SO_PEERGROUPS = 59  # asm-generic/socket.h; Python has no constant for it
_GROUPS_BYTES_MAX = 1024
NO_GROUP = -1


@dataclass(frozen=True, slots=True)
class Peer:
    """A connected process: its ids when it connected."""

    pid: int
    uid: int
    groups: frozenset[int]
    """Its group and supplementary groups."""

    def __str__(self) -> str:
        """Return the ids as text for the log."""
        return f"pid {self.pid}, uid {self.uid}" if self.pid != os.getpid() else "this process"


@dataclass(frozen=True, slots=True)
class Operators:
    """Users who may change things: root, the daemon's own user, the socket's owner, and members of its group."""

    uids: frozenset[int]
    group: int

    @classmethod
    def of_socket(cls, listener: socket.socket) -> "Operators":
        """Return the operators of a listening socket, from the owner and group of its file, if it has one."""
        own = {0, os.geteuid()}
        path = listener.getsockname()
        if not path or path[:1] in ("\0", b"\0"):
            return cls(frozenset(own), NO_GROUP)
        file = os.stat(path)
        return cls(frozenset(own | {file.st_uid}), file.st_gid)

    def allows(self, peer: Peer) -> bool:
        """Return whether a peer may change things."""
        return peer.uid in self.uids or self.group in peer.groups


def peer_of(connection: socket.socket) -> Peer:
    """
    Return the connected process.

    Kernels before 4.13 have no SO_PEERGROUPS; only the peer's own group is known then.

    Source: unix(7), SO_PEERCRED; socket(7), SO_PEERGROUPS.
    """
    pid, uid, gid = PEERCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEERCRED.size))
    return Peer(pid, uid, frozenset({gid, *_supplementary_groups(connection)}))


def _supplementary_groups(connection: socket.socket) -> set[int]:
    """
    Return a peer's supplementary groups; an empty set if the kernel does not report them, or if there are over 256.

    Python's getsockopt accepts no larger buffer. An unknown group never grants anything.
    """
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_BYTES_MAX)
    except OSError:
        return set()
    return {group for (group,) in struct.iter_unpack("=I", raw)}
