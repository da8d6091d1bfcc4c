"""
Signals as bytes on a socket, so that the loop's `select` wakes up and no code runs inside a handler.

Python writes each signal's number to the wakeup descriptor from C. The handlers
themselves do nothing; they exist because a signal without a handler would end
the process.
"""

import signal
import socket
from collections.abc import Iterable
from types import FrameType

READ_BYTES_MAX = 256  # signals waiting at once; more are the same signals again


def ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wakeup descriptor has already told the loop."""


class Wakeup:
    """The signals that the supervisor listens to; owned by its loop, closed in every child."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self.numbers = tuple(numbers)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before = {number: signal.signal(number, ignore) for number in self.numbers}
        # A full pipe means that hundreds of signals wait already: nothing is lost, so no warning.
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a signal has come."""
        return self._reader.fileno()

    def read(self) -> list[int]:
        """Return the numbers of the signals that came since the last call, in order."""
        try:
            return [number for number in self._reader.recv(READ_BYTES_MAX) if number in self.numbers]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Give the signals back to whoever had them, and close the sockets."""
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def abandon(self) -> None:
        """Close this copy of the sockets, in a forked child, which sets its own handlers."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()
