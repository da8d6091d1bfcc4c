"""
What the host says of a process: memory and processor time. The one place that imports psutil.
"""

import os
import resource
from dataclasses import dataclass
from typing import TypedDict

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """One reading of one process."""

    rss_bytes: int
    """Resident memory, pages shared with other processes included."""
    cpu_s: float
    """User and system time since the process began."""


class Process:
    """
    A process to be read again and again.

    Args:
        pid: None for the process that asks. Make a new object after a fork: this one keeps naming the parent.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._process = psutil.Process(pid)

    def usage(self) -> Usage:
        """
        Return memory and processor time, about 30 µs.

        Raises:
            ProcessLookupError: The process is gone.
        """
        try:
            with self._process.oneshot():
                times = self._process.cpu_times()
                return Usage(self._process.memory_info().rss, times.user + times.system)
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(f"process {error.pid} is gone") from None

    def pss_bytes(self) -> int:
        """
        Return proportional memory: shared pages are divided by the number of their sharers.

        Slower than `usage` (the kernel walks the page tables); for reports, not for heartbeats.

        Raises:
            ProcessLookupError: The process is gone.
            PermissionError: It belongs to another user.
        """
        try:
            return int(self._process.memory_full_info().pss)
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(f"process {error.pid} is gone") from None
        except psutil.AccessDenied as error:
            raise PermissionError(f"process {error.pid} may not be looked into") from None


@dataclass(frozen=True, slots=True)
class Memory:
    """The host's memory, or the control group's where that has less."""

    total_bytes: int
    available_bytes: int


def memory() -> Memory:
    """Return how much memory there is. Source: proc(5), /proc/meminfo; cgroups(7), memory.max."""
    host = psutil.virtual_memory()
    most, used = _of_group("memory.max"), _of_group("memory.current")
    if most is None or used is None or most >= host.total:
        return Memory(host.total, host.available)
    return Memory(most, max(0, min(host.available, most - used)))


def _of_group(name: str) -> int | None:
    """Return a figure of this process's control group, None where there is no limit or no group."""
    try:
        with open("/proc/self/cgroup", encoding="ascii") as file:
            group = next((line.strip().split(":", 2)[2] for line in file if line.startswith("0::")), None)
        with open(f"/sys/fs/cgroup{group}/{name}", encoding="ascii") as file:
            text = file.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


PAGE_BYTES = resource.getpagesize()


class OwnUsage(TypedDict):
    """The figures, as heartbeats and the snapshot carry them."""

    rss_bytes: int
    """Resident memory, pages shared with other processes included."""
    cpu_s: float
    """User and system time since the process began."""
    open_fds: int
    """Open descriptors."""


def own_usage() -> OwnUsage:
    """Return this process's figures; about 20 µs. Where no descriptor is free to look with, all are open."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        with open("/proc/self/statm", "rb") as statm:
            rss_bytes = int(statm.read().split()[1]) * PAGE_BYTES
        open_fds = len(os.listdir("/proc/self/fd")) - 1  # one of those listed is the listing's own
    except OSError:
        rss_bytes = used.ru_maxrss * 1024
        open_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return {"rss_bytes": rss_bytes, "cpu_s": round(used.ru_utime + used.ru_stime, 3), "open_fds": open_fds}
