"""Credentials in malformed values: they are refused without being quoted."""

from typing import Any

import psycopg
import pytest

from eventwriter.config.describe import effective
from eventwriter.config.libpq import parse
from eventwriter.config.load import load
from eventwriter.errors import ConfigError

SEED = "SU" + "A" * 56

MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    ("postgres", {"dsn": "postgresql://u:a@SECRET@host/db"}, "postgres.dsn"),
    ("postgres", {"dsn": "postgresql://u:SECRET/x@host/db"}, "postgres.dsn"),
    ("postgres", {"dsn": "postgresql://u:12/SECRET@host/db"}, "postgres.dsn"),
    ("postgres", {"dsn": "postgresql://u:SECRET%@host/db"}, "postgres.dsn"),
    ("postgres", {"dsn": "postgresql://u:SECRET#x?y@host:port/db"}, "postgres.dsn"),
    ("postgres", {"dsn": "host=h password=a SECRET=x"}, "postgres.dsn"),
    ("postgres", {"dsn": "host=h port=99999 password=SECRET"}, "postgres.dsn"),
    ("postgres", {"dsn": "dbname='host=h password=SECRET'"}, "postgres.dsn"),
    ("postgres", {"dsn": "postgres:/u:SECRET@host/db"}, "postgres.dsn"),
    ("postgres", {"database": "postgresql://u:SECRET@host/db"}, "postgres.database"),
    ("postgres", {"database": "host=h password = SECRET"}, "postgres.database"),
    ("postgres", {"host": "postgresql://u:SECRET@host/db"}, "postgres.host"),
    ("postgres", {"port": "5432 password=SECRET"}, "postgres.port"),
    ("nats", {"servers": "nats://u:SECRET/x@host"}, "nats.servers"),
    ("nats", {"servers": "nats://u:a@SECRET@host"}, "nats.servers"),
    ("nats", {"servers": "nats:/u:SECRET@host"}, "nats.servers"),
    ("nats", {"servers": "nats://u:SECRET%zz@host"}, "nats.servers"),
    ("nats", {"servers": ["nats://h", "nats://u:SECRET@host:99999"]}, "nats.servers"),
    ("nats", {"servers": {"url": "nats://u:SECRET@host"}}, "nats.servers"),
    ("nats", {"nkey_seed_file": SEED}, "nats.nkey_seed_file"),
    ("nats", {"creds_file": f"-----BEGIN USER NKEY SEED-----\n{SEED}\n"}, "nats.creds_file"),
    ("nats", {"tls": "tls://u:SECRET@host"}, "nats.tls"),
    ("http", {"listen": "http://u:SECRET@host:1"}, "http.listen"),
]


@pytest.mark.parametrize(("section", "keys", "key"), MALFORMED)
def test_malformed_value_with_a_credential_is_refused_without_quoting_it(
    section: str, keys: dict[str, Any], key: str
) -> None:
    """A value that cannot be parsed is refused at load, and the error contains no part of it."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {section: keys})

    assert [key] == [error.key for error in caught.value.errors]
    assert "SECRET" not in str(caught.value)
    assert SEED not in str(caught.value)


@pytest.mark.parametrize("section", ["nats", "postgres", "log", "streams", "supervisor"])
def test_url_in_place_of_a_section_is_not_quoted(section: str) -> None:
    """A URL under the key of a section is refused without being quoted."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {section: "postgresql://u:SECRET@host/db"})

    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("key", ["password_file", "token_file", "creds_file"])
def test_password_in_place_of_a_path_is_not_quoted(key: str) -> None:
    """If a file cannot be read, text that does not look like a path is not quoted, as it may be the password."""
    nats = {key: "SECRET/x", **({"user": "u"} if key == "password_file" else {})}
    with pytest.raises(ConfigError) as caught:
        load(None, {"CNPG_HOST": "h"}, {"nats": nats}, run_checks=lambda _settings: [])

    assert [(f"nats.{key}", "unreadable")] == [(error.key, error.code) for error in caught.value.errors]
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["nats://u:p%40%2F@h:4222", "tls://u:p@[::1]:4222", "nats://token@h", "h:4222", "wss://h-1.example.com:443"]
)
def test_encoded_url_is_accepted_and_hidden(url: str) -> None:
    """A URL with an encoded login is accepted, and displayed without the login."""
    settings = load(None, {}, {"nats": {"servers": url}}).settings

    (displayed,) = effective(settings.nats)["servers"]
    assert not any(part in displayed for part in ("u:p", "token"))


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("nats://u:p%40%2Fx@h", {("u", "p@/x")}),
        ("nats://t%3Dken@h", {("t=ken", None)}),
        ("nats://u:@h", {("u", "")}),
        ("nats://h:4222", set()),
    ],
)
def test_login_in_a_url_is_decoded(url: str, login: set[tuple[str, str | None]]) -> None:
    """User and password of a URL are percent-decoded; a user without a password is a token."""
    assert login == load(None, {}, {"nats": {"servers": url}}).settings.nats.url_logins()


@pytest.mark.parametrize(
    "servers",
    [
        pytest.param(["nats://a", "tls://b"], id="TLS on one server"),
        pytest.param("a,tls://b", id="TLS on one server, as text"),
        pytest.param(["ws://a", "wss://b"], id="websockets"),
        pytest.param(["nats://u:p@a", "nats://u:other@b"], id="different logins"),
    ],
)
def test_servers_with_different_security_are_refused(servers: Any) -> None:
    """Servers of one list must all use TLS or none, and must have the same login."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {"nats": {"servers": servers}})

    assert [("nats.servers", "conflict")] == [(error.key, error.code) for error in caught.value.errors]


@pytest.mark.parametrize(
    "nats",
    [
        {"servers": ["tls://a", "tls://b"]},
        {"servers": ["nats://a", "b"]},
        {"servers": ["nats://a", "tls://b"], "tls": {}},
        {"servers": ["nats://u:p@a", "nats://b"]},
    ],
)
def test_servers_with_equal_security_are_accepted(nats: dict[str, Any]) -> None:
    """Section `nats.tls` applies to all servers, so their URLs may then differ."""
    assert 2 == len(load(None, {}, {"nats": nats}).settings.nats.servers)


def test_every_parameter_of_libpq_is_known() -> None:
    """The DSN accepts every parameter of the installed libpq."""
    names = [option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()]

    assert names == [name for name in names if parse(f"{name}=1")]


def test_port_of_a_dsn_is_checked() -> None:
    """Ports in a DSN range from 1 to 65535, in both forms."""
    for dsn in ("postgresql://h:65536/", "host=h port=0"):
        with pytest.raises(ValueError, match="not a connection string"):
            parse(dsn)
