"""Loading settings."""

import json
from pathlib import Path

import pytest

from eventwriter.config.load import load
from eventwriter.errors import ConfigError

GO = {
    "listen_addr": "0.0.0.0:50041",
    "nats_url": "tls://nats:4222",
    "stream_name": "events",
    "consumer_name": "db-event-writer",
    "agent_id": "a",
    "nats_security": {
        "mode": "mtls",
        "cert_dir": "/etc/serviceradar/certs",
        "server_name": "nats.serviceradar",
        "tls": {"cert_file": "core.pem", "key_file": "core-key.pem", "ca_file": "root.pem"},
    },
    "cnpg": {
        "host": "cnpg",
        "port": 5432,
        "database": "serviceradar",
        "username": "serviceradar",
        "password": "hunter2",
        "cert_dir": "/c",
        "tls": {"ca_file": "root.pem"},
        "statement_timeout": 30_000_000_000,
        "max_connections": 8,
        "runtime_params": {"search_path": "platform, ag_catalog"},
    },
    "streams": [
        {"subject": "otel.traces", "table": "otel_traces"},
        {"subject": "telemetry.>", "table": "timeseries_metrics"},
    ],
}


def written(tmp_path: Path, data: object) -> str:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    return str(path)


def test_go_file_works_unchanged(tmp_path: Path) -> None:
    """The Go writer's file loads: certificates joined to their folder, TLS verified, subjects widened."""
    loaded = load(written(tmp_path, GO), {})

    settings = loaded.settings
    assert settings.nats.tls is not None
    assert "/etc/serviceradar/certs/root.pem" == settings.nats.tls.ca_file
    assert ("verify-full", 30.0) == (settings.postgres.sslmode, settings.postgres.statement_timeout_s)
    assert ("otel.traces", "otel.traces.>") == settings.streams[0].subjects
    assert "telemetry" == settings.streams[1].kind
    assert any("agent_id" in warning for warning in loaded.warnings)


def test_go_contradiction_is_refused(tmp_path: Path) -> None:
    """TLS files together with ssl_mode disable are a mistake, and said to be one."""
    data = {**GO, "cnpg": {**GO["cnpg"], "ssl_mode": "disable"}}

    with pytest.raises(ConfigError, match=r"cnpg\.ssl_mode"):
        load(written(tmp_path, data), {})


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


def test_example_loads() -> None:
    """The example that is shipped is a configuration."""
    import eventwriter.config

    path = Path(eventwriter.config.__file__).with_name("example.toml")

    assert ["TELEMETRY/0", "NETFLOW/0"] == [str(s) for s in load(str(path), {}).settings.slots()]
