"""Files that the settings name."""

import json
from pathlib import Path

import pytest

from eventwriter.config.load import load
from eventwriter.errors import ConfigError

KEY = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"


def mistakes(tmp_path: Path, data: object, environ: dict[str, str] | None = None) -> list[str]:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError) as caught:
        load(str(path), environ or {}, look=True)
    return caught.value.mistakes


def test_every_file_that_cannot_be_read_is_named_at_once(tmp_path: Path) -> None:
    """Missing, empty and wrong files of both servers come together, each with its key path and the reason."""
    empty = tmp_path / "empty"
    empty.touch()
    data = {
        "nats": {
            "creds_file": "/none.creds",
            "tls": {"ca_file": "/none.pem", "cert_file": str(tmp_path), "key_file": str(empty)},
        },
        "postgres": {"password_file": "/none", "sslrootcert": "system", "sslcert": "/c", "sslkey": "/k"},
    }

    check = "check the path and its permissions"
    assert [
        f"nats.creds_file: /none.creds: cannot be read: No such file or directory; {check}",
        f"nats.tls.ca_file: /none.pem: cannot be read: No such file or directory; {check}",
        f"nats.tls.cert_file: {tmp_path}: cannot be read: Is a directory; {check}",
        f"nats.tls.key_file: {empty}: is empty; {check}",
        f"postgres.password_file: /none: cannot be read: No such file or directory; {check}",
        f"postgres.sslcert: /c: cannot be read: No such file or directory; {check}",
        f"postgres.sslkey: /k: cannot be read: No such file or directory; {check}",
    ] == mistakes(tmp_path, data)


def test_file_from_the_environment_is_named_as_it_is_there(tmp_path: Path) -> None:
    """A file that a variable names is said to be wrong under the variable's name."""
    assert mistakes(tmp_path, {}, {"CNPG_PASSWORD_FILE": "/none"})[0].startswith("CNPG_PASSWORD_FILE: /none: ")


def test_certificate_without_its_key_is_named(tmp_path: Path) -> None:
    """A certificate whose key is neither given nor in the same file is a mistake; one file with both is none."""
    alone, both = tmp_path / "alone.pem", tmp_path / "both.pem"
    alone.write_text("-----BEGIN CERTIFICATE-----\n")
    both.write_text(KEY)

    said = mistakes(tmp_path, {"nats": {"tls": {"cert_file": str(alone)}}})
    good = load(None, {}, {"nats": {"tls": {"cert_file": str(both)}}}, look=True)

    assert [f"nats.tls.cert_file: {alone}: holds no private key; set nats.tls.key_file"] == said
    assert good.settings.nats.tls is not None


def test_files_are_left_alone_where_nobody_runs() -> None:
    """Settings that are only shown need no files: they may be another machine's."""
    loaded = load(None, {}, {"nats": {"creds_file": "/none"}})

    assert "/none" == loaded.settings.nats.creds_file


