"""
Connecting to PostgreSQL, and what its refusals mean.

Each attempt asks the settings for the connection string anew, so a rotated
password file is picked up by the next reconnect.
"""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from eventwriter.config import libpq
from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import Fatal, Retryable
from eventwriter.postgres.errors import Verdict, one_line, verdict

Connection = psycopg.AsyncConnection[Any]


_LOGIN_SIGNS = ("authentication failed", "no pg_hba.conf entry", "pg_hba.conf rejects", "no password supplied")
_TLS_SIGNS = ("certificate", "private key file", "does not support ssl", "ssl error", "sslmode")
_PREAMBLE = re.compile(
    r"^connection failed: connection to server (?:at|on) .*? failed: (?!.*connection to server)"
    r"|; Is the server running.*$"
)
"""What libpq says besides the reason, where it tried one address: the sentence has the address already."""
_QUOTED = re.compile(r"\"[^\"]*\"|'[^'\s]*'")


def refusal(error: psycopg.Error, target: str) -> Retryable | Fatal:
    """
    Map a failed connection to a sentence and a family.

    A login that is refused does not carry its SQLSTATE through libpq, so the words
    are looked at too; not those in quotes, which are names of hosts, roles and files.
    """
    text = one_line(error)
    signs = _QUOTED.sub('""', text).lower()
    text = _PREAMBLE.sub("", text)
    if re.search(r'(database|role) "" does not exist', signs):
        return Fatal(f"PostgreSQL at {target}: {text}; create it, or correct postgres.database and postgres.user")
    if verdict(error.sqlstate) is Verdict.PARK or any(sign in signs for sign in _LOGIN_SIGNS):
        return Fatal(f"PostgreSQL at {target} refused the login: {text}; check postgres.user, password and pg_hba.conf")
    if any(sign in signs for sign in _TLS_SIGNS):
        return Fatal(
            f"TLS to PostgreSQL at {target} failed: {text};"
            " check postgres.sslmode, sslrootcert, sslcert and sslkey, and whether the server has TLS"
        )
    return Retryable(f"cannot reach PostgreSQL at {target}: {text}")


async def connect(settings: PostgresSettings) -> Connection:
    """
    Open one connection: autocommit (transactions are written out), and no named
    prepared statements, which a transaction-pooling PgBouncer could not follow.

    Raises:
        Retryable: The server is not there, or not ready.
        Fatal: It refuses the login, the database, or the certificate.
    """
    try:
        conn = await psycopg.AsyncConnection.connect(settings.conninfo(), autocommit=True, prepare_threshold=None)
    except psycopg.ProgrammingError:
        # Its words quote the string, which may hold a password; so does the chain of causes.
        raise Fatal(
            "postgres.dsn: libpq cannot use it; check its parameters' names and the quoting of values"
        ) from None
    except psycopg.Error as error:
        raise refusal(error, settings.target()) from error
    except OSError as error:
        raise Retryable(f"cannot reach PostgreSQL at {settings.target()}: {error}") from error
    return conn


@contextlib.contextmanager
def deadline(conn: Connection, limit_s: float) -> Iterator[None]:
    """
    Cut the connection off if the block takes longer than `limit_s` seconds.

    A server that is stopped, or behind a network that swallows packets, answers
    neither a query nor a cancel request; psycopg would wait for both. Shutting the
    socket down under libpq makes it see the end of the stream at once.
    """
    timer = asyncio.get_running_loop().call_later(limit_s, sever, conn)
    try:
        yield
    finally:
        timer.cancel()


def sever(conn: Connection) -> None:
    """Shut the connection's socket down, from outside; whoever waits on it gets an error."""
    if conn.closed:
        return
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(conn.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


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
    given = libpq.parse(settings.conninfo())
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
