"""
Memory, CPU time and open descriptors of this process, and the memory of the host.

The only module that imports psutil.
"""

import os
import resource
from dataclasses import dataclass
from typing import TypedDict

import psutil


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the host, or of the control group if that has less."""

    total_bytes: int
    available_bytes: int


def memory() -> Memory:
    """Return total and available memory. Source: proc(5), /proc/meminfo; cgroups(7), memory.max."""
    host = psutil.virtual_memory()
    limit, used = _cgroup_value("memory.max"), _cgroup_value("memory.current")
    if limit is None or used is None or limit >= host.total:
        return Memory(host.total, host.available)
    return Memory(limit, max(0, min(host.available, limit - used)))


def _cgroup_value(name: str) -> int | None:
    """Return a number from this process's control group; None without a control group or a limit."""
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
    """Resource usage of one process, as heartbeats and the snapshot carry it."""

    rss_bytes: int
    """Resident memory, including pages shared with other processes."""
    cpu_s: float
    """User and system time since the process started."""
    open_fds: int
    """Number of open descriptors."""


def own_usage() -> OwnUsage:
    """
    Return the resource usage of this process; takes about 20 µs.

    If no descriptor is free to read it with, all are reported as open.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        with open("/proc/self/statm", "rb") as statm:
            rss_bytes = int(statm.read().split()[1]) * PAGE_BYTES
        open_fds = len(os.listdir("/proc/self/fd")) - 1  # without the descriptor of the listing itself
    except OSError:
        rss_bytes = used.ru_maxrss * 1024
        open_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return {"rss_bytes": rss_bytes, "cpu_s": round(used.ru_utime + used.ru_stime, 3), "open_fds": open_fds}
