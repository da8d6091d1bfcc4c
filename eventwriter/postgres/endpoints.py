"""
Where libpq would connect, and how it would use TLS, from settings and libpq's own environment; pure but for those.

Source: PostgreSQL documentation, "Parameter Key Words", "Environment Variables", "SSL Support".
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from eventwriter.config import libpq
from eventwriter.config.settings import PostgresSettings

_ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


_AUTHORITIES = "~/.postgresql/root.crt"
"""Whom libpq trusts where nobody says."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One server.

    Attributes:
        host: Where to connect; one that begins with a slash is a folder with a Unix socket.
        name: What its certificate is to be for.
    """

    host: str
    port: int
    name: str

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return not self.host or self.host.startswith(("/", "@"))


@dataclass(frozen=True, slots=True)
class Tls:
    """How TLS is to be used."""

    mode: str
    authorities: str | None
    """PEM file; None for the system's."""
    certificate: str | None
    key: str | None

    @property
    def required(self) -> bool:
        """Whether a server without TLS is refused."""
        return self.mode in ("require", "verify-ca", "verify-full")

    @property
    def verified(self) -> bool:
        """Whether the server's certificate is verified; libpq does so in `require`, too, where it has authorities."""
        return self.mode.startswith("verify") or (self.mode == "require" and self.authorities is not None)


def _parameters(settings: PostgresSettings, environ: Mapping[str, str]) -> dict[str, str]:
    given = libpq.read(settings.conninfo())
    defaults = {key: environ[name] for key, name in _ENVIRONMENT.items() if environ.get(name)}
    return {**defaults, **given}


def endpoints(settings: PostgresSettings, environ: Mapping[str, str] = os.environ) -> list[Endpoint]:
    """
    Return the servers that are tried, in order.

    Raises:
        Fatal: The password file cannot be read.
    """
    found = _parameters(settings, environ)
    hosts = (found.get("hostaddr") or found.get("host") or "").split(",")
    names = (found.get("host") or found.get("hostaddr") or "").split(",")
    ports = (found.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [
        Endpoint(host, int(port or 5432), name) for host, port, name in zip(hosts, ports, names, strict=False)
    ]  # fmt: skip


def tls_of(settings: PostgresSettings, environ: Mapping[str, str] = os.environ) -> Tls:
    """
    Return how TLS is used.

    Raises:
        Fatal: The password file cannot be read.
    """
    found = _parameters(settings, environ)
    mode = found.get("sslmode") or "prefer"
    authorities = found.get("sslrootcert")
    if authorities is None and mode.startswith("verify"):
        authorities = os.path.expanduser(_AUTHORITIES)
    return Tls(
        "verify-full" if authorities == "system" else mode,
        None if authorities == "system" else authorities,
        found.get("sslcert"),
        found.get("sslkey"),
    )
