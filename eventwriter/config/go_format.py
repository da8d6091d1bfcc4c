"""
The Go writer's `db-event-writer.json`, read as our own keys.

Such a file works unchanged: what it says is translated, what it carried and
ignored is named in a warning, what is wrong is a mistake like any other, under
the name that the file has for it.

The Go writer has one consumer for all its entries. Here the entries of one table
become one stream entry, and so one worker: with a worker for each, the subjects
`otel.metrics` and `otel.metrics.raw`, which it widened, would overlap and every
message be written twice.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eventwriter.config.durations import seconds
from eventwriter.config.errors import Path, near, shown
from eventwriter.config.stream_entries import name_of
from eventwriter.config.subjects import reduced

MARKS = ("nats_url", "cnpg", "nats_security", "listen_addr", "nats_creds_file")
"""Top-level keys that only the Go writer's file has."""

_IGNORED = ("listen_addr", "partition", "agent_id", "gateway_id", "poller_id", "tenant_id", "security", "database")
_LEVELS = {"trace": "debug", "warn": "warning", "fatal": "error", "panic": "error", "disabled": "error", "": "info"}
"""The Go logger's levels that are called otherwise here."""
_LOGGING_IGNORED = ("output", "time_format", "otel")

_WIDER = {
    "otel.traces": ("otel.traces", "otel.traces.>"),
    "otel.traces.raw": ("otel.traces", "otel.traces.>"),
    "otel.metrics": ("otel.metrics", "otel.metrics.>"),
    "otel.metrics.raw": ("otel.metrics", "otel.metrics.>"),
    "pdns.ocsf": ("pdns.ocsf", "pdns.ocsf.>"),
}
"""What the Go writer's consumer asked for instead of what its file said."""

_CNPG_SAME = {
    "host": "host", "port": "port", "database": "database", "password": "password", "username": "user",
    "application_name": "application_name", "ssl_mode": "sslmode", "runtime_params": "runtime_params",
}  # fmt: skip
_CNPG_IGNORED = ("max_connections", "min_connections", "max_conn_lifetime", "health_check_period")
_CNPG_TLS = {"ca_file": "sslrootcert", "cert_file": "sslcert", "key_file": "sslkey"}
_CNPG_KNOWN = (*_CNPG_SAME, *_CNPG_IGNORED, "cert_dir", "tls", "statement_timeout")
_SECURITY_KNOWN = (
    "mode",
    "cert_dir",
    "server_name",
    "role",
    "tls",
    "trust_domain",
    "server_spiffe_id",
    "workload_socket",
)
_TLS_KNOWN = ("ca_file", "cert_file", "key_file", "client_ca_file", "skip_verify")

_URL_VARIABLES = ("EVENT_WRITER_NATS_URL", "DB_EVENT_WRITER_NATS_URL")
_CNPG_VARIABLES = {
    "CNPG_HOST": "host", "CNPG_DATABASE": "database", "CNPG_USERNAME": "username", "CNPG_SSL_MODE": "ssl_mode",
    "CNPG_CERT_DIR": "cert_dir",
}  # fmt: skip
_CNPG_TLS_VARIABLES = {"CNPG_CA_FILE": "ca_file", "CNPG_CERT_FILE": "cert_file", "CNPG_KEY_FILE": "key_file"}


@dataclass(slots=True)
class Translated:
    """Our own keys, how the file calls them, and what is worth a word."""

    data: dict[str, Any] = field(default_factory=dict)
    names: dict[Path, str] = field(default_factory=dict)
    """Key path of ours → the file's, for mistakes."""
    entry_names: list[str] = field(default_factory=list)
    """For each stream entry, what the file calls it."""
    unused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def is_go(data: Mapping[str, Any]) -> bool:
    """Say whether a file is of the Go writer's shape."""
    return any(mark in data for mark in MARKS)


