"""Servers, TLS and connection strings of the settings."""

from typing import Any

import pytest

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import Fatal
from eventwriter.postgres.connect import INVALID_DSN, Endpoint, endpoints, settings_from_dsn, tls_of


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
def test_endpoints_come_from_settings_dsn_and_environment(
    given: dict[str, Any], environ: dict[str, str], expected: list[Endpoint]
) -> None:
    """Settings override the DSN, and both override libpq's environment variables."""
    assert expected == endpoints(PostgresSettings.model_validate(given), environ)


@pytest.mark.parametrize("host", ["", "/run/postgresql", "@abstract"])
def test_folder_and_abstract_name_are_unix_sockets(host: str) -> None:
    """A folder, an abstract name or an empty host is a Unix socket."""
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
def test_tls_mode_is_interpreted_like_libpq(given: dict[str, Any], mode: str, required: bool, verified: bool) -> None:
    """The mode, and whether it requires TLS and verifies the server, are those of libpq."""
    tls = tls_of(PostgresSettings.model_validate(given), {})

    assert (mode, required, verified) == (tls.mode, tls.required, tls.verified)


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
def test_default_authorities_are_those_of_libpq(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], expected: str | None
) -> None:
    """If the server is verified without a file of authorities, libpq's file in the home folder is used."""
    monkeypatch.setenv("HOME", "/home/one")

    assert expected == tls_of(PostgresSettings.model_validate(given), {}).authorities


@pytest.mark.parametrize(
    ("dsn", "target"),
    [
        ("postgresql://anna:hush@db.example:6432/metrics", "db.example:6432/metrics as anna"),
        ("host=/tmp/sock dbname=metrics user=anna password=hush", "/tmp/sock:5432/metrics as anna"),
        ("", "localhost:5432/"),
    ],
)
def test_dsn_of_the_command_line_is_displayed_without_its_password(dsn: str, target: str) -> None:
    """Messages name host, port, database and role, but not the password."""
    assert target == settings_from_dsn(dsn).target()


@pytest.mark.parametrize("dsn", ["hush", "postgres//anna:hush@db/x"])
def test_invalid_dsn_is_not_quoted_in_the_error(dsn: str) -> None:
    """The error for a mistyped connection string does not quote it, because it may contain a password."""
    with pytest.raises(Fatal) as caught:
        settings_from_dsn(dsn)

    assert INVALID_DSN == caught.value.code
    assert "hush" not in str(caught.value)
