"""
Standard error as what a daemon can rely on least: full, closed, or read by nobody.

A log line is never worth the daemon. So a line goes out with plain writes, without a
buffer that would keep (and repeat, and grow by) what could not be written; never into
a pipe that would block; and what is lost is counted.
"""

import contextlib
import os
import select
import sys
from typing import TextIO

STDERR = 2
_CHUNK_BYTES = 4096
"""PIPE_BUF: a pipe that is writable takes so much without blocking. Source: pipe(7)."""
_PATIENCE_MS = 50
"""Once for a line: a reader that is only a little slow loses nothing."""


class Lines:
    """
    A stream for a log handler: whole lines to a descriptor, or not.

    Attributes:
        lost: How many lines could not be written.
    """

    def __init__(self, fd: int = STDERR) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self.lost = 0

    def write(self, text: str) -> None:
        """Write a line; one that cannot be written, or not to its end, is counted."""
        unsent = memoryview(text.encode("utf-8", "backslashreplace"))
        patience_ms = _PATIENCE_MS
        while unsent:
            # A closed or broken one is "ready" as well: the write then says so.
            if not self._poll.poll(0) and not self._poll.poll(patience_ms):
                self.lost += 1
                return
            patience_ms = 0
            try:
                unsent = unsent[os.write(self._fd, unsent[:_CHUNK_BYTES]) :]
            except OSError:
                self.lost += 1
                return

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""


def lines_to(stream: TextIO | None) -> "TextIO | Lines":
    """Return where log lines go: by plain writes, unless somebody has put an object of his own in stderr's place."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if stream is not None and stream.fileno() == STDERR:
            return Lines()
    return stream if stream is not None else Lines()


def keep_standard_files() -> None:
    """
    Open what is closed of the descriptors 0 to 2, to nothing.

    Else the next socket or file would get such a number, and be written to by whoever means stderr.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  # for the life of the process, as the other two
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def flush() -> None:
    """Write what Python still holds of standard output and error, if that can be done."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
