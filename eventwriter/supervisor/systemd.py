"""
Telling systemd how we are: readiness, one human line, and the watchdog, as datagrams.

Source: sd_notify(3), systemd.service(5). Without `NOTIFY_SOCKET` everything here
does nothing.
"""

import os
import socket
from collections.abc import Mapping

from eventwriter import clock

STATUS_CHARS_MAX = 200  # `systemctl status` cuts what is longer than a terminal anyway


class Notifier:
    """The line to systemd; owned by the supervisor's loop."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """
        Prepare the line.

        Args:
            address: Path of a datagram socket, `@name` for an abstract one, None for no line.
            watchdog_s: systemd restarts us after so many seconds of silence; None for never.
        """
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if address else None
        self._beat_s = watchdog_s / 2 if watchdog_s else None  # half, as sd_watchdog_enabled(3) advises
        self._beat_at_s = 0.0
        self._status = ""
        self.is_ready = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Notifier":
        """Read `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` (which may mean another process)."""
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_s = int(usec) / 1e6 if usec.isdigit() and ours else None
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog_s or None)

    def ready(self) -> None:
        """Say, once, that every worker runs (or that a reload is over)."""
        if not self.is_ready:
            self.is_ready = True
            self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one human line in `systemctl status`; sent only when it changed."""
        line = text.replace("\n", " ")[:STATUS_CHARS_MAX]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def watchdog(self, now_s: float) -> None:
        """Say that the loop turns; sent at half the watchdog's time."""
        if self._beat_s is not None and now_s >= self._beat_at_s:
            self._beat_at_s = now_s + self._beat_s
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` ends it."""
        self.is_ready = False
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic_s() * 1e6)}")

    def stopping(self) -> None:
        """Say that the daemon is going down."""
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
        except OSError:  # a full or vanished manager must not take the daemon with it
            return
