"""Logins to PostgreSQL by every configurable method, and the errors of refused ones."""

import os
from pathlib import Path
from typing import Any

import pytest
from fix_nats import Certificates
from fix_postgres import Secured

from eventwriter.config.settings import PostgresSettings
from eventwriter.demo.process import free_port
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.postgres.connect import connect

WHO = {"database": "metrics", "user": "writer", "password": "s3cret"}


def settings_for(secured: Secured, **settings: Any) -> PostgresSettings:
    """Return settings for the primary and role `writer`, with changes."""
    whole = {"host": "127.0.0.1", "port": str(secured.port), **WHO, **settings}
    return PostgresSettings.model_validate({key: value for key, value in whole.items() if value is not None})


async def connect_result(settings: PostgresSettings) -> tuple[str, int, bool]:
    """Connect; return role, port, and whether the connection uses TLS."""
    conn = await connect(settings)
    try:
        cursor = await conn.execute(
            "SELECT current_user, inet_server_port(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        row = await cursor.fetchone()
        assert row is not None
        return row[0], row[1], row[2]
    finally:
        await conn.close()


async def connect_error(settings: PostgresSettings) -> EventwriterError:
    """Return the error of a refused connection, and assert that no output contains a secret."""
    with pytest.raises(EventwriterError) as caught:
        await connect(settings)
    said = f"{caught.value} {settings.target()} {settings!r}"
    assert not any(secret in said for secret in ("s3cret", "wr0ng"))
    return caught.value


@pytest.mark.parametrize("how", ["value", "file", "URL", "pairs", "URL beside keys"])
async def test_password_logs_in(secured: Secured, tmp_path: Path, how: str) -> None:
    """A SCRAM password logs in as a value, from a file that ends with a newline, and in both forms of DSN."""
    path = tmp_path / "pw"
    path.write_text("s3cret\n")
    place = f"127.0.0.1:{secured.port}"
    settings = {
        "value": settings_for(secured),
        "file": settings_for(secured, password=None, password_file=str(path)),
        "URL": PostgresSettings.model_validate({"dsn": f"postgresql://writer:s3cret@{place}/metrics"}),
        "pairs": PostgresSettings.model_validate(
            {"dsn": f"host=127.0.0.1 port={secured.port} dbname=metrics user=writer password='s3cret'"}
        ),
        "URL beside keys": PostgresSettings.model_validate(
            {"dsn": f"postgresql://nobody:wr0ng@{place}/metrics", "user": "writer", "password": "s3cret"}
        ),
    }

    role, port, _ = await connect_result(settings[how])

    assert ("writer", secured.port) == (role, port)


async def test_rotated_password_file_is_read_at_the_next_connect(secured: Secured, tmp_path: Path) -> None:
    """A changed password file is read again at the next connection."""
    path = tmp_path / "pw"
    path.write_text("wr0ng")
    settings = settings_for(secured, password=None, password_file=str(path))

    before = await connect_error(settings)
    path.write_text("s3cret\n")

    assert "refused the login" in str(before)
    assert "writer" == (await connect_result(settings))[0]


async def test_missing_password_file_is_fatal(secured: Secured, tmp_path: Path) -> None:
    """A password file that cannot be read is an error that names it."""
    error = await connect_error(settings_for(secured, password=None, password_file=str(tmp_path / "none")))

    assert isinstance(error, Fatal)
    assert str(error).startswith(f"postgres.password_file: cannot read {tmp_path / 'none'}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"password": "wr0ng"}, "refused the login: "),
        ({"password": None}, "refused the login: "),
        ({"user": "nobody"}, "refused the login: "),
        ({"user": "secured", "sslmode": "disable"}, "refused the login: "),
        ({"user": "certified", "sslmode": "require"}, "certificate"),
        ({"database": "none"}, 'database "none" does not exist; create it, or correct postgres.database'),
        ({"user": "ssl certificate", "password": "x"}, "refused the login: "),
    ],
    ids=["wrong", "no password", "no such role", "TLS only", "no certificate", "no database", "odd name"],
)
async def test_refused_login_is_fatal(secured: Secured, settings: dict[str, Any], words: str) -> None:
    """A refused login, role or database is one line with the server's address, and is not an outage."""
    error = await connect_error(settings_for(secured, **settings))

    assert isinstance(error, Fatal)
    assert f"PostgreSQL at 127.0.0.1:{secured.port}/" in str(error)
    assert words in str(error)
    assert "\n" not in str(error)


