"""
Where the web child listens, as it is written: `127.0.0.1:8088`, `[::1]:8088`, or `:8088` for the loopback. Pure.
"""

import ipaddress
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
PORT_MAX = 65535


class Address(NamedTuple):
    """A host, without brackets, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it; a name other than localhost is taken to be reached from elsewhere."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def read_address(text: str) -> Address:
    """
    Read an address.

    Args:
        text: `HOST:PORT`; without a host the loopback is meant, an IPv6 host stands in brackets.

    Raises:
        ValueError: It is none; the sentence says how one is written.
    """
    host, colon, port = text.strip().rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or (":" in host and not is_bracketed) or "/" in host:
        raise ValueError(f"an address is written {LOOPBACK}:8088, [::1]:8088, or :8088 for this machine only")
    if not 1 <= int(port) <= PORT_MAX:
        raise ValueError(f"port {port} does not exist; choose one from 1 to {PORT_MAX}, like 8088")
    return Address(host.strip("[]") or LOOPBACK, int(port))
