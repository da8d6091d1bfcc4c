"""
Binding of the control socket by at most one daemon, regardless of files that a dead daemon left behind.

The lock on `<socket>.lock` decides, not the socket file: the kernel releases a lock when its owner
dies, whatever the cause.
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

PATH_BYTES_MAX = 107  # sun_path of unix(7) has 108 bytes with the trailing zero
BACKLOG = 64
LOCK_TRIES = 10  # another daemon may remove its lock file after we open it and before we lock it


class SocketTaken(EventwriterError):
    """Another daemon is using the control socket."""

    default_code = "socket_taken"


class SocketUnusable(EventwriterError):
    """The control socket cannot be created at the configured path."""

    default_code = "socket_unusable"


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """A listening control socket, and the lock that excludes other daemons."""

    path: str
    listener: socket.socket
    lock_fd: int

    def release(self) -> None:
        """Remove socket and lock file, and release the lock; for the daemon that created them, not for its children."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        with contextlib.suppress(OSError):
            os.unlink(lock_path(self.path))  # still locked: a daemon that has opened it notices and tries again
        self.listener.close()
        os.close(self.lock_fd)


def lock_path(path: str) -> str:
    """Return the path of a control socket's lock file."""
    return f"{path}.lock"


def acquire(path: str, mode: int, group: str | None, owner: str | None = None) -> BoundSocket:
    """
    Lock the path and listen on it.

    Args:
        path: Path of the control socket.
        mode: Permission bits of the socket: who may connect.
        group: Group of the socket, None for the process's own.
        owner: Owner of the socket, None for the process's own user; another one requires root.

    Raises:
        SocketTaken: A living daemon is using it.
        SocketUnusable: The path, the group, the owner or a permission is wrong.
    """
    if (length := len(os.fsencode(path))) > PATH_BYTES_MAX:
        raise SocketUnusable(
            f"control.socket {path!r} has {length} bytes; the path of a Unix socket has at most {PATH_BYTES_MAX}",
            hint="choose a shorter one",
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
                f"control.socket {path!r} cannot be given to {owner or 'this user'}:{group or 'its group'}; only root"
                " can give it to another user, and only a member to a group",
                hint="set SupplementaryGroups= in the unit",
            ) from error
        raise SocketUnusable(
            f"control.socket {path!r} cannot be created: {error.strerror}",
            hint="its directory must exist and be writable",
        ) from error


def group_id(group: str | None) -> int:
    """
    Return the id of a group, -1 for no change.

    Raises:
        SocketUnusable: There is no such group.
    """
    try:
        return grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise SocketUnusable(
            f"control.group {group!r} does not exist on this machine", hint="create it, or remove the key"
        ) from None


def owner_id(owner: str | None) -> int:
    """
    Return the id of a user, -1 for no change.

    Raises:
        SocketUnusable: There is no such user.
    """
    try:
        return pwd.getpwnam(owner).pw_uid if owner else -1
    except KeyError:
        raise SocketUnusable(
            f"control.owner {owner!r} does not exist on this machine", hint="create the user, or remove the key"
        ) from None


def lock(path: str) -> int:
    """
    Lock a control socket, and return the descriptor that holds the lock.

    Raises:
        SocketTaken: A living daemon holds the lock.
        SocketUnusable: The lock file belongs to another user.
        OSError: The lock file cannot be created.
    """
    for _ in range(LOCK_TRIES):
        fd = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if (owner := os.fstat(fd).st_uid) not in (0, os.geteuid()) and is_shared_folder(path):
            os.close(fd)
            raise SocketUnusable(
                f"the lock file {lock_path(path)!r} belongs to another user (uid {owner}), who could hold it for ever",
                hint="set control.socket to a path in a folder of the daemon's user, such as /run/eventwriter",
            )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise SocketTaken(f"another eventwriter (pid {pid}) is using {path}") from None
        if is_same_file(lock_path(path), fd):
            os.truncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
            return fd
        os.close(fd)
    raise SocketTaken(f"several daemons are starting and stopping on {path}", hint="try again")


def is_shared_folder(path: str) -> bool:
    """Return whether every user may create files in the folder of a path."""
    return bool(os.stat(os.path.dirname(path) or ".").st_mode & stat.S_IWOTH)


def is_same_file(path: str, fd: int) -> bool:
    """Return whether a path still leads to an open file; its owner may have removed it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def bind(path: str, mode: int, uid: int, gid: int) -> socket.socket:
    """
    Return a listening socket with the given owner and mode, in place of a dead daemon's socket file.

    Raises:
        SocketTaken: A program answers there without holding the lock.
        SocketUnusable: The path is not a socket.
        OSError: The directory is missing or not writable.
    """
    remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        umask = os.umask(0o177)  # no other user can connect before the mode is set
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
    Remove the socket file of a dead daemon.

    Raises:
        SocketTaken: The daemon is not dead.
        SocketUnusable: The file is not a socket, so it is not removed.
        OSError: The file cannot be examined or removed.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SocketUnusable(f"control.socket {path!r} exists and is not a socket", hint="move the file away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        raise SocketTaken(f"another program (pid {peer_of(probe).pid}) is using {path}")
