"""The Go writer's files, as its packages, containers and charts ship them."""

import json
from pathlib import Path
from typing import Any

import pytest

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


def mistakes(path: str, **environ: str) -> list[str]:
    """Return what is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value.mistakes


@pytest.mark.parametrize("name", NAMES)
def test_shipped_file_loads_unchanged(name: str) -> None:
    """Each shape loads, its entries joined by table into slots whose subjects do not overlap."""
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
def test_nats_is_as_the_file_says(name: str) -> None:
    """Server, domain, creds and certificates; relative ones in cert_dir, and none with mode none or no block."""
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
def test_postgres_is_as_the_file_says(name: str) -> None:
    """Address, TLS (verify-full where there are certificates, else none), and durations as text or nanoseconds."""
    pg = shipped(name).postgres

    assert POSTGRES[name] == (
        pg.host, pg.port, pg.user, pg.sslmode, pg.sslrootcert, pg.sslkey, pg.statement_timeout_s,
    )  # fmt: skip


def test_parameters_and_name_reach_postgres() -> None:
    """The search path and the application's name are passed on."""
    pg = shipped("helm").postgres

    assert ({"search_path": "platform, ag_catalog"}, "db-event-writer") == (pg.runtime_params, pg.application_name)


@pytest.mark.parametrize(("name", "level"), [("packaged", "info"), ("docker_compose", "warning"), ("helm", "debug")])
def test_log_level_is_taken(name: str, level: str) -> None:
    """The logger's level is ours, under our name for it; `debug` wins."""
    assert level == shipped(name).log.level


def test_what_is_not_used_is_one_warning() -> None:
    """Keys without a meaning here are named together; what has none at all in the file is not."""
    (warning,) = load(str(DATA / "docker_compose.json"), {}).warnings

    assert (
        "listen_addr, partition, agent_id, gateway_id, security, logging.output, logging.time_format, logging.otel,"
        " cnpg.max_connections, cnpg.min_connections: carried by the Go writer's files, not used here"
    ) == warning


def test_environment_patches_the_file_as_the_start_script_did() -> None:
    """Servers, names, folder and mode of certificates come from the environment, and decide how the rest is read."""
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
    """Keys of ours beside the Go writer's count, and an entry with more than subject and table is ours."""
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
WRONG = {
    "no cnpg": ({"cnpg": None}, ["cnpg: missing; an object with host, username and database is wanted"]),
    "cnpg is text": ({"cnpg": "host=x password=hunter2"}, ["cnpg: is a str; an object"]),
    "cnpg without host": ({"cnpg": {"username": "u"}}, ["cnpg.host: missing", "cnpg.database: missing"]),
    "tls against disable": (
        {"cnpg": {**CNPG, "ssl_mode": "disable", "tls": {"ca_file": "a"}}}, ['cnpg.ssl_mode: "disable" contradicts'],
    ),
    **{
        f"tls against {mode}": (
            {"cnpg": {**CNPG, "ssl_mode": mode, "tls": {"ca_file": "a"}}},
            [f'cnpg.ssl_mode: "{mode}" contradicts cnpg.tls.ca_file, with which the server is verified; allowed'],
        )
        for mode in ("allow", "prefer", "require")
    },
    "tls without authority": ({"cnpg": {**CNPG, "tls": {"cert_file": "a"}}}, ["cnpg.tls.ca_file: missing"]),
    "mode": ({"cnpg": {**CNPG, "ssl_mode": "on"}}, ['cnpg.ssl_mode: "on"; allowed are disable']),
    "port": ({"cnpg": {**CNPG, "port": "x"}}, ['cnpg.port: "x"; a number']),
    "timeout": ({"cnpg": {**CNPG, "statement_timeout": "soon"}}, ['cnpg.statement_timeout: "soon"; write a duration']),
    "unknown within cnpg": ({"cnpg": {**CNPG, "user": "u"}}, ["cnpg.user: not a known key; did you mean username?"]),
    "unknown on top": ({"stream": []}, ["stream: not a known key; did you mean streams?"]),
    "no servers": ({"nats_url": None}, ["nats_url: missing; it is required"]),
    "spiffe": ({"nats_security": {"mode": "spiffe"}}, ['nats_security.mode: "spiffe"; allowed are mtls, none']),
    "unknown within tls": (
        {"nats_security": {"mode": "mtls", "tls": {"ca": "x"}}},
        ["nats_security.tls.ca: not a known key; did you mean ca_file?"],
    ),
    "no streams": ({"streams": None}, ["streams: missing; give a list of {subject, table}"]),
    "half an entry": ({"streams": [{"subject": "a"}]}, ['streams[0]: {"subject": "a"}; both are wanted']),
    "subject": (
        {"streams": [{"subject": "a", "table": "logs"}, {"subject": "b..c", "table": "logs"}]},
        ['streams[0, 1].subjects[1]: "b..c"; a token between the dots is empty'],
    ),
    "log level": ({"logging": {"level": "loud"}}, ['logging.level: "loud"; allowed are debug']),
    "logging is text": ({"logging": "info"}, ['logging: "info"; an object']),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG)
