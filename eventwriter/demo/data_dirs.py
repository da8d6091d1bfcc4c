"""
Data folders of embedded servers: ownership, and cleanup after an owner that was killed.

The owner holds a lock on a file in its folder. The kernel releases the lock when the
owner exits for any reason, so a folder whose lock is free is abandoned. This also works
with recycled process ids and with containers that share a temporary folder.
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
_STOP_S_MAX = 10.0
_IPC_RMID = 0  # linux/ipc.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def create_temporary() -> tuple[Path, int]:
    """
    Create and lock a temporary data folder, after removing abandoned ones.

    Returns:
        The folder and the file descriptor that holds its lock.

    Raises:
        Fatal: The folder cannot be created.
    """
    try:
        _remove_abandoned(Path(tempfile.gettempdir()))
        # Locked before it gets the prefix that other processes search for, so that none removes it.
        hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
        lock = _lock(hidden)
        return hidden.rename(hidden.with_name(hidden.name.removeprefix("."))), lock
    except OSError as error:
        raise Fatal(
            f"cannot create a folder for the servers' data: {error}; set TMPDIR to a writable folder"
        ) from error


def lock_permanent(folder: Path) -> int:
    """
    Create a permanent data folder if needed, lock it, and stop servers left running by an earlier owner.

    Returns:
        The file descriptor that holds the lock.

    Raises:
        Fatal: The folder cannot be created or written, or another process has locked it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
    except BlockingIOError:
        raise Fatal(f"{folder} is in use by other servers; stop them or choose another folder") from None
    except OSError as error:
        raise Fatal(f"cannot keep the servers' data in {folder}: {error.strerror}; choose another folder") from error
    stop_servers(folder)
    return lock


def stop_servers(folder: Path) -> None:
    """Stop the servers that use this folder, first gracefully, and remove PostgreSQL's shared memory segment."""
    for pid, number in _servers(folder):
        with contextlib.suppress(OSError):
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # a test may have sent SIGSTOP
    until = time.monotonic() + _STOP_S_MAX
    while (running := list(_servers(folder))) and time.monotonic() < until:
        time.sleep(0.02)
    for pid, _ in running:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    remove_segment(folder / "postgres")


def remove_segment(data: Path) -> None:
    """
    Remove the System V shared memory segment left behind by a killed PostgreSQL server.

    The seventh line of `postmaster.pid` names the segment; a clean shutdown removes both.

    Source:
        PostgreSQL, src/include/utils/pidfile.h; shmctl(2), IPC_RMID; proc(5), /proc/sysvipc/shm.
    """
    try:
        key, number = (data / "postmaster.pid").read_text().splitlines()[6].split()
    except (OSError, IndexError, ValueError):
        return
    until = time.monotonic() + _STOP_S_MAX
    # The remaining backends notice the postmaster's exit within moments and detach.
    while (attached := _attached(int(key), int(number))) and time.monotonic() < until:
        time.sleep(0.02)
    if attached == 0:
        _LIBC.shmctl(int(number), _IPC_RMID, None)


def _attached(key: int, number: int) -> int | None:
    """Return the number of processes attached to the segment; None if it does not exist."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            columns = line.split()
            if (int(columns[0]), int(columns[1])) == (key, number):
                return int(columns[6])
    return None


def _servers(folder: Path) -> Iterator[tuple[int, signal.Signals]]:
    """Yield the process ids of the servers that use this folder, each with its shutdown signal."""
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


def _remove_abandoned(parent: Path) -> None:
    """Remove folders whose owner was killed."""
    for folder in parent.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # locked, or owned by another user
            lock = _lock(folder)
            try:
                stop_servers(folder)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