@pytest.mark.parametrize(
    ("section", "settings", "expected"),
    [
        ("nats", {"creds_file": "/c", "user": "u", "password": "p"}, "nats: creds_file and user are given"),
        ("nats", {"nkey_seed_file": "/c", "token": "t"}, "nats: nkey_seed_file and token are given"),
        ("nats", {"password": "p"}, "nats.password: given without nats.user"),
        ("nats", {"password_file": "/p"}, "nats.password_file: given without nats.user"),
        ("nats", {"tls": {"key_file": "/k"}}, "nats.tls.key_file: given without nats.tls.cert_file"),
        ("postgres", {"sslkey": "/k"}, "postgres.sslkey: given without postgres.sslcert"),
        *(
            ("postgres", {"sslmode": mode, key: "/c"}, f'postgres.sslmode: "{mode}" contradicts postgres.{key}, with')
            for mode in ("disable", "allow", "prefer", "require")
            for key in ("sslrootcert", "sslcert")
        ),
        (
            "postgres",
            {"dsn": "host=h password=s3cret sslmode=require", "sslrootcert": "/c"},
            'postgres.dsn (sslmode): "require" contradicts postgres.sslrootcert, with which the server is verified;'
            " allowed beside it are verify-full and verify-ca; write verify-full, or remove one of the two",
        ),
        (
            "postgres",
            {"dsn": "postgresql://h/?ssl=true&sslcert=/c"},
            'postgres.dsn (sslmode): "require" contradicts postgres.dsn (sslcert), with',
        ),
        (
            "postgres",
            {"dsn": "host=h sslrootcert=/c sslmode=verify-full", "sslmode": "prefer"},
            'postgres.sslmode: "prefer" contradicts postgres.dsn (sslrootcert), with',
        ),
        (
            "postgres",
            {"sslrootcert": "system", "sslmode": "verify-ca"},
            'postgres.sslmode: "verify-ca" contradicts postgres.sslrootcert, with which the server is verified;'
            " allowed beside it are verify-full;",
        ),
        ("postgres", {"host": "a,b,c", "port": "1,2"}, "postgres.port: 2 ports for 3 hosts"),
    ],
)
def test_contradiction_is_named(section: str, settings: dict[str, object], expected: str) -> None:
    """Keys that contradict each other, or lack each other, are one sentence."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {section: settings})

    assert 1 == len(caught.value.mistakes)
    assert caught.value.mistakes[0].startswith(expected)


@pytest.mark.parametrize("settings", [
    {"sslrootcert": "/c", "sslmode": "verify-ca"},
    {"dsn": "host=h sslmode=disable", "sslcert": "/c", "sslmode": "verify-full"},
    {"dsn": "host=h sslmode=verify-ca sslrootcert=/c"},
    {"sslmode": "require"},
    {"sslrootcert": "", "sslmode": "require"},
])  # fmt: skip
def test_mode_that_verifies_stands_beside_certificates(settings: dict[str, object]) -> None:
    """What verifies is accepted beside certificates, what is given last counts, and without them every mode does."""
    assert load(None, {}, {"postgres": settings}).settings.postgres.sslmode == settings.get("sslmode")


def warnings(tmp_path: Path, mode: int, data: object, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    path.chmod(mode)
    return load(str(path), environ or {}, look=True).warnings


def test_secret_that_everybody_reads_is_a_warning(tmp_path: Path) -> None:
    """A file with a secret is warned of by its key path where others may read it, and only there."""
    loose, tight = tmp_path / "loose", tmp_path / "tight"
    for file, mode in ((loose, 0o644), (tight, 0o640)):
        file.write_text("x")
        file.chmod(mode)
    data = {"nats": {"token_file": str(loose)}, "postgres": {"password_file": str(tight)}}

    assert (f"nats.token_file: {loose} may be read by everybody; chmod o-rwx {loose}",) == warnings(
        tmp_path, 0o644, data
    )


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ({"nats": {"servers": ["nats://u:p@h:4222"]}}, "nats.servers"),
        ({"nats": {"user": "u", "password": "p"}}, "nats.password"),
        ({"nats": {"token": "t"}, "postgres": {"dsn": "host=h password=p"}}, "nats.token, postgres.dsn"),
    ],
)
def test_configuration_with_a_secret_that_everybody_reads_is_a_warning(tmp_path: Path, data: object, keys: str) -> None:
    """A configuration that holds a secret itself is warned of with the keys, not the values; a closed one is not."""
    said = warnings(tmp_path, 0o644, data)

    assert 1 == len(said)
    assert f"c.json holds a secret ({keys}) and may be read by everybody" in said[0]
    assert () == warnings(tmp_path, 0o640, data)


def test_secret_of_the_environment_is_not_in_the_file(tmp_path: Path) -> None:
    """A password that only a variable gives does not make the file a secret."""
    assert () == warnings(tmp_path, 0o644, {}, {"CNPG_PASSWORD": "p"})


def test_connection_string_without_a_password_is_no_secret(tmp_path: Path) -> None:
    """A DSN is a secret for its password only."""
    assert () == warnings(tmp_path, 0o644, {"postgres": {"dsn": "host=h user=u"}})
