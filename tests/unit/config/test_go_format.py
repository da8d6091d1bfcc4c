"""Files in the Go writer's format, as its packages, containers and charts contain them."""

import json
from pathlib import Path
from typing import Any

import pytest

from eventwriter.config.errors import SettingError
from eventwriter.config.load import load
from eventwriter.config.settings import PostgresSettings, Settings
from eventwriter.errors import ConfigError

DATA = Path(__file__).parents[2] / "data" / "go_config"
NAMES = sorted(path.stem for path in DATA.glob("*.json"))

EVENTS = ("OCSF_EVENTS", "events", ("ocsf_events",), ("events.ocsf.processed",))
LOGS = ("logs.syslog.processed", "logs.snmp.processed", "logs.otel.processed", "logs.internal.processed")
TRACES = ("OTEL_TRACES", "otel_traces", ("otel_traces",), ("otel.traces", "otel.traces.>"))
METRICS = ("OTEL_METRICS", "otel_metrics", ("otel_metrics",), ("otel.metrics", "otel.metrics.>"))
JANUARY = [EVENTS, ("LOGS", "logs", ("logs",), LOGS), TRACES, METRICS]
LEGACY_EVENTS = ("events.poller.health", "events.syslog.processed", "events.snmp.processed")

STREAMS = {
    "packaged": JANUARY,
    "bare_metal": JANUARY,
    "docker_compose": JANUARY,
    "mtls": JANUARY,
    "helm": [EVENTS, ("LOGS", "logs", ("logs",), (*LOGS, "falco.logs.processed")), TRACES, METRICS],
    "one_table": [("EVENTS", "events", ("events",), ("events.>",))],
    "cloudevents": [
        ("EVENTS", "events", ("events",), LEGACY_EVENTS),
        ("LOGS", "logs", ("logs",), ("events.otel.logs",)),
    ],
}


def shipped(name: str, **environ: str) -> Settings:
    """Return the settings of a shipped file."""
    return load(str(DATA / f"{name}.json"), environ).settings


def changed(tmp_path: Path, name: str, **changes: Any) -> str:
    """Return the path of a shipped file with some keys changed; None removes one."""
    data = {**json.loads((DATA / f"{name}.json").read_text()), **changes}
    path = tmp_path / "db-event-writer.json"
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    return str(path)


def errors(path: str, **environ: str) -> list[SettingError]:
    """Return the errors of a file."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value.errors


@pytest.mark.parametrize("name", NAMES)
def test_shipped_file_loads_unchanged(name: str) -> None:
    """Each file loads, and its entries are combined by table into entries whose subjects do not overlap."""
    settings = shipped(name)

    assert ("events", "db-event-writer") == (settings.stream_name, settings.consumer_name)
    assert STREAMS[name] == [(s.name, s.kind, s.tables, s.subjects) for s in settings.streams]


NATS = {
    "packaged": ("nats://127.0.0.1:4222", None, None, None),
    "bare_metal": ("nats://10.0.0.5:4222", "edge", None, None),
    "helm": ("tls://serviceradar-nats:4222", None, "/etc/serviceradar/creds/platform.creds", None),
    "docker_compose": (
        "tls://nats:4222",
        None,
        "/etc/serviceradar/creds/platform.creds",
        (
            "/etc/serviceradar/certs/root.pem",
            "/etc/serviceradar/certs/db-event-writer.pem",
            "/etc/serviceradar/certs/db-event-writer-key.pem",
            "nats.serviceradar",
        ),
    ),
    "mtls": (
        "tls://nats.example.net:4222",
        None,
        None,
        ("/pki/root.pem", "/pki/writer.pem", "/elsewhere/writer-key.pem", "nats.serviceradar"),
    ),
}


@pytest.mark.parametrize("name", NATS)
def test_nats_section_is_translated(name: str) -> None:
    """Server, domain, credentials and certificates are translated; relative certificates are in cert_dir."""
    nats = shipped(name).nats
    tls = nats.tls and (nats.tls.ca_file, nats.tls.cert_file, nats.tls.key_file, nats.tls.server_name)

    assert NATS[name] == (nats.servers[0], nats.domain, nats.creds_file, tls)


POSTGRES = {
    "packaged": ("127.0.0.1", "5432", "serviceradar", "disable", None, None, 30.0),
    "bare_metal": ("10.0.0.6", "5432", "writer", "disable", None, None, 45.0),
    "docker_compose": (
        "cnpg", "5432", "serviceradar", "verify-full",
        "/etc/serviceradar/certs/root.pem", "/etc/serviceradar/certs/db-client-key.pem", 30.0,
    ),
    "helm": ("cnpg-rw", "5432", "serviceradar", "verify-full", "/etc/serviceradar/cnpg/ca.crt", None, 90.0),
    "mtls": ("db.example.net", "6432", "writer", "verify-full", "/pki/db/ca.pem", "/pki/writer-key.pem", 30.0),
}  # fmt: skip


@pytest.mark.parametrize("name", POSTGRES)
def test_postgres_section_is_translated(name: str) -> None:
    """Address, TLS (verify-full with certificates, otherwise none) and durations are translated."""
    pg = shipped(name).postgres

    assert POSTGRES[name] == (
        pg.host, pg.port, pg.user, pg.sslmode, pg.sslrootcert, pg.sslkey, pg.statement_timeout_s,
    )  # fmt: skip


def test_runtime_parameters_and_application_name_are_translated() -> None:
    """The search path and the application's name are passed to PostgreSQL."""
    pg = shipped("helm").postgres

    assert ({"search_path": "platform, ag_catalog"}, "db-event-writer") == (pg.runtime_params, pg.application_name)


