"""
Connecting to PostgreSQL, deadlines of connections, and the servers and TLS files of the settings.

Every attempt builds the connection string again, so that a rotated password file takes effect
at the next reconnect.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from pydantic import ValidationError

from eventwriter.config import libpq
from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import Fatal, Retryable
from eventwriter.postgres.errors import map_connect_error

Connection = psycopg.AsyncConnection[Any]

INVALID_DSN = "invalid_dsn"
"""Code of the error for a connection string that cannot be parsed."""


def settings_from_dsn(dsn: str, runtime_params: Mapping[str, str] | None = None) -> PostgresSettings:
    """
    Return settings for a connection string given on the command line.

    Raises:
        Fatal: It is not a connection string. The message does not quote it, because it may contain a password.
    """
    try:
        return PostgresSettings.model_validate({"dsn": dsn, "runtime_params": dict(runtime_params or {})})
    except ValidationError:
        raise Fatal(
            "the DSN is not a PostgreSQL connection string",
            code=INVALID_DSN,
            hint='write postgresql://USER@HOST:5432/DATABASE, or "host=HOST dbname=DATABASE user=USER"',
        ) from None


async def connect(settings: PostgresSettings) -> Connection:
    """
    Open a connection in autocommit mode, without named prepared statements.

    A PgBouncer that pools by transaction does not support named prepared statements.

    Raises:
        Retryable: The server is unreachable or not ready.
        Fatal: The server refuses the login, the database or the certificate.
    """
    with map_connect_errors(settings):
        return await psycopg.AsyncConnection.connect(settings.conninfo(), autocommit=True, prepare_threshold=None)


@contextlib.contextmanager
def map_connect_errors(settings: PostgresSettings) -> Iterator[None]:
    """Map the errors of a connection attempt to the error families."""
    target = settings.target()
    try:
        yield
    except psycopg.ProgrammingError:
        # The exception and its causes quote the connection string, which may contain a password.
        hint = "check the names of its parameters and the quoting of its values"
        raise Fatal("postgres.dsn is not a valid connection string", code=INVALID_DSN, hint=hint) from None
    except psycopg.Error as error:
        raise map_connect_error(error, target) from error
    except OSError as error:
        raise Retryable(f"cannot reach PostgreSQL at {target}: {error}", code="postgres_unreachable") from error


@contextlib.contextmanager
def deadline(conn: Connection, limit_s: float) -> Iterator[None]:
    """
    Shut the connection down if the block takes longer than `limit_s` seconds.

    A stopped server, or one behind a network that drops packets, answers neither a query nor a
    cancel request, and psycopg would wait for both. After a shutdown of the socket, libpq reads
    the end of the stream at once.
    """
    timer = asyncio.get_running_loop().call_later(limit_s, sever, conn)
    try:
        yield
    finally:
        timer.cancel()


def sever(conn: Connection) -> None:
    """Shut down the connection's socket; a task that waits for the connection gets an error."""
    if conn.closed:
        return
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(conn.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


_ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}
"""libpq's parameters and the environment variables of their defaults."""

_DEFAULT_ROOT_CERT = "~/.postgresql/root.crt"
"""File of trusted certificate authorities that libpq uses by default."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One server.

    Attributes:
        host: Host name, address, or the folder of a Unix socket, which starts with a slash.
        name: Host name that the server's certificate must carry.
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
    """
    Use of TLS.

    Attributes:
        mode: libpq's `sslmode`.
        authorities: PEM file of trusted authorities; None for the system's.
        certificate: PEM file of the client's certificate.
        key: PEM file of the client's key.
    """

    mode: str
    authorities: str | None
    certificate: str | None
    key: str | None

    @property
    def required(self) -> bool:
        """Whether a server without TLS is refused."""
        return self.mode in ("require", "verify-ca", "verify-full")

    @property
    def verified(self) -> bool:
        """Whether the server's certificate is verified; with authorities, libpq verifies it in mode `require` too."""
        return self.mode.startswith("verify") or (self.mode == "require" and self.authorities is not None)


def _parameters(settings: PostgresSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of the connection, with libpq's defaults from the environment."""
    defaults = {key: environ[name] for key, name in _ENVIRONMENT.items() if environ.get(name)}
    return {**defaults, **libpq.parse(settings.conninfo())}


def endpoints(settings: PostgresSettings, environ: Mapping[str, str] = os.environ) -> list[Endpoint]:
    """
    Return the servers in the order in which libpq tries them.

    Raises:
        Fatal: The password file cannot be read.
    """
    parameters = _parameters(settings, environ)
    hosts = (parameters.get("hostaddr") or parameters.get("host") or "").split(",")
    names = (parameters.get("host") or parameters.get("hostaddr") or "").split(",")
    ports = (parameters.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    triples = zip(hosts, ports, names, strict=False)
    return [Endpoint(host, int(port or 5432), name) for host, port, name in triples]


def tls_of(settings: PostgresSettings, environ: Mapping[str, str] = os.environ) -> Tls:
    """
    Return how TLS is used.

    Raises:
        Fatal: The password file cannot be read.
    """
    parameters = _parameters(settings, environ)
    mode = parameters.get("sslmode") or "prefer"
    authorities = parameters.get("sslrootcert")
    if authorities is None and mode.startswith("verify"):
        authorities = os.path.expanduser(_DEFAULT_ROOT_CERT)
    certificate, key = parameters.get("sslcert"), parameters.get("sslkey")
    if authorities == "system":
        return Tls("verify-full", None, certificate, key)
    return Tls(mode, authorities, certificate, key)