def patched(data: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the file's content with what the Go writer's start script took from the environment.

    Only what decides how the rest is read: what is required, and how TLS follows from its files.
    """
    url = next((environ[name] for name in _URL_VARIABLES if environ.get(name)), None)
    data = {**data, "nats_url": url} if url else data
    cnpg = data.get("cnpg", {})
    given = {key: environ[name] for name, key in _CNPG_VARIABLES.items() if environ.get(name)}
    files = {key: environ[name] for name, key in _CNPG_TLS_VARIABLES.items() if environ.get(name)}
    if not isinstance(cnpg, dict) or not (given or files):
        return dict(data)
    tls = cnpg.get("tls")
    if files:
        given_tls: Any = {**tls, **files} if isinstance(tls, dict) else files
        return {**data, "cnpg": {**cnpg, **given, "tls": given_tls}}
    return {**data, "cnpg": {**cnpg, **given}}


def translate(data: Mapping[str, Any], mistakes: list[str]) -> Translated:
    """
    Read a file of the Go writer's shape.

    Args:
        data: The file's content.
        mistakes: What is wrong is appended, one sentence each.
    """
    left, into = dict(data), Translated()
    into.unused += [key for key in _IGNORED if left.pop(key, None) is not None]
    _logging(left.pop("logging", None), into, mistakes)
    nats = _nats(left, into, mistakes)
    postgres = _postgres(left.pop("cnpg", None), into, mistakes)
    streams = _streams(left, into, mistakes)
    if into.unused:
        into.warnings.insert(0, f"{', '.join(into.unused)}: carried by the Go writer's files, not used here")
    own = {"nats": nats, "postgres": postgres, **({"log": log} if (log := into.data.get("log")) else {})}
    for key, value in own.items():
        # What the file says under our own name, besides, is the newer word.
        more = left.get(key)
        left[key] = {**value, **more} if isinstance(more, dict) else value if more is None else more
    into.data = {**left, "streams": streams}
    return into


def _logging(given: Any, into: Translated, mistakes: list[str]) -> None:
    if given is None:
        return
    if not isinstance(given, dict):
        mistakes.append(f"logging: {shown(given)}; an object with keys is wanted")
        return
    level = given.get("level")
    if given.get("debug") is True:
        into.data["log"] = {"level": "debug"}
    elif isinstance(level, str):
        into.data["log"] = {"level": _LEVELS.get(level.lower(), level.lower())}
        into.names[("log", "level")] = "logging.level"
    into.unused += [f"logging.{key}" for key in _LOGGING_IGNORED if key in given]


def _nats(left: dict[str, Any], into: Translated, mistakes: list[str]) -> dict[str, Any]:
    nats: dict[str, Any] = {}
    for theirs, ours in (("nats_url", "servers"), ("nats_creds_file", "creds_file"), ("domain", "domain")):
        if value := left.pop(theirs, None):
            nats[ours] = value
            into.names[("nats", ours)] = theirs
    own = left.get("nats")
    if "servers" not in nats and not (isinstance(own, dict) and "servers" in own):
        mistakes.append('nats_url: missing; it is required, like "tls://nats:4222"')
    if tls := _security(left.pop("nats_security", None), into, mistakes):
        nats["tls"] = tls
    return nats


def _security(security: Any, into: Translated, mistakes: list[str]) -> dict[str, Any] | None:
    if not security:
        return None
    if not isinstance(security, dict):
        mistakes.append(f"nats_security: {shown(security)}; an object with keys is wanted")
        return None
    _unknown(security, _SECURITY_KNOWN, "nats_security", mistakes)
    mode = security.get("mode") or "none"
    if mode == "none":
        return None
    if mode != "mtls":
        mistakes.append(f"nats_security.mode: {shown(mode)}; allowed are mtls, none (spiffe is not supported)")
        return None
    tls = security.get("tls") or {}
    if not isinstance(tls, dict):
        mistakes.append(f"nats_security.tls: {shown(tls)}; an object with keys is wanted")
        return None
    _unknown(tls, _TLS_KNOWN, "nats_security.tls", mistakes)
    if tls.get("skip_verify"):
        into.warnings.append("nats_security.tls.skip_verify: not used; the server's certificate is always verified")
    found = {key: _joined(security.get("cert_dir"), tls.get(key)) for key in ("ca_file", "cert_file", "key_file")}
    into.names |= {("nats", "tls", key): f"nats_security.tls.{key}" for key in found}
    into.names[("nats", "tls", "server_name")] = "nats_security.server_name"
    return {key: value for key, value in {**found, "server_name": security.get("server_name")}.items() if value}


def _joined(folder: Any, path: Any) -> Any:
    if isinstance(folder, str) and folder and isinstance(path, str) and path and not os.path.isabs(path):
        return os.path.join(folder, path)
    return path


def _unknown(given: Mapping[str, Any], known: tuple[str, ...], path: str, mistakes: list[str]) -> None:
    mistakes += [f"{path}.{key}: not a known key{near(key, known)}" for key in given if key not in known]


def _postgres(cnpg: Any, into: Translated, mistakes: list[str]) -> dict[str, Any]:
    if not isinstance(cnpg, dict):
        # The value is not repeated: it may be a connection string.
        wrong = "missing" if cnpg is None else f"is a {type(cnpg).__name__}"
        mistakes.append(f"cnpg: {wrong}; an object with host, username and database is wanted")
        return {}
    _unknown(cnpg, _CNPG_KNOWN, "cnpg", mistakes)
    into.unused += [f"cnpg.{key}" for key in _CNPG_IGNORED if key in cnpg]
    for key in ("host", "username", "database"):
        if not cnpg.get(key):
            mistakes.append(f"cnpg.{key}: missing; it is required")
    postgres = {ours: cnpg[theirs] for theirs, ours in _CNPG_SAME.items() if cnpg.get(theirs) not in (None, "")}
    into.names |= {("postgres", ours): f"cnpg.{theirs}" for theirs, ours in _CNPG_SAME.items()}
    try:
        # 0 is Go's "not set".
        if timeout_s := seconds(cnpg.get("statement_timeout") or 0, 1e-9):
            postgres["statement_timeout"] = timeout_s
    except ValueError as error:
        mistakes.append(
            f"cnpg.statement_timeout: {shown(cnpg['statement_timeout'])}; {error}, or nanoseconds as an integer"
        )
    return postgres | _postgres_tls(cnpg, into, mistakes)


def _postgres_tls(cnpg: dict[str, Any], into: Translated, mistakes: list[str]) -> dict[str, Any]:
    tls, mode = cnpg.get("tls"), cnpg.get("ssl_mode")
    if not tls:
        return {}
    if not isinstance(tls, dict):
        mistakes.append(f"cnpg.tls: {shown(tls)}; an object with keys is wanted")
        return {}
    _unknown(tls, _TLS_KNOWN, "cnpg.tls", mistakes)
    if not tls.get("ca_file"):
        mistakes.append("cnpg.tls.ca_file: missing; the server is verified against it")
    found = {ours: _joined(cnpg.get("cert_dir"), tls[theirs]) for theirs, ours in _CNPG_TLS.items() if tls.get(theirs)}
    into.names |= {("postgres", ours): f"cnpg.tls.{theirs}" for theirs, ours in _CNPG_TLS.items()}
    return found if mode else {**found, "sslmode": "verify-full"}


def without_tls(postgres: Mapping[str, Any]) -> dict[str, Any]:
    """Return PostgreSQL's keys with the Go writer's default, no TLS, where nothing in them speaks of it."""
    speaks = any(postgres.get(key) is not None for key in ("sslmode", "sslrootcert", "sslcert", "dsn"))
    return dict(postgres) if speaks else {**postgres, "sslmode": "disable"}


def _streams(left: dict[str, Any], into: Translated, mistakes: list[str]) -> Any:
    """Return the entries, those of one table joined."""
    streams, subject, table = left.pop("streams", None), left.pop("subject", None), left.pop("table", None)
    if streams:
        into.unused += [key for key, value in (("subject", subject), ("table", table)) if value]
        return joined(streams, into.entry_names, mistakes) if isinstance(streams, list) else streams
    if not table:
        mistakes.append("streams: missing; give a list of {subject, table}, or the older pair subject and table")
        return None
    into.entry_names.append("table")
    return joined([{"subject": subject or ">", "table": table}], into.entry_names, mistakes)


def joined(streams: list[Any], entry_names: list[str], mistakes: list[str]) -> list[Any]:
    """
    Join the pairs of subject and table by table; entries with other keys are ours and stay as they are.

    Args:
        entry_names: What each of the returned entries is called in the file is appended.
    """
    by_table: dict[str, tuple[dict[str, Any], list[int]]] = {}
    found: list[tuple[Any, list[int]]] = []
    for at, entry in enumerate(streams):
        if not isinstance(entry, dict) or set(entry) - {"subject", "table"}:
            found.append((entry, [at]))
            continue
        subject, table = entry.get("subject"), entry.get("table")
        if not isinstance(subject, str) or not subject or not isinstance(table, str) or not table:
            mistakes.append(
                f"streams[{at}]: {shown(entry)}; both are wanted, like"
                ' {"subject": "events.ocsf.processed", "table": "ocsf_events"}'
            )
            continue
        if table not in by_table:
            by_table[table] = {"name": name_of(table.rpartition(".")[2]), "table": table, "subjects": []}, []
            found.append(by_table[table])
        one, positions = by_table[table]
        one["subjects"] = reduced([*one["subjects"], *_WIDER.get(subject.strip(), (subject.strip(),))])
        positions.append(at)
    entry_names += [_place(positions) for _, positions in found]
    return [entry for entry, _ in found]


def _place(positions: list[int]) -> str:
    return f"streams[{', '.join(map(str, positions))}]"
