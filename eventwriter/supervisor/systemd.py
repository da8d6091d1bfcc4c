"""
Notifications to systemd: readiness, one status line, and the watchdog, as datagrams.

Without `NOTIFY_SOCKET`, nothing is sent.

Source: sd_notify(3), systemd.service(5).
"""

import os
import socket
from collections.abc import Mapping

from eventwriter import clock
from eventwriter.observe.escape import printable_line

STATUS_CHARS_MAX = 200  # `systemctl status` truncates at the width of the terminal anyway


class Notifier:
    """
    Sender of notifications; owned by the supervisor's loop.

    Args:
        address: Path of a datagram socket, `@name` for an abstract socket, None for no notifications.
        watchdog_s: Time without a notification after which systemd restarts the daemon; None for no limit.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if address else None
        self._interval_s = watchdog_s / 2 if watchdog_s else None  # half, as sd_watchdog_enabled(3) advises
        self._next_s = 0.0
        self._status = ""
        self.is_ready = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Notifier":
        """Read `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` (which may name another process)."""
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_s = int(usec) / 1e6 if usec.isdigit() and ours else None
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog_s or None)

    def ready(self) -> None:
        """Report, once, that the supervisor's loop runs, or that a reload has ended."""
        if not self.is_ready:
            self.is_ready = True
            self._send("READY=1")

    def status(self, text: str) -> None:
        """Set the line in `systemctl status`; it is sent only if it changed."""
        line = printable_line(text)[:STATUS_CHARS_MAX]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def watchdog(self, now_s: float) -> None:
        """Report that the loop is running; sent at half the watchdog's time."""
        if self._interval_s is not None and now_s >= self._next_s:
            self._next_s = now_s + self._interval_s
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Report that the configuration is being loaded again; `ready` ends this state."""
        self.is_ready = False
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic_s() * 1e6)}")

    def stopping(self) -> None:
        """Report that the daemon is stopping."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:  # the buffer is full, or systemd is not running any more; neither must end the daemon
            return
