"""Loading of the configuration."""

import json
from pathlib import Path

import pytest

from eventwriter.config.errors import SettingError
from eventwriter.config.load import load, read_file
from eventwriter.config.settings import Settings
from eventwriter.errors import ConfigError


def write(tmp_path: Path, data: object) -> str:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    return str(path)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    """Errors of the file, of an entry and of a variable are reported together, without secrets."""
    data = {
        "natss": {},
        "postgres": {"password": ["hunter2"]},
        "streams": [{"name": "NETFLOW", "batch_sice": 3, "batch_size": "x"}],
        "log": {"level": "loud"},
    }

    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, data), {"EVENT_WRITER_ENABLED": "maybe"})

    assert {
        ("natss", "unknown_key"),
        ("postgres.password", "wrong_type"),
        ("streams[0].batch_sice", "unknown_key"),
        ("streams[0].batch_size", "wrong_type"),
        ("log.level", "not_allowed"),
        ("EVENT_WRITER_ENABLED", "not_allowed"),
    } == {(error.key, error.code) for error in caught.value.errors}
    assert 6 == len(caught.value.errors)
    assert "hunter2" not in str(caught.value)
    assert str(tmp_path / "c.json") == caught.value.source


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    """Variables take precedence over the file."""
    environ = {"EVENT_WRITER_ENABLED": "yes", "CNPG_HOST": "other", "EVENT_WRITER_BATCH_TIMEOUT": "250"}

    settings = load(write(tmp_path, {"postgres": {"host": "here"}}), environ).settings

    assert (True, "other", 0.25) == (settings.enabled, settings.postgres.host, settings.streams[0].batch_timeout_s)


def test_password_file_is_read_at_each_use(tmp_path: Path) -> None:
    """A rotated password is used without loading the settings again, and never shown."""
    secret = tmp_path / "p"
    secret.write_text("one\n")
    postgres = load(None, {"CNPG_PASSWORD_FILE": str(secret)}).settings.postgres

    assert "password='one'" in postgres.conninfo()
    secret.write_text("two")
    assert "password='two'" in postgres.conninfo()
    assert "two" not in repr(postgres) + postgres.target()


def test_invalid_value_does_not_hide_conflicts(tmp_path: Path) -> None:
    """Conflicts are reported together with invalid values; valid entries are checked as well."""
    data = {
        "supervisor": {"heartbeat": "15s", "backoff_min": "x", "worker_memory_bytes_max": 2**31},
        "streams": [{"name": "TELEMETRY", "max_batch_bytes": 2**29}],
    }

    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, data), {})

    assert [("supervisor.backoff_min", "invalid"), ("supervisor.hang_max", "conflict")] == [
        (error.key, error.code) for error in caught.value.errors
    ]


@pytest.mark.parametrize(
    ("section", "value", "key", "code"),
    [
        ("nats", {"servers": []}, "nats.servers", "too_small"),
        ("nats", {"servers": "http://u:hunter2@h"}, "nats.servers", "invalid"),
        ("nats", {"tls": {"ca": "x"}}, "nats.tls.ca", "unknown_key"),
        ("nats", "nats://h", "nats", "wrong_type"),
        ("postgres", {"port": "a"}, "postgres.port", "invalid"),
        ("postgres", {"password": ["hunter2"]}, "postgres.password", "wrong_type"),
        ("postgres", {"statement_timeout": 0}, "postgres.statement_timeout", "too_small"),
        ("control", {"mode": 660}, "control.mode", "invalid"),
        ("control", {"mode": "rw"}, "control.mode", "invalid"),
        ("log", {"level": "loud"}, "log.level", "not_allowed"),
        ("log", {"levl": 1}, "log.levl", "unknown_key"),
        ("enabled", "perhaps", "enabled", "wrong_type"),
        ("reduct", [], "reduct", "unknown_key"),
        ("zzz", 1, "zzz", "unknown_key"),
    ],
)
def test_invalid_value_is_one_error(tmp_path: Path, section: str, value: object, key: str, code: str) -> None:
    """Each invalid value is reported once, under its key, without secrets."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, {section: value}), {})

    assert [(key, code)] == [(error.key, error.code) for error in caught.value.errors]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"natz": {}}, "Unknown key 'natz'; did you mean 'nats'?"),
        ({"log": {"levl": "info"}}, "Unknown key 'levl' in log; did you mean 'level'?"),
        ({"log": {"zzz": 1}}, "Unknown key 'zzz' in log; known are level, format"),
        ({"dead_letters": {"keep_max": -1}}, "dead_letters.keep_max: -1 is too small; the minimum is 1"),
        ({"nats": {"token": 5}}, "nats.token: the value is not text"),
        ({"nats": 5}, "nats: 5 is not an object with keys"),
    ],
)
def test_error_states_what_is_wrong_and_what_is_allowed(tmp_path: Path, data: object, text: str) -> None:
    """The sentence names the key, the value unless it may be secret, and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, data), {})

    assert [text] == caught.value.errors


