"""
Taking the control socket's path, so that only one daemon has it and a dead one's leftovers do not matter.

The lock on `<socket>.lock` decides, not the socket file: the kernel lets go of a
lock when its holder dies, however it dies.
"""

import contextlib
import fcntl
import grp
import os
import pwd
import socket
import stat
from dataclasses import dataclass

from eventwriter.control.peer import peer_of
from eventwriter.errors import EventwriterError

PATH_BYTES_MAX = 107  # sun_path of unix(7) has 108, the last a zero
BACKLOG = 64
LOCK_TRIES = 10  # another daemon may remove its lock file between our opening and locking it


class SocketTaken(EventwriterError):
    """Another daemon answers on the control socket."""


class SocketUnusable(EventwriterError):
    """The control socket cannot be made where the configuration wants it."""


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """A held path: the listening socket and the lock that keeps others off."""

    path: str
    listener: socket.socket
    lock_fd: int

    def leave(self) -> None:
        """Remove socket and lock from disk and let go; for the daemon that made them, not for its children."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        with contextlib.suppress(OSError):
            os.unlink(lock_path(self.path))  # still locked: whoever opened it sees that it is gone and tries anew
        self.listener.close()
        os.close(self.lock_fd)


def lock_path(path: str) -> str:
    """Return where the lock of a control socket lives."""
    return f"{path}.lock"


def claim(path: str, mode: int, group: str | None, owner: str | None = None) -> BoundSocket:
    """
    Take the path and listen on it.

    Args:
        path: Of the control socket.
        mode: Permission bits of the socket; who may connect.
        group: Owning group, None for the process's own.
        owner: Owning user, None for the process's own; another one takes root.

    Raises:
        SocketTaken: A living daemon has it.
        SocketUnusable: The path, the group or a permission is wrong.
    """
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise SocketUnusable(
            f"control.socket {path!r} has {len(os.fsencode(path))} bytes; "
            f"a Unix socket's path has at most {PATH_BYTES_MAX}: choose a shorter one"
        )
    ids = owner_id(owner), group_id(group)
    try:
        lock_fd = lock(path)
        try:
            return BoundSocket(path, bind(path, mode, *ids), lock_fd)
        except (OSError, EventwriterError):
            os.unlink(lock_path(path))
            os.close(lock_fd)
            raise
    except OSError as error:
        if isinstance(error, PermissionError) and (group or owner) and os.access(os.path.dirname(path) or ".", os.W_OK):
            raise SocketUnusable(
                f"control.socket {path!r} cannot be given to {owner or 'this user'}:{group or 'its group'}: only root"
                " gives it to another user, only a member to a group (SupplementaryGroups= in the unit)"
            ) from error
        raise SocketUnusable(
            f"control.socket {path!r} cannot be made: {error.strerror}; its folder must exist and be writable"
        ) from error


def group_id(group: str | None) -> int:
    """
    Return a group's number, -1 for "leave it".

    Raises:
        SocketUnusable: There is no such group.
    """
    try:
        return grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise SocketUnusable(
            f"control.group {group!r} is no group of this machine: create it or leave it out"
        ) from None


def owner_id(owner: str | None) -> int:
    """
    Return a user's number, -1 for "leave it".

    Raises:
        SocketUnusable: There is no such user.
    """
    try:
        return pwd.getpwnam(owner).pw_uid if owner else -1
    except KeyError:
        raise SocketUnusable(f"control.owner {owner!r} is no user of this machine: create it or leave it out") from None


def lock(path: str) -> int:
    """
    Take the lock of a control socket.

    Returns:
        The descriptor that holds it.

    Raises:
        SocketTaken: A living daemon holds it.
        OSError: The lock file cannot be made.
    """
    for _ in range(LOCK_TRIES):
        fd = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise SocketTaken(f"another eventwriter (pid {pid}) answers on {path}") from None
        if names_file(lock_path(path), fd):
            os.truncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
            return fd
        os.close(fd)
    raise SocketTaken(f"daemons come and go on {path}; try again")


def names_file(path: str, fd: int) -> bool:
    """Say whether a path still leads to an open file; its owner may have removed it meanwhile."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def bind(path: str, mode: int, uid: int, gid: int) -> socket.socket:
    """
    Replace a dead daemon's socket file by a listening socket with the wanted owner and mode.

    Raises:
        SocketTaken: Something answers there without holding our lock.
        SocketUnusable: The path is no socket.
        OSError: The folder is missing or not writable.
    """
    remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        umask = os.umask(0o177)  # nobody else connects before the mode is what was asked for
        try:
            listener.bind(path)
        finally:
            os.umask(umask)
        if (uid, gid) != (-1, -1):
            os.chown(path, uid, gid)
        os.chmod(path, mode)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    return listener


def remove_stale(path: str) -> None:
    """
    Remove what a dead daemon left.

    Raises:
        SocketTaken: It is not dead.
        SocketUnusable: It is no socket, so not ours to remove.
        OSError: The file cannot be looked at or removed.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SocketUnusable(f"control.socket {path!r} is there already and is no socket: move it away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        raise SocketTaken(f"another program (pid {peer_of(probe).pid}) answers on {path}")