def test_mistake_is_named_as_the_file_calls_it(tmp_path: Path, changes: dict[str, Any], said: list[str]) -> None:
    """What is wrong in such a file is said under the file's own key, never with a secret."""
    found = mistakes(changed(tmp_path, "bare_metal", **changes))

    assert len(said) == len([m for m in found if any(m.startswith(one) for one in said)]), found
    assert not [m for m in found if "hunter2" in m or m.startswith("postgres.")]


def test_tables_without_the_missing_block_come_from_the_environment(tmp_path: Path) -> None:
    """A file without `cnpg` is complete where the environment has all of it."""
    environ = {"CNPG_HOST": "h", "CNPG_USERNAME": "u", "CNPG_DATABASE": "d"}
    pg = load(changed(tmp_path, "bare_metal", cnpg=None), environ).settings.postgres

    assert PostgresSettings(host="h", user="u", database="d", sslmode="disable") == pg


def test_verification_cannot_be_skipped(tmp_path: Path) -> None:
    """A file that asks to skip verification is told that it is not skipped."""
    security = {"mode": "mtls", "tls": {"skip_verify": True}}

    assert any("skip_verify" in w for w in load(changed(tmp_path, "mtls", nats_security=security), {}).warnings)


def test_file_may_ask_not_to_look_at_the_name(tmp_path: Path) -> None:
    """Beside certificates `verify-ca` stands, as it is given."""
    cnpg = {**CNPG, "ssl_mode": "verify-ca", "tls": {"ca_file": "/a"}}

    assert "verify-ca" == load(changed(tmp_path, "mtls", cnpg=cnpg), {}).settings.postgres.sslmode


def test_mode_of_the_environment_is_named_by_its_variable(tmp_path: Path) -> None:
    """A mode that the start script's variable gives is refused beside the file's certificates, by the variable."""
    (said,) = mistakes(changed(tmp_path, "mtls"), CNPG_SSL_MODE="require")

    assert said.startswith('CNPG_SSL_MODE: "require" contradicts cnpg.tls.ca_file, with')


@pytest.mark.parametrize("dsn", ["postgresql://h/?sslrootcert=/ca", "postgresql://h/?sslmode=require"])
def test_default_without_tls_is_not_put_over_a_dsn(tmp_path: Path, dsn: str) -> None:
    """What a DSN says of TLS beside such a file counts: "no TLS" is the default only where nothing speaks of it."""
    pg = load(changed(tmp_path, "bare_metal"), {"EVENT_WRITER_POSTGRES_DSN": dsn}).settings.postgres

    assert "disable" not in pg.conninfo()


def test_default_without_tls_is_not_put_over_our_own_key(tmp_path: Path) -> None:
    """A root certificate that is given under our own name brings verification, as in a file of ours."""
    pg = load(changed(tmp_path, "bare_metal", postgres={"sslrootcert": "/ca"}), {}).settings.postgres

    assert "sslmode='verify-full'" in pg.conninfo()
