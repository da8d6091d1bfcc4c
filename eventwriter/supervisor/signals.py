"""
Signals as bytes on a socket: they wake up the loop's `select`, and no code runs in a signal handler.

Python writes each signal's number to the wakeup descriptor from C. The handlers themselves do
nothing; they exist because a signal without a handler would end the process.
"""

import signal
import socket
from collections.abc import Iterable
from types import FrameType

READ_BYTES_MAX = 256  # signals waiting at the same time; more of them would be repetitions


def ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; the wakeup descriptor has already woken the loop."""


class SignalReader:
    """Reader of the signals that the supervisor handles; owned by its loop, closed in every child."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self.numbers = tuple(numbers)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before = {number: signal.signal(number, ignore) for number in self.numbers}
        # If the buffer is full, hundreds of signals are waiting already, and none is missed.
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Return a descriptor that is readable when a signal has arrived."""
        return self._reader.fileno()

    def read(self) -> list[int]:
        """Return the numbers of the signals that have arrived since the last call, in order."""
        try:
            return [number for number in self._reader.recv(READ_BYTES_MAX) if number in self.numbers]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Restore the previous handlers, and close the sockets."""
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def close_in_child(self) -> None:
        """Close a forked child's copies of the sockets; the child sets its own handlers."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()
