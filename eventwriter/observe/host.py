"""
What the host says of a process: memory and processor time. The one place that imports psutil.
"""

from dataclasses import dataclass

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