async def test_missing_role_is_fatal(secured: Secured, database: str) -> None:
    """A role that does not exist on a server that trusts its clients is reported as missing."""
    error = await connect_error(PostgresSettings.model_validate({"dsn": database, "user": "nobody_here"}))

    assert isinstance(error, Fatal)
    assert 'role "nobody_here" does not exist; create it' in str(error)


@pytest.mark.parametrize("host", ["127.0.0.1", "ssl-certificate.invalid"], ids=["nobody listens", "no such host"])
async def test_unreachable_server_is_an_outage(host: str) -> None:
    """An unreachable server is retryable, and the error contains host and port."""
    settings = PostgresSettings.model_validate({"host": host, "port": free_port(), **WHO, "connect_timeout": 2})

    error = await connect_error(settings)

    assert isinstance(error, Retryable)
    assert str(error).startswith(f"cannot reach PostgreSQL at {host}:{settings.port}/metrics as writer: ")


@pytest.mark.parametrize("form", ["URL", "keys"])
@pytest.mark.parametrize("first", ["down", "replica"])
async def test_primary_is_found_among_several_hosts(secured: Secured, form: str, first: str) -> None:
    """The host that accepts writes is found after one that is down or a streaming replica."""
    other = free_port() if first == "down" else secured.replica_port
    keys = {"host": "127.0.0.1,127.0.0.1", "port": f"{other},{secured.port}", "target_session_attrs": "read-write"}
    url = f"postgresql://writer:s3cret@127.0.0.1:{other},127.0.0.1:{secured.port}/metrics"
    settings = (
        settings_for(secured, **keys)
        if form == "keys"
        else PostgresSettings.model_validate({"dsn": f"{url}?target_session_attrs=read-write"})
    )

    assert secured.port == (await connect_result(settings))[1]
    assert f"127.0.0.1:{other},127.0.0.1:{secured.port}/metrics as writer" == settings.target()


async def test_only_a_replica_is_an_outage(secured: Secured) -> None:
    """If only a replica is reachable, the error is retryable, because the replica may be promoted."""
    error = await connect_error(
        settings_for(secured, port=str(secured.replica_port), target_session_attrs="read-write")
    )

    assert isinstance(error, Retryable)
    assert "read-only" in str(error)


@pytest.mark.parametrize("mode", [None, "verify-full"])
async def test_server_certificate_is_verified(secured: Secured, mode: str | None) -> None:
    """The server's certificate is verified with our authority, even if only the authority is configured."""
    settings = settings_for(
        secured, host="localhost", user="secured", sslmode=mode, sslrootcert=secured.certificates.ca_file
    )

    assert ("secured", secured.port, True) == await connect_result(settings)


async def test_client_certificate_logs_in(secured: Secured) -> None:
    """A role that logs in by certificate needs no password."""
    settings = settings_for(
        secured,
        host="localhost",
        user="certified",
        password=None,
        sslrootcert=secured.certificates.ca_file,
        **secured.key("certified"),
    )

    assert ("certified", secured.port, True) == await connect_result(settings)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown authority", "certificate verify failed"),
        ("another name", "does not match host name"),
        ("authority missing", "none.pem"),
        ("authority not given", "/.postgresql/root.crt"),
        ("key open", "has group or world access"),
        ("other role", "refused the login: "),
    ],
)
async def test_tls_failure_is_fatal(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, words: str
) -> None:
    """A certificate that cannot be verified or used is fatal, and the error has the reason."""
    settings: dict[str, Any] = {
        "host": "localhost",
        "user": "certified",
        "password": None,
        "sslrootcert": secured.certificates.ca_file,
        **secured.key("unmapped" if case == "other role" else "certified"),
    }
    if case == "unknown authority":
        settings["sslrootcert"] = Certificates(tmp_path / "others").ca_file
    elif case == "another name":
        settings["host"] = "127.0.0.1"
    elif case == "authority missing":
        settings["sslrootcert"] = str(tmp_path / "none.pem")
    elif case == "authority not given":
        del settings["sslrootcert"]
        monkeypatch.setenv("HOME", str(tmp_path))
    elif case == "key open":
        os.chmod(settings["sslkey"], 0o644)

    error = await connect_error(settings_for(secured, **settings))

    assert isinstance(error, Fatal)
    assert words in str(error)


async def test_server_without_required_tls_is_fatal(database: str) -> None:
    """A server without TLS is refused if TLS is required."""
    error = await connect_error(PostgresSettings.model_validate({"dsn": database, "sslmode": "require"}))

    assert isinstance(error, Fatal)
    assert "does not support SSL" in str(error)
