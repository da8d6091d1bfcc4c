"""
Writing to standard error when it is full, closed, or has no reader.

A log line must never block or end the daemon. A line is therefore written unbuffered (a buffer
would keep, repeat and accumulate lines that cannot be written), never to a pipe that would
block, and lost lines are counted.
"""

import contextlib
import os
import select
import sys
from typing import TextIO

STDERR = 2
_CHUNK_BYTES = 4096
"""PIPE_BUF: a writable pipe accepts this many bytes without blocking. Source: pipe(7)."""
_GRACE_MS = 50
"""Time that one line waits for a slow reader before it is dropped."""


class StderrWriter:
    """
    Stream for a log handler that writes lines unbuffered and never blocks for long.

    Attributes:
        lost: Number of lines that were not written completely.
    """

    def __init__(self, fd: int = STDERR) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self.lost = 0

    def write(self, text: str) -> None:
        """Write one line, or count it as lost."""
        unsent = memoryview(text.encode("utf-8", "backslashreplace"))
        grace_ms = _GRACE_MS
        while unsent:
            # A closed or broken descriptor is reported as ready; the write then fails.
            if not self._poll.poll(0) and not self._poll.poll(grace_ms):
                self.lost += 1
                return
            grace_ms = 0
            try:
                unsent = unsent[os.write(self._fd, unsent[:_CHUNK_BYTES]) :]
            except OSError:
                self.lost += 1
                return

    def flush(self) -> None:
        """Do nothing, because nothing is buffered."""


def log_stream(stream: TextIO | None) -> "TextIO | StderrWriter":
    """Return an unbuffered writer for descriptor 2, or `stream` itself if it was replaced by another object."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if stream is not None and stream.fileno() == STDERR:
            return StderrWriter()
    return stream if stream is not None else StderrWriter()


def keep_standard_files() -> None:
    """
    Open the closed ones of descriptors 0 to 2 on /dev/null.

    Otherwise the next socket or file would get such a number and receive what is written to stderr.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # returns the lowest free number, which is `fd`
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  # stays open until the process exits, like the other two
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def flush() -> None:
    """Flush Python's buffers of standard output and standard error, ignoring errors."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
