"""What the environment sets."""

from pathlib import Path
from typing import Any

import pytest

from eventwriter.config import load as module
from eventwriter.config.load import load
from eventwriter.config.settings import NatsTls, Settings
from eventwriter.errors import ConfigError


def settings(environ: dict[str, str], path: Path | None = None) -> Settings:
    """Return what is set by variables, and by a file."""
    return load(str(path) if path else None, environ).settings


def mistakes(environ: dict[str, str]) -> list[str]:
    """Return what is wrong with variables."""
    with pytest.raises(ConfigError) as caught:
        load(None, environ)
    return caught.value.mistakes


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("YES", True), ("1", True), ("no", False), ("", False)])
def test_writer_is_enabled_by_the_environment(text: str, expected: bool) -> None:
    """True, 1 and yes enable, in any case; nothing does not."""
    assert expected is settings({"EVENT_WRITER_ENABLED": text}).enabled


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EVENT_WRITER_ENABLED", "maybe", "allowed are true, 1, yes, on, false"),
        ("EVENT_WRITER_BATCH_SIZE", "many", "a whole number is wanted, like 100"),
        ("EVENT_WRITER_BATCH_SIZE", "0", "at least 1 is wanted"),
        ("EVENT_WRITER_BATCH_TIMEOUT", "soon", "write a duration"),
        ("EVENT_WRITER_BATCH_TIMEOUT", "0", "above 0 is wanted"),
        ("EVENT_WRITER_NATS_TLS", "si", "allowed are true"),
        ("EVENT_WRITER_LOG_LEVEL", "loud", "allowed are debug, info, warning, error"),
        ("CNPG_PORT", "many", "a number, or one for each host"),
        ("CNPG_SSL_MODE", "yes", "allowed are disable, allow"),
        ("EVENT_WRITER_NATS_STREAM", "my.events", "a name without"),
        ("DB_EVENT_WRITER_STREAMS_JSON", "[{]", "no JSON"),
        ("DB_EVENT_WRITER_STREAMS_JSON", "{}", "a list of objects with subject and table"),
        ("DB_EVENT_WRITER_STREAMS_JSON", '[{"subject": "a"}]', "both are wanted"),
    ],
)
def test_wrong_variable_is_one_sentence_under_its_own_name(variable: str, value: str, said: str) -> None:
    """A variable's mistake names the variable, its value, and what is allowed; once, not for every stream."""
    found = [m for m in mistakes({variable: value}) if not m.startswith("streams: ")]

    assert 1 == len(found)
    assert said in found[0]
    assert found[0].startswith(variable if "STREAMS_JSON" not in variable else ("DB_EVENT_WRITER", "streams[0]"))


def test_batch_size_of_the_environment_wins_over_every_stream(tmp_path: Path) -> None:
    """The environment is above the file for every stream, and the ceiling follows a size that is above it."""
    path = tmp_path / "c.toml"
    path.write_text('[[streams]]\nname = "TELEMETRY"\nbatch_size = 7\nbatch_timeout = 5\n')
    stream = settings({"EVENT_WRITER_BATCH_SIZE": "9000", "EVENT_WRITER_BATCH_TIMEOUT": "250"}, path).streams[0]

    assert (9000, 9000, 0.25) == (stream.batch_size, stream.max_batch_size, stream.batch_timeout_s)


def test_certificates_of_the_spiffe_folder() -> None:
    """TLS by the environment takes the predecessor's file names and server name."""
    tls = settings({"EVENT_WRITER_NATS_TLS": "true", "SPIFFE_CERT_DIR": "/pki"}).nats.tls

    assert tls is not None
    assert ("/pki/root.pem", "/pki/core.pem", "/pki/core-key.pem", "nats.serviceradar") == (
        tls.ca_file,
        tls.cert_file,
        tls.key_file,
        tls.server_name,
    )


def test_usual_folder_counts_only_if_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS without a folder takes the predecessor's where it exists, else the system's authorities."""
    monkeypatch.setattr(module, "SPIFFE_CERT_DIR", str(tmp_path / "none"))
    without = settings({"EVENT_WRITER_NATS_TLS": "true"}).nats.tls
    monkeypatch.setattr(module, "SPIFFE_CERT_DIR", str(tmp_path))
    there = settings({"EVENT_WRITER_NATS_TLS": "true"}).nats.tls

    assert (NatsTls(), f"{tmp_path}/root.pem") == (without, there.ca_file if there else None)


@pytest.mark.parametrize("variable", ["EVENT_WRITER_NATS_TLS", "DB_EVENT_WRITER_DISABLE_NATS_SECURITY"])
def test_tls_of_the_file_stays_unless_it_is_switched_off(tmp_path: Path, variable: str) -> None:
    """A plain "yes, TLS" leaves the file's certificates; the predecessors' switches remove TLS."""
    path = tmp_path / "c.toml"
    path.write_text('[nats.tls]\nca_file = "/own.pem"\n')
    off: dict[str, Any] = {variable: "true" if "DISABLE" in variable else "false"}

    kept = settings({"EVENT_WRITER_NATS_TLS": "true"}, path).nats.tls
    assert ("/own.pem", None) == (kept.ca_file if kept else None, settings(off, path).nats.tls)


def test_certificate_folder_of_postgres_is_joined() -> None:
    """Relative certificate files are in CNPG_CERT_DIR; an authority makes the verification complete."""
    environ = {"CNPG_CERT_DIR": "/c", "CNPG_CA_FILE": "ca.crt", "CNPG_CERT_FILE": "/d/w.crt", "CNPG_HOST": "db"}
    postgres = settings(environ).postgres

    assert ("/c/ca.crt", "/d/w.crt") == (postgres.sslrootcert, postgres.sslcert)
    assert "sslmode='verify-full'" in postgres.conninfo()


def test_start_scripts_variables_are_read_and_ours_win() -> None:
    """The Go writer's start script set the servers, names and streams; our own variables are above."""
    environ = {
        "DB_EVENT_WRITER_NATS_URL": "nats://old:4222",
        "DB_EVENT_WRITER_STREAM_NAME": "other",
        "DB_EVENT_WRITER_CONSUMER_NAME": "old",
        "EVENT_WRITER_CONSUMER_NAME": "new",
        "DB_EVENT_WRITER_STREAMS_JSON": '[{"subject": "telemetry.a", "table": "timeseries_metrics"}]',
    }
    found = settings(environ)

    assert (("nats://old:4222",), "new") == (found.nats.servers, found.consumer_name)
    assert ("other", "TIMESERIES_METRICS", "telemetry") == (
        found.streams[0].stream_name,
        found.streams[0].name,
        found.streams[0].kind,
    )


def test_variable_that_nobody_reads_is_a_warning() -> None:
    """A misspelled variable is named with the nearest known one; one of the start script's is said to be unused."""
    warnings = load(None, {"EVENT_WRITER_ENABLE": "true", "DB_EVENT_WRITER_AGENT_ID": "a"}).warnings

    assert (
        "DB_EVENT_WRITER_AGENT_ID: set for the Go writer, not used here",
        "EVENT_WRITER_ENABLE: not a known variable; did you mean EVENT_WRITER_ENABLED?",
    ) == warnings


def test_other_sources_than_a_file_are_named() -> None:
    """The predecessor's key-value store is not read, and that is said."""
    assert "CONFIG_SOURCE: 'kv' is not supported; only a file is read" in load(None, {"CONFIG_SOURCE": "kv"}).warnings
