"""libpq's connection strings."""

import psycopg.conninfo
import pytest

from eventwriter.config.libpq import combine, parse, target
from eventwriter.config.load import load
from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import ConfigError

NASTY = r"""p'a\s "w/o?r@d&=% ü"""


def parsed(**settings: object) -> dict[str, str]:
    """Return the parameters that libpq itself finds in the connection string of the settings, without TCP timeouts."""
    parameters = psycopg.conninfo.conninfo_to_dict(PostgresSettings.model_validate(settings).conninfo())
    return {key: str(value) for key, value in parameters.items() if key not in TCP}


TCP = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
OURS = {"application_name": "eventwriter", "connect_timeout": "10"}


@pytest.mark.parametrize(
    "dsn", [None, "", "host=h dbname='d'", "postgresql://u@h/d", "postgresql://h:1/?sslmode=require"]
)
def test_password_with_special_characters_reaches_libpq_unchanged(dsn: str | None) -> None:
    """Quotes, backslashes, spaces and URL characters in a password reach libpq unchanged with every form of DSN."""
    assert NASTY == parsed(dsn=dsn, password=NASTY)["password"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, OURS),
        ({"dsn": ""}, OURS),
        ({"dsn": "postgresql://"}, OURS),
        (
            {"dsn": "postgresql://u:p%40@h:1/d?application_name=mine&connect_timeout=3&sslmode=require"},
            {"user": "u", "password": "p@", "host": "h", "port": "1", "dbname": "d"}
            | {"application_name": "mine", "connect_timeout": "3", "sslmode": "require"},
        ),
        (
            {"dsn": "host=h application_name = 'my app' connect_timeout=3 sslmode=verify-ca", "sslrootcert": "/ca"},
            {"host": "h", "application_name": "my app", "connect_timeout": "3", "sslmode": "verify-ca"}
            | {"sslrootcert": "/ca"},
        ),
        (
            {"dsn": "postgresql://h/d?connect_timeout=3&application_name=a", "connect_timeout": "7s", "database": "e"},
            {"host": "h", "dbname": "e", "application_name": "a", "connect_timeout": "7"},
        ),
        (
            {"dsn": "host=a user=u", "host": "b", "user": "w", "application_name": "x"},
            {"host": "b", "user": "w", "application_name": "x", "connect_timeout": "10"},
        ),
        ({"dsn": "postgresql://a:1,b:2/d"}, OURS | {"host": "a,b", "port": "1,2", "dbname": "d"}),
    ],
)
def test_dsn_overrides_defaults_and_keys_override_the_dsn(
    settings: dict[str, object], expected: dict[str, str]
) -> None:
    """Parameters of a DSN override our defaults, and keys beside the DSN override its parameters."""
    assert expected == parsed(**settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["15", "5", "3", "60000"]),
        ({"tcp_timeout": 12, "statement_timeout": 8}, ["6", "2", "3", "20000"]),
        ({"dsn": "host=h keepalives_idle=60 tcp_user_timeout=1"}, ["60", "5", "3", "1"]),
        ({"dsn": "host=h keepalives_idle=60", "tcp_timeout": 12}, ["6", "2", "3", "42000"]),
    ],
)
def test_tcp_timeout_is_divided_into_keepalives(settings: dict[str, object], expected: list[str]) -> None:
    """Idle time and keepalives add up to the timeout; a DSN overrides the default, and the key overrides the DSN."""
    parameters = psycopg.conninfo.conninfo_to_dict(PostgresSettings.model_validate(settings).conninfo())

    assert expected == [str(parameters[name]) for name in TCP]


@pytest.mark.parametrize("key", ["sslrootcert", "sslcert"])
@pytest.mark.parametrize("dsn", ["host=h", "host=h {key}=/c", "postgresql://h/", "postgresql://h/?{key}=/c"])
def test_certificate_enables_verification(dsn: str, key: str) -> None:
    """A certificate without a mode, in the DSN or beside it, sets the mode to verify-full."""
    beside = {} if "{key}" in dsn else {key: "/c"}

    parameters = parsed(dsn=dsn.format(key=key), **beside)

    assert ("/c", "verify-full") == (parameters[key], parameters["sslmode"])


def test_mode_is_not_set_without_a_certificate() -> None:
    """Without a certificate, libpq's default mode is used."""
    assert "sslmode" not in parsed(dsn="host=h")


@pytest.mark.parametrize(
    "dsn",
    [
        "host=h port=1 dbname='a b' password='x\\'y host=z'",
        "host = h user=u\\ v",
        "host='' password=",
        "postgresql://u:p@h:1,[::1]:2/d?sslmode=require&host=x",
        "postgres://u:p?w@h/d",
        "postgresql:///d?host=/tmp",
        "postgresql://%2Ftmp/d",
        "postgresql://h",
        "postgresql://h/d?ssl=true",
        "postgresql://h/d?ssl=true&sslmode=verify-ca",
    ],
)
def test_dsn_is_parsed_like_libpq_does(dsn: str) -> None:
    """Our parser finds the same parameters as libpq's."""
    theirs = {key: value for key, value in psycopg.conninfo.conninfo_to_dict(dsn).items() if value not in (None, "")}

    assert theirs == {key: value for key, value in parse(dsn).items() if value}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "localhost:5432/"),
        ({"host": "a,b", "port": "1,2", "database": "d", "user": "u", "password": "s3cret"}, "a:1,b:2/d as u"),
        ({"host": "a,b", "port": "1"}, "a:1,b:1/"),
        ({"dsn": "postgresql://u:s3cret@h/d"}, "h:5432/d as u"),
        ({"dsn": "postgresql://h/d?password=s3cret&application_name=a@b"}, "h:5432/d"),
        ({"dsn": "password='x host=s3cret' host=h"}, "h:5432/"),
        ({"dsn": "host=h password=s3cret", "host": "other"}, "other:5432/"),
    ],
)
def test_target_contains_no_secret(settings: dict[str, object], expected: str) -> None:
    """The target contains only hosts, ports, database and user, with every form of DSN."""
    assert expected == PostgresSettings.model_validate(settings).target()


@pytest.mark.parametrize("dsn", ["s3cret", "host=h password=s3 cret", "password='s3cret", "postgresql://h/?s3cret"])
def test_invalid_dsn_is_refused_without_quoting_it(dsn: str) -> None:
    """A DSN with a syntax error is refused when settings are loaded, and the error contains no part of it."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {"postgres": {"dsn": dsn}})

    assert [("postgres.dsn", "invalid")] == [(error.key, error.code) for error in caught.value.errors]
    assert "cret" not in str(caught.value)


def test_combination_of_nothing_is_empty() -> None:
    """Without any parameter, the connection string is empty and the target is libpq's default."""
    assert ("", "localhost:5432/") == (combine({}, "", {}), target({}))