@pytest.mark.parametrize(("name", "level"), [("packaged", "info"), ("docker_compose", "warning"), ("helm", "debug")])
def test_log_level_is_translated(name: str, level: str) -> None:
    """The logger's level becomes ours; the key `debug` takes precedence."""
    assert level == shipped(name).log.level


def test_unused_keys_are_one_warning() -> None:
    """All keys without a meaning here are listed in one warning."""
    (warning,) = load(str(DATA / "docker_compose.json"), {}).warnings

    assert warning.startswith(
        "listen_addr, partition, agent_id, gateway_id, security, logging.output, logging.time_format, logging.otel,"
        " cnpg.max_connections, cnpg.min_connections: "
    )


def test_environment_overrides_the_file_like_the_start_script() -> None:
    """Servers, names, and the directory and mode of certificates come from the environment before translation."""
    environ = {
        "CNPG_HOST": "db", "CNPG_CERT_DIR": "/k8s", "CNPG_CERT_FILE": "own.crt", "CNPG_PASSWORD_FILE": "/run/secret",
        "CNPG_SSL_MODE": "verify-ca", "DB_EVENT_WRITER_NATS_URL": "nats://other:4222",
        "DB_EVENT_WRITER_STREAMS_JSON": '[{"subject": "otel.metrics.raw", "table": "otel_metrics"}]',
    }  # fmt: skip
    settings = shipped("helm", **environ)
    pg = settings.postgres

    assert ("db", "/k8s/ca.crt", "/k8s/own.crt", "verify-ca") == (pg.host, pg.sslrootcert, pg.sslcert, pg.sslmode)
    assert (("nats://other:4222",), "/run/secret") == (settings.nats.servers, pg.password_file)
    assert [("otel.metrics", "otel.metrics.>")] == [s.subjects for s in settings.streams]


def test_own_keys_extend_the_file(tmp_path: Path) -> None:
    """Our own keys beside the Go writer's are used, and an entry with keys besides subject and table is ours."""
    path = changed(
        tmp_path,
        "bare_metal",
        enabled=True,
        nats={"ping_interval": "2s"},
        streams=[
            {"subject": "logs.a", "table": "logs"},
            {"name": "T", "subject": "telemetry.>", "table": "timeseries_metrics", "batch_size": 7},
        ],
    )
    settings = load(path, {}).settings

    nats = settings.nats
    assert (True, 2.0, ("nats://10.0.0.5:4222",)) == (settings.enabled, nats.ping_interval_s, nats.servers)
    assert [("LOGS", 100), ("T", 7)] == [(s.name, s.batch_size) for s in settings.streams]


