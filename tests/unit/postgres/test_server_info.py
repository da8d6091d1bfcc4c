"""Migrations' records against files; where libpq would connect."""

from typing import Any

import pytest

from eventwriter.config.settings import PostgresSettings
from eventwriter.postgres.connect import Endpoint, endpoints, tls_of
from eventwriter.postgres.migrate.files import parsed
from eventwriter.postgres.migrate.plan import Record
from eventwriter.postgres.server_info import compared

FIRST = parsed("0001_a.sql", "-- table: a\nCREATE TABLE a ();")
SECOND = parsed("0002_b.sql", "-- table: b\nCREATE TABLE b ();")
DONE = Record("a", FIRST.checksum, "applied")


def test_all_applied_leaves_nothing() -> None:
    """Files that were applied as they are leave nothing to say."""
    found = compared((FIRST,), {1: DONE}, {"a"})

    assert ((), (), ()) == (found.missing, found.changed, found.newer)


def test_missing_changed_and_newer_are_told_apart() -> None:
    """A table that is not there would be made, a file that was changed is named, an unknown version is another's."""
    found = compared((FIRST, SECOND), {1: Record("a", "other", "applied"), 9: DONE}, {"a"})

    assert ("0002 b",) == found.missing
    assert "was changed after it was applied" in found.changed[0]
    assert (9,) == found.newer


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({"host": "a,b", "port": "5433"}, {}, [Endpoint("a", 5433, "a"), Endpoint("b", 5433, "b")]),
        ({"dsn": "postgresql://u@a:1,b:2/d"}, {}, [Endpoint("a", 1, "a"), Endpoint("b", 2, "b")]),
        ({"dsn": "host=name hostaddr=10.0.0.1"}, {}, [Endpoint("10.0.0.1", 5432, "name")]),
        ({}, {"PGHOST": "p", "PGPORT": "7"}, [Endpoint("p", 7, "p")]),
        ({}, {}, [Endpoint("", 5432, "")]),
    ],
)
def test_endpoints_are_libpq_s(given: dict[str, Any], environ: dict[str, str], expected: list[Endpoint]) -> None:
    """Hosts and ports come from settings, DSN and libpq's variables, in that order."""
    assert expected == endpoints(PostgresSettings.model_validate(given), environ)


@pytest.mark.parametrize("host", ["", "/run/postgresql", "@abstract"])
def test_socket_is_told_from_a_host(host: str) -> None:
    """A folder, an abstract name, or nothing is a Unix socket."""
    assert Endpoint(host, 5432, host).is_socket


@pytest.mark.parametrize(
    ("given", "mode", "required", "verified"),
    [
        ({}, "prefer", False, False),
        ({"sslmode": "require"}, "require", True, False),
        ({"sslmode": "require", "sslrootcert": "/ca.pem"}, "require", True, True),
        ({"sslrootcert": "/ca.pem"}, "verify-full", True, True),
        ({"sslmode": "verify-ca", "sslrootcert": "system"}, "verify-full", True, True),
    ],
)
def test_tls_is_used_as_libpq_does(given: dict[str, Any], mode: str, required: bool, verified: bool) -> None:
    """The mode, and whether it insists on TLS and verifies, are libpq's."""
    found = tls_of(PostgresSettings.model_validate(given), {})

    assert (mode, required, verified) == (found.mode, found.required, found.verified)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"sslcert": "/c"}, "/home/one/.postgresql/root.crt"),
        ({"sslmode": "verify-ca"}, "/home/one/.postgresql/root.crt"),
        ({"sslcert": "/c", "sslrootcert": "/ca"}, "/ca"),
        ({"sslcert": "/c", "sslrootcert": "system"}, None),
    ],
)
def test_authorities_are_libpq_s(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], expected: str | None) -> None:
    """Where nobody says whom to trust, and the server is verified, it is libpq's file in the home folder."""
    monkeypatch.setenv("HOME", "/home/one")

    assert expected == tls_of(PostgresSettings.model_validate(given), {}).authorities
