"""Environment variables."""

from pathlib import Path
from typing import Any

import pytest

from eventwriter.config import load as module
from eventwriter.config.load import load
from eventwriter.config.settings import NatsTls, Settings
from eventwriter.errors import ConfigError


def settings(environ: dict[str, str], path: Path | None = None) -> Settings:
    """Return the settings that variables and a file make."""
    return load(str(path) if path else None, environ).settings


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("YES", True), ("1", True), ("no", False), ("", False)])
def test_variable_enables_the_writer(text: str, expected: bool) -> None:
    """true, 1 and yes enable the writer, in any case; an empty variable does not."""
    assert expected is settings({"EVENT_WRITER_ENABLED": text}).enabled


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("EVENT_WRITER_ENABLED", "maybe", "not_allowed"),
        ("EVENT_WRITER_BATCH_SIZE", "many", "invalid"),
        ("EVENT_WRITER_BATCH_SIZE", "0", "invalid"),
        ("EVENT_WRITER_BATCH_TIMEOUT", "soon", "invalid"),
        ("EVENT_WRITER_BATCH_TIMEOUT", "0", "invalid"),
        ("EVENT_WRITER_NATS_TLS", "si", "not_allowed"),
        ("EVENT_WRITER_LOG_LEVEL", "loud", "not_allowed"),
        ("CNPG_PORT", "many", "invalid"),
        ("CNPG_SSL_MODE", "yes", "not_allowed"),
        ("EVENT_WRITER_NATS_STREAM", "my.events", "invalid"),
        ("DB_EVENT_WRITER_STREAMS_JSON", "[{]", "invalid"),
        ("DB_EVENT_WRITER_STREAMS_JSON", "{}", "wrong_type"),
    ],
)
def test_invalid_variable_is_one_error_under_its_name(variable: str, value: str, code: str) -> None:
    """The error names the variable, and is reported once, not for every stream entry."""
    with pytest.raises(ConfigError) as caught:
        load(None, {variable: value})

    assert [(variable, code)] == [(error.key, error.code) for error in caught.value.errors]


def test_incomplete_pair_in_the_streams_variable_is_an_error() -> None:
    """A pair without a table is reported with its position."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"DB_EVENT_WRITER_STREAMS_JSON": '[{"subject": "a"}]'})

    assert ("streams[0]", "missing") in [(error.key, error.code) for error in caught.value.errors]


def test_batch_variables_override_every_entry(tmp_path: Path) -> None:
    """Variables override the batch settings of every entry, and raise the ceiling to a larger batch size."""
    path = tmp_path / "c.toml"
    path.write_text('[[streams]]\nname = "TELEMETRY"\nbatch_size = 7\nbatch_timeout = 5\n')
    stream = settings({"EVENT_WRITER_BATCH_SIZE": "9000", "EVENT_WRITER_BATCH_TIMEOUT": "250"}, path).streams[0]

    assert (9000, 9000, 0.25) == (stream.batch_size, stream.max_batch_size, stream.batch_timeout_s)


def test_certificate_directory_enables_mutual_tls() -> None:
    """TLS enabled by a variable uses the earlier writers' file names and server name."""
    tls = settings({"EVENT_WRITER_NATS_TLS": "true", "SPIFFE_CERT_DIR": "/pki"}).nats.tls

    assert tls is not None
    assert ("/pki/root.pem", "/pki/core.pem", "/pki/core-key.pem", "nats.serviceradar") == (
        tls.ca_file,
        tls.cert_file,
        tls.key_file,
        tls.server_name,
    )


def test_default_certificate_directory_is_used_if_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS without a directory uses the default directory if it exists, else the system's authorities."""
    monkeypatch.setattr(module, "SPIFFE_CERT_DIR", str(tmp_path / "none"))
    without = settings({"EVENT_WRITER_NATS_TLS": "true"}).nats.tls
    monkeypatch.setattr(module, "SPIFFE_CERT_DIR", str(tmp_path))
    existing = settings({"EVENT_WRITER_NATS_TLS": "true"}).nats.tls

    assert (NatsTls(), f"{tmp_path}/root.pem") == (without, existing.ca_file if existing else None)


@pytest.mark.parametrize("variable", ["EVENT_WRITER_NATS_TLS", "DB_EVENT_WRITER_DISABLE_NATS_SECURITY"])
def test_variable_keeps_or_removes_tls_of_the_file(tmp_path: Path, variable: str) -> None:
    """A variable that enables TLS keeps the file's certificates; a variable that disables TLS removes it."""
    path = tmp_path / "c.toml"
    path.write_text('[nats.tls]\nca_file = "/own.pem"\n')
    off: dict[str, Any] = {variable: "true" if "DISABLE" in variable else "false"}

    kept = settings({"EVENT_WRITER_NATS_TLS": "true"}, path).nats.tls
    assert ("/own.pem", None) == (kept.ca_file if kept else None, settings(off, path).nats.tls)


def test_relative_certificate_files_are_in_the_directory() -> None:
    """Relative certificate files are in CNPG_CERT_DIR, and an authority enables full verification."""
    environ = {"CNPG_CERT_DIR": "/c", "CNPG_CA_FILE": "ca.crt", "CNPG_CERT_FILE": "/d/w.crt", "CNPG_HOST": "db"}
    postgres = settings(environ).postgres

    assert ("/c/ca.crt", "/d/w.crt") == (postgres.sslrootcert, postgres.sslcert)
    assert "sslmode='verify-full'" in postgres.conninfo()


def test_own_variables_override_those_of_the_go_writer() -> None:
    """Variables of the Go writer's start script are read, and our own variables override them."""
    environ = {
        "DB_EVENT_WRITER_NATS_URL": "nats://old:4222",
        "DB_EVENT_WRITER_STREAM_NAME": "other",
        "DB_EVENT_WRITER_CONSUMER_NAME": "old",
        "EVENT_WRITER_CONSUMER_NAME": "new",
        "DB_EVENT_WRITER_STREAMS_JSON": '[{"subject": "telemetry.a", "table": "timeseries_metrics"}]',
    }
    loaded = settings(environ)

    assert (("nats://old:4222",), "new") == (loaded.nats.servers, loaded.consumer_name)
    assert ("other", "TIMESERIES_METRICS", "telemetry") == (
        loaded.streams[0].stream_name,
        loaded.streams[0].name,
        loaded.streams[0].kind,
    )


def test_unknown_or_unused_variable_is_a_warning() -> None:
    """A misspelled variable is reported with the nearest known one; an unused one of the Go writer is reported too."""
    warnings = load(None, {"EVENT_WRITER_ENABLE": "true", "DB_EVENT_WRITER_AGENT_ID": "a"}).warnings

    assert (
        "DB_EVENT_WRITER_AGENT_ID: set for the Go writer; eventwriter ignores it",
        "EVENT_WRITER_ENABLE: unknown variable; did you mean 'EVENT_WRITER_ENABLED'?",
    ) == warnings


def test_other_source_than_a_file_is_a_warning() -> None:
    """The key-value store of the earlier writer is not supported, which is reported."""
    (warning,) = load(None, {"CONFIG_SOURCE": "kv"}).warnings

    assert warning.startswith("CONFIG_SOURCE: ")
