"""Loading settings."""

import json
from pathlib import Path

import pytest

from eventwriter.config.load import load
from eventwriter.errors import ConfigError


def written(tmp_path: Path, data: object) -> str:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    return str(path)


def test_every_mistake_is_named(tmp_path: Path) -> None:
    """All mistakes come at once, each with its path; an unknown key with its nearest known one."""
    data = {
        "natss": {},
        "postgres": {"password": ["hunter2"]},
        "streams": [{"name": "NETFLOW", "batch_sice": 3, "batch_size": "x"}],
        "log": {"level": "loud"},
    }

    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, data), {"EVENT_WRITER_ENABLED": "maybe"})

    text = str(caught.value)
    assert 6 == len(caught.value.mistakes)
    assert "did you mean batch_size?" in text
    assert "did you mean nats?" in text
    assert "hunter2" not in text
    assert str(tmp_path / "c.json") == caught.value.source


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """The environment overrides the file, under the predecessors' names."""
    environ = {"EVENT_WRITER_ENABLED": "yes", "CNPG_HOST": "other", "EVENT_WRITER_BATCH_TIMEOUT": "250"}

    settings = load(written(tmp_path, {"postgres": {"host": "here"}}), environ).settings

    assert (True, "other", 0.25) == (settings.enabled, settings.postgres.host, settings.streams[0].batch_timeout_s)


def test_rotated_password_is_read_anew(tmp_path: Path) -> None:
    """The password file is read at every connect."""
    secret = tmp_path / "p"
    secret.write_text("one\n")
    postgres = load(None, {"CNPG_PASSWORD_FILE": str(secret)}).settings.postgres

    assert "password='one'" in postgres.conninfo()
    secret.write_text("two")
    assert "password='two'" in postgres.conninfo()
    assert "two" not in repr(postgres) + postgres.target()


def test_mistakes_of_relations_come_with_the_others(tmp_path: Path) -> None:
    """A wrong value elsewhere does not hide what contradicts itself, and what is right is still looked at."""
    data = {
        "supervisor": {"heartbeat": "15s", "backoff_min": "x", "worker_memory_bytes_max": 2**31},
        "streams": [{"name": "TELEMETRY", "max_batch_bytes": 2**29}],
    }

    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, data), {})

    assert [
        'supervisor.backoff_min: "x"; write a duration, like "30s", "500ms" or "1m30s"',
        "supervisor.hang_max 20s must be at least twice supervisor.heartbeat 15s, or workers that are well are killed",
    ] == caught.value.mistakes


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("nats", {"servers": []}, "nats.servers: at least one is wanted"),
        (
            "nats",
            {"servers": "http://u:hunter2@h"},
            "nats.servers: server 1 of the list: it is written nats://host:4222",
        ),
        ("nats", {"tls": {"ca": "x"}}, "nats.tls.ca: not a known key; did you mean ca_file?"),
        ("nats", "nats://h", 'nats: "nats://h"; an object with keys is wanted'),
        ("postgres", {"port": "a"}, 'postgres.port: "a"; a number, or one for each host'),
        ("postgres", {"password": ["hunter2"]}, "postgres.password: text is wanted"),
        ("postgres", {"statement_timeout": 0}, "postgres.statement_timeout: 0; above 0 is wanted"),
        ("control", {"mode": 660}, "control.mode: 660; that is no permission; write the bits in octal and as text"),
        ("control", {"mode": "rw"}, 'control.mode: "rw"; write the permission bits in octal, like "0660"'),
        ("log", {"level": "loud"}, 'log.level: "loud"; allowed are debug, info, warning, error'),
        ("log", {"levl": 1}, "log.levl: not a known key; did you mean level?"),
        ("enabled", "perhaps", 'enabled: "perhaps"; true or false is wanted'),
        ("reduct", [], "reduct: not a known key; did you mean redact?"),
        ("zzz", 1, "zzz: not a known key; known are enabled, consumer_name"),
    ],
)
def test_wrong_value_is_one_sentence(tmp_path: Path, key: str, value: object, said: str) -> None:
    """Key path, value, and what is allowed; never a secret."""
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, {key: value}), {})

    assert 1 == len(caught.value.mistakes)
    assert said in caught.value.mistakes[0]
    assert "hunter2" not in caught.value.mistakes[0]


def test_numbers_stand_for_their_text(tmp_path: Path) -> None:
    """A port and a parameter may be numbers, servers one text with commas between, the socket's mode octal text."""
    settings = load(
        written(
            tmp_path,
            {
                "postgres": {"port": 5433, "runtime_params": {"work_mem": 64}},
                "nats": {"servers": "a:4222, tls://b:4222"},
                "control": {"mode": "0600"},
            },
        ),
        {},
    ).settings

    assert ("5433", {"work_mem": "64"}) == (settings.postgres.port, settings.postgres.runtime_params)
    assert (("nats://a:4222", "tls://b:4222"), 0o600) == (settings.nats.servers, settings.control.mode)
