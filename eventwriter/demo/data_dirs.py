"""
The folder of a pair of servers: who owns it, and what an owner that was killed has left.

An owner holds a lock on a file in its folder. The kernel takes it back with the owner's
end, however that comes, so a folder whose lock is free has no owner; that holds for
process ids that were used again, and for containers that share a folder of temporary files.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from eventwriter.errors import Fatal

PREFIX = "eventwriter-servers-"
_LOCK = "owner.lock"
_END_S_MAX = 10.0
_IPC_RMID = 0  # linux/ipc.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def temporary() -> tuple[Path, int]:
    """
    Make a folder for temporary data and own it, after removing those that have no owner any more.

    Returns:
        The folder, and the descriptor that holds its lock.

    Raises:
        Fatal: It cannot be made.
    """
    try:
        _reap(Path(tempfile.gettempdir()))
        # Owned before it has the name that others look for: nobody can take it for an abandoned one.
        hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
        lock = _lock(hidden)
        return hidden.rename(hidden.with_name(hidden.name.removeprefix("."))), lock
    except OSError as error:
        raise Fatal(
            f"cannot make a folder for the servers' data: {error}; set TMPDIR to one that is writable"
        ) from error


def own(folder: Path) -> int:
    """
    Own a folder that is to stay, made where it is not there, and end what an earlier owner left running in it.

    Returns:
        The descriptor that holds the lock.

    Raises:
        Fatal: It cannot be made or written, or somebody else owns it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
    except BlockingIOError:
        raise Fatal(f"{folder} is in use by other servers; end them, or choose another folder") from None
    except OSError as error:
        raise Fatal(f"cannot keep the servers' data in {folder}: {error.strerror}; choose another folder") from error
    end_servers(folder)
    return lock


def end_servers(folder: Path) -> None:
    """End the servers that run on this folder's data, asked first, and remove PostgreSQL's segment of shared memory."""
    for pid, number in _servers(folder):
        with contextlib.suppress(OSError):
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # a test may have stopped it, and so it never heard of its owner's end
    until = time.monotonic() + _END_S_MAX
    while (left := list(_servers(folder))) and time.monotonic() < until:
        time.sleep(0.02)
    for pid, _ in left:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    remove_segment(folder / "postgres")


def remove_segment(data: Path) -> None:
    """
    Remove the segment of System V shared memory that a PostgreSQL which was killed has left.

    The seventh line of `postmaster.pid` names it; a server that ends by itself removes both.

    Source:
        PostgreSQL, src/include/utils/pidfile.h; shmctl(2), IPC_RMID; proc(5), /proc/sysvipc/shm.
    """
    try:
        key, number = (data / "postmaster.pid").read_text().splitlines()[6].split()
    except (OSError, IndexError, ValueError):
        return
    until = time.monotonic() + _END_S_MAX
    # Its last processes notice the postmaster's death within moments, and let go.
    while (attached := _attached(int(key), int(number))) and time.monotonic() < until:
        time.sleep(0.02)
    if attached == 0:
        _LIBC.shmctl(int(number), _IPC_RMID, None)


def _attached(key: int, number: int) -> int | None:
    """Return how many processes have the segment; None where there is no such segment."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            columns = line.split()
            if (int(columns[0]), int(columns[1])) == (key, number):
                return int(columns[6])
    return None


def _servers(folder: Path) -> Iterator[tuple[int, signal.Signals]]:
    """Yield the servers that run on this folder, each with the signal that asks it to end."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        if _runs_on(pid, folder):
            yield pid, signal.SIGINT
    for ports in folder.glob("nats/*.ports"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(ports.stem.rpartition("_")[2])
            if _runs_on(pid, folder):
                yield pid, signal.SIGTERM


def _runs_on(pid: int, folder: Path) -> bool:
    return bytes(folder) + b"/" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _lock(folder: Path) -> int:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _reap(parent: Path) -> None:
    """Remove folders without an owner: who was killed could not do it."""
    for folder in parent.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # owned, or another user's
            lock = _lock(folder)
            try:
                end_servers(folder)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
