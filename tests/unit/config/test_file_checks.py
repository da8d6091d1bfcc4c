"""Checks of the files that settings name, and of the settings of logins and TLS."""

import json
from pathlib import Path
from typing import Any

import pytest

from eventwriter.config.errors import SettingError
from eventwriter.config.load import load
from eventwriter.errors import ConfigError

KEY = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"


def errors(tmp_path: Path, data: dict[str, Any], environ: dict[str, str] | None = None) -> list[SettingError]:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"postgres": {"host": "db"}, **data}))
    with pytest.raises(ConfigError) as caught:
        load(str(path), environ or {}, run_checks=lambda _settings: [])
    return caught.value.errors


def test_all_unreadable_files_are_reported_at_once(tmp_path: Path) -> None:
    """Missing files, empty files and directories are reported together, each with its key and the reason."""
    empty = tmp_path / "empty"
    empty.touch()
    data = {
        "nats": {
            "creds_file": "/none.creds",
            "tls": {"ca_file": "/none.pem", "cert_file": str(tmp_path), "key_file": str(empty)},
        },
        "postgres": {"password_file": "/none", "sslrootcert": "system", "sslcert": "/c", "sslkey": "/k"},
    }

    reported = errors(tmp_path, data)

    assert {"unreadable"} == {error.code for error in reported}
    assert [
        "nats.creds_file",
        "nats.tls.ca_file",
        "nats.tls.cert_file",
        "nats.tls.key_file",
        "postgres.password_file",
        "postgres.sslcert",
        "postgres.sslkey",
    ] == [error.key for error in reported]
    assert "nats.creds_file: /none.creds cannot be read: No such file or directory; check the path" in reported[0]
    assert f"{empty} is empty" in reported[3]


def test_file_from_the_environment_is_reported_under_the_variable(tmp_path: Path) -> None:
    """The error about a file that a variable names has the name of the variable."""
    assert "CNPG_PASSWORD_FILE" == errors(tmp_path, {}, {"CNPG_PASSWORD_FILE": "/none"})[0].key


def test_certificate_without_a_key_is_an_error(tmp_path: Path) -> None:
    """A certificate requires a key, in the same file or in another one."""
    alone, both = tmp_path / "alone.pem", tmp_path / "both.pem"
    alone.write_text("-----BEGIN CERTIFICATE-----\n")
    both.write_text(KEY)

    (error,) = errors(tmp_path, {"nats": {"tls": {"cert_file": str(alone)}}})
    valid = load(None, {}, {"nats": {"tls": {"cert_file": str(both)}}}, run_checks=lambda _settings: [])

    assert ("nats.tls.cert_file", "missing") == (error.key, error.code)
    assert valid.settings.nats.tls is not None


def test_files_are_not_checked_by_default() -> None:
    """Settings that are only displayed may name files of another machine."""
    loaded = load(None, {}, {"nats": {"creds_file": "/none"}})

    assert "/none" == loaded.settings.nats.creds_file


CONFLICTS: list[tuple[str, dict[str, object], str]] = [
    ("nats", {"creds_file": "/c", "user": "u", "password": "p"}, "nats"),
    ("nats", {"nkey_seed_file": "/c", "token": "t"}, "nats"),
    ("nats", {"password": "p"}, "nats.password"),
    ("nats", {"password_file": "/p"}, "nats.password_file"),
    ("nats", {"tls": {"key_file": "/k"}}, "nats.tls.key_file"),
    ("postgres", {"sslkey": "/k"}, "postgres.sslkey"),
    *(
        ("postgres", {"sslmode": mode, key: "/c"}, "postgres.sslmode")
        for mode in ("disable", "allow", "prefer", "require")
        for key in ("sslrootcert", "sslcert")
    ),
    (
        "postgres",
        {"dsn": "host=h password=s3cret sslmode=require", "sslrootcert": "/c"},
        "postgres.dsn (sslmode)",
    ),
    ("postgres", {"dsn": "postgresql://h/?ssl=true&sslcert=/c"}, "postgres.dsn (sslmode)"),
    ("postgres", {"dsn": "host=h sslrootcert=/c sslmode=verify-full", "sslmode": "prefer"}, "postgres.sslmode"),
    ("postgres", {"sslrootcert": "system", "sslmode": "verify-ca"}, "postgres.sslmode"),
    ("postgres", {"host": "a,b,c", "port": "1,2"}, "postgres.port"),
]


@pytest.mark.parametrize(("section", "keys", "key"), CONFLICTS)
def test_conflicting_login_or_tls_is_one_error(section: str, keys: dict[str, object], key: str) -> None:
    """Keys that contradict or require each other are reported once, under the key to change."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {section: keys})

    assert [(key, "conflict")] == [(error.key, error.code) for error in caught.value.errors]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"sslrootcert": "/c", "sslmode": "verify-ca"},
        {"dsn": "host=h sslmode=disable", "sslcert": "/c", "sslmode": "verify-full"},
        {"dsn": "host=h sslmode=verify-ca sslrootcert=/c"},
        {"sslmode": "require"},
        {"sslrootcert": "", "sslmode": "require"},
    ],
)
def test_mode_that_verifies_is_accepted_with_certificates(keys: dict[str, object]) -> None:
    """With certificates, modes that verify the server are accepted; without certificates, every mode is."""
    assert load(None, {}, {"postgres": keys}).settings.postgres.sslmode == keys.get("sslmode")


def warnings(tmp_path: Path, mode: int, data: object, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    path.chmod(mode)
    environ = {"CNPG_HOST": "h", **(environ or {})}
    return load(str(path), environ, run_checks=lambda _settings: []).warnings


def test_world_readable_secret_is_a_warning(tmp_path: Path) -> None:
    """A file with a secret causes a warning under its key if every user can read it."""
    loose, tight = tmp_path / "loose", tmp_path / "tight"
    for file, mode in ((loose, 0o644), (tight, 0o640)):
        file.write_text("x")
        file.chmod(mode)
    data = {"nats": {"token_file": str(loose)}, "postgres": {"password_file": str(tight)}}

    (warning,) = warnings(tmp_path, 0o644, data)

    assert warning.startswith(f"nats.token_file: every user can read {loose}")


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ({"nats": {"servers": ["nats://u:p@h:4222"]}}, "nats.servers"),
        ({"nats": {"user": "u", "password": "p"}}, "nats.password"),
        ({"nats": {"token": "t"}, "postgres": {"dsn": "host=h password=p"}}, "nats.token, postgres.dsn"),
    ],
)
def test_world_readable_configuration_with_a_secret_is_a_warning(tmp_path: Path, data: object, keys: str) -> None:
    """A configuration that contains secrets causes a warning with their keys, unless its mode excludes others."""
    (warning,) = warnings(tmp_path, 0o644, data)

    assert f"c.json contains a secret ({keys}) and every user can read it" in warning
    assert () == warnings(tmp_path, 0o640, data)


def test_secret_from_the_environment_is_not_in_the_file(tmp_path: Path) -> None:
    """A password that a variable sets causes no warning about the file."""
    assert () == warnings(tmp_path, 0o644, {}, {"CNPG_PASSWORD": "p"})


def test_connection_string_without_a_password_is_not_a_secret(tmp_path: Path) -> None:
    """A DSN counts as a secret only if it contains a password."""
    assert () == warnings(tmp_path, 0o644, {"postgres": {"dsn": "host=h user=u"}})
