"""
Who is at the other end of a Unix socket, and what that person may do.

The kernel says it, as it was when the peer connected; the peer itself is not asked.
Who may connect at all is the socket file's mode; this decides what a connected one may ask.
"""

import os
import socket
import struct
from dataclasses import dataclass

PEERCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
SO_PEERGROUPS = 59  # asm-generic/socket.h; Python has no name for it
_GROUPS_BYTES_MAX = 1024
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Peer:
    """A connected process: its numbers when it connected."""

    pid: int
    uid: int
    groups: frozenset[int]
    """Its group and its supplementary ones."""

    def __str__(self) -> str:
        """Say who it is, for the log."""
        return f"pid {self.pid}, uid {self.uid}" if self.pid != os.getpid() else "this process"


@dataclass(frozen=True, slots=True)
class Operators:
    """Who may change things: root, the daemon's own user, the socket's owner, and the members of the socket's group."""

    uids: frozenset[int]
    group: int

    @classmethod
    def of(cls, listener: socket.socket) -> "Operators":
        """Read them from a listening socket's file; one without a file has no group."""
        own = {0, os.geteuid()}
        path = listener.getsockname()
        if not path or path[:1] in ("\0", b"\0"):
            return cls(frozenset(own), NOBODY)
        found = os.stat(path)
        return cls(frozenset(own | {found.st_uid}), found.st_gid)

    def include(self, peer: Peer) -> bool:
        """Say whether a peer may change things."""
        return peer.uid in self.uids or self.group in peer.groups


def peer_of(connection: socket.socket) -> Peer:
    """
    Return who is connected.

    Source: unix(7), SO_PEERCRED; socket(7), SO_PEERGROUPS. A kernel without the second (before 4.13)
    knows the peer's own group only.
    """
    pid, uid, gid = PEERCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEERCRED.size))
    groups = {gid, *_supplementary(connection)}
    return Peer(pid, uid, frozenset(groups))


def _supplementary(connection: socket.socket) -> set[int]:
    """
    Return a peer's supplementary groups; none where the kernel does not tell, or there are more than 256.

    Python's getsockopt takes no larger buffer. Not to know a group denies, it never grants.
    """
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_BYTES_MAX)
    except OSError:
        return set()
    return {group for (group,) in struct.iter_unpack("=I", raw)}
