"""Address of the web child as text: `127.0.0.1:8088`, `[::1]:8088`, or `:8088` for the loopback. Pure."""

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
        """Whether only this machine can reach it; of host names, only localhost is assumed to be local."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """
    Return the address that a text describes.

    Args:
        text: `HOST:PORT`; an empty host means the loopback, an IPv6 address is in brackets.

    Raises:
        ValueError: The text is not an address.
    """
    host, colon, port = text.strip().rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or (":" in host and not is_bracketed) or "/" in host:
        raise ValueError(f"not an address; write {LOOPBACK}:8088, [::1]:8088, or :8088 for this machine only")
    if not 1 <= int(port) <= PORT_MAX:
        raise ValueError(f"not an address; ports range from 1 to {PORT_MAX}")
    return Address(host.strip("[]") or LOOPBACK, int(port))
