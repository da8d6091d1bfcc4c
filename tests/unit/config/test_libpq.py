"""libpq's connection strings."""

import psycopg.conninfo
import pytest
from pydantic import ValidationError

from eventwriter.config.libpq import joined, read, where
from eventwriter.config.settings import PostgresSettings

NASTY = r"""p'a\s "w/o?r@d&=% ü"""


def parsed(**settings: object) -> dict[str, str]:
    """Return what libpq itself makes of the settings."""
    found = psycopg.conninfo.conninfo_to_dict(PostgresSettings.model_validate(settings).conninfo())
    return {key: str(value) for key, value in found.items()}


OURS = {"application_name": "eventwriter", "connect_timeout": "10"}


@pytest.mark.parametrize(
    "dsn", [None, "", "host=h dbname='d'", "postgresql://u@h/d", "postgresql://h:1/?sslmode=require"]
)
def test_nasty_password_arrives_unharmed(dsn: str | None) -> None:
    """Quotes, backslashes, spaces and URL characters in a password reach libpq as they are, over every kind of DSN."""
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
def test_dsn_wins_over_defaults_and_keys_win_over_the_dsn(
    settings: dict[str, object], expected: dict[str, str]
) -> None:
    """A DSN's own parameters stand against our defaults, and fall to keys that are given beside it."""
    assert expected == parsed(**settings)


@pytest.mark.parametrize("key", ["sslrootcert", "sslcert"])
@pytest.mark.parametrize("dsn", ["host=h", "host=h {key}=/c", "postgresql://h/", "postgresql://h/?{key}=/c"])
def test_certificate_brings_verification(dsn: str, key: str) -> None:
    """Where a certificate is given, in the DSN or beside it, and no mode, libpq is told to verify all that it can."""
    beside = {} if "{key}" in dsn else {key: "/c"}

    found = parsed(dsn=dsn.format(key=key), **beside)

    assert ("/c", "verify-full") == (found[key], found["sslmode"])


def test_without_a_certificate_the_mode_is_libpq_s() -> None:
    """Where no certificate is given nothing is said of the mode."""
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
def test_dsn_is_read_as_libpq_reads_it(dsn: str) -> None:
    """What we take out of a connection string is what libpq takes out of it."""
    theirs = {key: value for key, value in psycopg.conninfo.conninfo_to_dict(dsn).items() if value not in (None, "")}

    assert theirs == {key: value for key, value in read(dsn).items() if value}


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
def test_target_says_where_and_no_secret(settings: dict[str, object], expected: str) -> None:
    """The words for where PostgreSQL is hold hosts, ports, database and user, however the DSN is written."""
    assert expected == PostgresSettings.model_validate(settings).target()


@pytest.mark.parametrize("dsn", ["s3cret", "host=h password=s3 cret", "password='s3cret", "postgresql://h/?s3cret"])
def test_broken_dsn_is_a_mistake_that_repeats_nothing(dsn: str) -> None:
    """A DSN that libpq could not read is found when settings are made, and no part of it is in the words."""
    with pytest.raises(ValidationError) as caught:
        PostgresSettings.model_validate({"dsn": dsn})

    said = str(caught.value.errors(include_input=False, include_context=False, include_url=False))
    assert "wanted is a URL like postgresql://" in said
    assert "cret" not in said


def test_joined_of_nothing_is_empty() -> None:
    """Nothing put together is nothing."""
    assert ("", "localhost:5432/") == (joined({}, "", {}), where({}))