CNPG = {"host": "h", "username": "u", "database": "d"}
INVALID = {
    "no cnpg": ({"cnpg": None}, {("cnpg", "missing")}),
    "cnpg is text": ({"cnpg": "host=x password=hunter2"}, {("cnpg", "wrong_type")}),
    "cnpg without host": ({"cnpg": {"username": "u"}}, {("cnpg.host", "missing"), ("cnpg.database", "missing")}),
    "tls without authority": ({"cnpg": {**CNPG, "tls": {"cert_file": "a"}}}, {("cnpg.tls.ca_file", "missing")}),
    **{
        f"tls and {mode}": (
            {"cnpg": {**CNPG, "ssl_mode": mode, "tls": {"ca_file": "a"}}}, {("cnpg.ssl_mode", "conflict")},
        )
        for mode in ("disable", "allow", "prefer", "require")
    },
    "mode": ({"cnpg": {**CNPG, "ssl_mode": "on"}}, {("cnpg.ssl_mode", "not_allowed")}),
    "port": ({"cnpg": {**CNPG, "port": "x"}}, {("cnpg.port", "invalid")}),
    "timeout": ({"cnpg": {**CNPG, "statement_timeout": "soon"}}, {("cnpg.statement_timeout", "invalid")}),
    "unknown key within cnpg": ({"cnpg": {**CNPG, "user": "u"}}, {("cnpg.user", "unknown_key")}),
    "unknown key at the top level": ({"stream": []}, {("stream", "unknown_key")}),
    "no servers": ({"nats_url": None}, {("nats_url", "missing")}),
    "spiffe": ({"nats_security": {"mode": "spiffe"}}, {("nats_security.mode", "not_allowed")}),
    "unknown key within tls": (
        {"nats_security": {"mode": "mtls", "tls": {"ca": "x"}}}, {("nats_security.tls.ca", "unknown_key")},
    ),
    "no streams": ({"streams": None}, {("streams", "missing")}),
    "entry without table": ({"streams": [{"subject": "a"}]}, {("streams[0]", "missing"), ("streams", "wrong_type")}),
    "subject": (
        {"streams": [{"subject": "a", "table": "logs"}, {"subject": "b..c", "table": "logs"}]},
        {("streams[0, 1].subjects[1]", "invalid")},
    ),
    "log level": ({"logging": {"level": "loud"}}, {("logging.level", "not_allowed")}),
    "logging is text": ({"logging": "info"}, {("logging", "wrong_type")}),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reported"), INVALID.values(), ids=INVALID)
def test_error_has_the_key_of_the_file(tmp_path: Path, changes: dict[str, Any], reported: set[tuple[str, str]]) -> None:
    """Errors are reported under the file's own keys, and contain no secret."""
    found = errors(changed(tmp_path, "bare_metal", **changes))

    assert reported == {(error.key, error.code) for error in found}
    assert not [error for error in found if "hunter2" in error]


def test_environment_replaces_a_missing_block(tmp_path: Path) -> None:
    """A file without `cnpg` is complete if the environment sets all of its keys."""
    environ = {"CNPG_HOST": "h", "CNPG_USERNAME": "u", "CNPG_DATABASE": "d"}
    pg = load(changed(tmp_path, "bare_metal", cnpg=None), environ).settings.postgres

    assert PostgresSettings(host="h", user="u", database="d", sslmode="disable") == pg


def test_verification_cannot_be_skipped(tmp_path: Path) -> None:
    """A file that disables verification causes a warning that it is not disabled."""
    security = {"mode": "mtls", "tls": {"skip_verify": True}}

    assert any("skip_verify" in w for w in load(changed(tmp_path, "mtls", nats_security=security), {}).warnings)


def test_verify_ca_is_accepted_with_certificates(tmp_path: Path) -> None:
    """With certificates, the mode `verify-ca` is kept."""
    cnpg = {**CNPG, "ssl_mode": "verify-ca", "tls": {"ca_file": "/a"}}

    assert "verify-ca" == load(changed(tmp_path, "mtls", cnpg=cnpg), {}).settings.postgres.sslmode


def test_mode_from_the_environment_is_reported_under_its_variable(tmp_path: Path) -> None:
    """A mode from a variable that conflicts with the file's certificates is reported under the variable."""
    (error,) = errors(changed(tmp_path, "mtls"), CNPG_SSL_MODE="require")

    assert ("CNPG_SSL_MODE", "conflict") == (error.key, error.code)


@pytest.mark.parametrize("dsn", ["postgresql://h/?sslrootcert=/ca", "postgresql://h/?sslmode=require"])
def test_default_without_tls_does_not_override_a_dsn(tmp_path: Path, dsn: str) -> None:
    """TLS parameters of a DSN are used; "no TLS" is the default only if nothing concerns TLS."""
    pg = load(changed(tmp_path, "bare_metal"), {"EVENT_WRITER_POSTGRES_DSN": dsn}).settings.postgres

    assert "disable" not in pg.conninfo()


def test_default_without_tls_does_not_override_our_own_key(tmp_path: Path) -> None:
    """A root certificate set by our own key enables verification, as in a file in our format."""
    pg = load(changed(tmp_path, "bare_metal", postgres={"sslrootcert": "/ca"}), {}).settings.postgres

    assert "sslmode='verify-full'" in pg.conninfo()