def test_equivalent_forms_are_accepted(tmp_path: Path) -> None:
    """Numbers are accepted as text, servers as one text with commas, and the socket's mode as octal text."""
    settings = load(
        write(
            tmp_path,
            {
                "postgres": {"port": 5433, "runtime_params": {"work_mem": 64}},
                "nats": {"servers": "a:4222, nats://b:4222"},
                "control": {"mode": "0600"},
            },
        ),
        {},
    ).settings

    assert ("5433", {"work_mem": "64"}) == (settings.postgres.port, settings.postgres.runtime_params)
    assert (("nats://a:4222", "nats://b:4222"), 0o600) == (settings.nats.servers, settings.control.mode)


def read_error(path: Path) -> str:
    """Return the only error of reading a file."""
    with pytest.raises(ConfigError) as caught:
        read_file(str(path))
    (error,) = caught.value.errors
    assert (str(path), "unreadable") == (error.key, error.code)
    return str(error)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("c.json", b'{\n "a": 1,\n "b" 2\n}', "line 3, column 6: "),
        ("c.json", b'{\n "a": 1,\n}', "a comma before the closing }"),
        ("c.json", b'{\n // why\n "a": 1}', "line 2, column 2: invalid JSON: JSON has no comments"),
        ("c.json", b"", "the file is empty"),
        ("c.toml", b" \n", "the file is empty"),
        ("c.toml", b"# enabled = true\n", "the file contains no keys"),
        ("c.json", b'{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        ("c.json", b"[1]", "the top level is a list"),
        ("c.json", b'{"a": "\n\xff"}', "line 2: not UTF-8"),
        ("c.json", b"[" * 100_000, "nested too deeply"),
        ("c.toml", b"a = 1\nb = \n", "(at line 2, column 5)"),
        ("c.toml", b"a = 1\na = 2\n", "(at line 2"),
    ],
)
def test_syntax_error_states_its_place(tmp_path: Path, name: str, content: bytes, place: str) -> None:
    """The error names the file, the line if there is one, and what is wrong."""
    path = tmp_path / name
    path.write_bytes(content)

    assert place in read_error(path)


def test_missing_file_and_directory_are_errors(tmp_path: Path) -> None:
    """A path that leads to no file, or to a directory, is reported as such."""
    assert "is a directory" in read_error(tmp_path)
    assert "No such file or directory" in read_error(tmp_path / "c.json")


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """A byte order mark in front of the JSON text is accepted."""
    path = tmp_path / "c.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')

    assert {"a": 1} == read_file(str(path))


def run_checks(_settings: Settings) -> list[SettingError]:
    """Return an error of a check outside of the package."""
    return [SettingError("streams[A]", "table_unsupported", "kind json cannot write table x")]


def test_all_checks_of_a_run_are_reported_at_once(tmp_path: Path) -> None:
    """A missing section, invalid ports and paths, and failed checks are reported together with warnings."""
    data = {
        "enabled": True,
        "nats": {"servers": "nats://h:99999"},
        "http": {"listen": ":99999"},
        "streams": [{"name": "A", "subject": "a", "kind": "json", "map": {"x": "a.", "y": "$header.", "z": "l[0"}}],
    }

    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, data), {"EVENT_WRITER_ENABLE": "1"}, run_checks=run_checks)

    assert [
        ("http.listen", "invalid"),
        ("nats.servers", "invalid"),
        ("postgres", "missing"),
        ("streams[0].map.x", "invalid"),
        ("streams[0].map.y", "invalid"),
        ("streams[0].map.z", "invalid"),
        ("streams[A]", "table_unsupported"),
    ] == sorted((error.key, error.code) for error in caught.value.errors)
    assert 1 == len(caught.value.warnings)
    assert caught.value.warnings[0].startswith("EVENT_WRITER_ENABLE: unknown variable")


def test_invalid_batch_size_of_the_environment_is_reported_once() -> None:
    """A variable that applies to every stream entry is reported once, under its name."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"EVENT_WRITER_BATCH_SIZE": "200000"})

    assert [("EVENT_WRITER_BATCH_SIZE", "too_large")] == [(error.key, error.code) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("environ", "enabled", "errors", "warnings"),
    [
        pytest.param({}, True, 1, 0, id="missing"),
        pytest.param({}, False, 0, 1, id="missing, not enabled"),
        pytest.param({"CNPG_HOST": "h"}, True, 0, 0, id="variable"),
        pytest.param({"PGHOST": "h"}, True, 0, 0, id="variable of libpq"),
    ],
)
def test_missing_postgres_is_an_error_of_an_enabled_daemon(
    tmp_path: Path, environ: dict[str, str], enabled: bool, errors: int, warnings: int
) -> None:
    """Without any setting of PostgreSQL an enabled daemon is refused, and a disabled one has a warning."""
    path = write(tmp_path, {"enabled": enabled})
    try:
        loaded = load(path, environ, run_checks=lambda _settings: [])
        found = [], loaded.warnings
    except ConfigError as error:
        found = error.errors, error.warnings

    assert (errors, warnings) == (len(found[0]), len(found[1]))


@pytest.mark.parametrize("port", [99999, "0", "5432,65536"])
def test_port_of_postgres_is_checked(tmp_path: Path, port: object) -> None:
    """Ports range from 1 to 65535."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, {"postgres": {"host": "a,b", "port": port}}), {})

    assert [("postgres.port", "invalid")] == [(error.key, error.code) for error in caught.value.errors]
