"""
Translation of the Go writer's `db-event-writer.json` to our own keys.

Such a file works unchanged. Keys without a meaning here are listed in one warning, and errors use
the file's own key names.

The Go writer has one consumer for all its entries. Here, the entries of one table are combined to
one stream entry and thus one worker. With a worker for each entry, the subjects `otel.metrics` and
`otel.metrics.raw`, which the Go writer widens, would overlap, and every message would be written
twice.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eventwriter.config.durations import parse_duration
from eventwriter.config.errors import Path, SettingError, display
from eventwriter.config.stream_entries import entry_name
from eventwriter.config.subjects import without_covered

MARKS = ("nats_url", "cnpg", "nats_security", "listen_addr", "nats_creds_file")
"""Top-level keys that only a file of the Go writer has."""

_IGNORED = ("listen_addr", "partition", "agent_id", "gateway_id", "poller_id", "tenant_id", "security", "database")
_LEVELS = {"trace": "debug", "warn": "warning", "fatal": "error", "panic": "error", "disabled": "error", "": "info"}
"""Levels of the Go logger that have another name here."""
_LOGGING_IGNORED = ("output", "time_format", "otel")

_WIDER = {
    "otel.traces": ("otel.traces", "otel.traces.>"),
    "otel.traces.raw": ("otel.traces", "otel.traces.>"),
    "otel.metrics": ("otel.metrics", "otel.metrics.>"),
    "otel.metrics.raw": ("otel.metrics", "otel.metrics.>"),
    "pdns.ocsf": ("pdns.ocsf", "pdns.ocsf.>"),
}
"""Subject in the file → filters that the Go writer's consumer uses for it."""

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
    """Our own keys, and their names in the file."""

    data: dict[str, Any] = field(default_factory=dict)
    names: dict[Path, str] = field(default_factory=dict)
    """Our key path → the file's name of it, for error messages."""
    entry_names: list[str] = field(default_factory=list)
    """Name of each stream entry in the file."""
    unused: list[str] = field(default_factory=list)
    """Keys without a meaning here."""
    warnings: list[str] = field(default_factory=list)


def is_go(data: Mapping[str, Any]) -> bool:
    """Return whether a file has the Go writer's format."""
    return any(mark in data for mark in MARKS)


def apply_environment(data: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the file's content with the values that the Go writer's start script took from the environment.

    Only the variables that affect how other keys are translated are applied here: those of required
    keys, and those of TLS, whose defaults depend on the files.
    """
    url = next((environ[name] for name in _URL_VARIABLES if environ.get(name)), None)
    data = {**data, "nats_url": url} if url else data
    cnpg = data.get("cnpg", {})
    values = {key: environ[name] for name, key in _CNPG_VARIABLES.items() if environ.get(name)}
    files = {key: environ[name] for name, key in _CNPG_TLS_VARIABLES.items() if environ.get(name)}
    if not isinstance(cnpg, dict) or not (values or files):
        return dict(data)
    cnpg = {**cnpg, **values}
    if files:
        tls = cnpg.get("tls")
        cnpg["tls"] = {**tls, **files} if isinstance(tls, dict) else files
    return {**data, "cnpg": cnpg}


def translate(data: Mapping[str, Any], errors: list[SettingError]) -> Translated:
    """
    Translate a file in the Go writer's format.

    Args:
        data: The file's content.
        errors: Receives the errors found.
    """
    remaining, result = dict(data), Translated()
    result.unused += [key for key in _IGNORED if remaining.pop(key, None) is not None]
    _translate_logging(remaining.pop("logging", None), result, errors)
    nats = _translate_nats(remaining, result, errors)
    postgres = _translate_postgres(remaining.pop("cnpg", None), result, errors)
    streams = _translate_streams(remaining, result, errors)
    if result.unused:
        result.warnings.insert(0, f"{', '.join(result.unused)}: keys of the Go writer that eventwriter ignores")
    own = {"nats": nats, "postgres": postgres, **({"log": log} if (log := result.data.get("log")) else {})}
    for key, value in own.items():
        # A section under our own name beside the Go writer's keys takes precedence.
        section = remaining.get(key)
        remaining[key] = {**value, **section} if isinstance(section, dict) else value if section is None else section
    result.data = {**remaining, "streams": streams}
    return result


def _translate_logging(logging: Any, result: Translated, errors: list[SettingError]) -> None:
    if logging is None:
        return
    if not isinstance(logging, dict):
        errors.append(_not_an_object("logging", logging))
        return
    level = logging.get("level")
    if logging.get("debug") is True:
        result.data["log"] = {"level": "debug"}
    elif isinstance(level, str):
        result.data["log"] = {"level": _LEVELS.get(level.lower(), level.lower())}
        result.names[("log", "level")] = "logging.level"
    result.unused += [f"logging.{key}" for key in _LOGGING_IGNORED if key in logging]


def _not_an_object(key: str, value: Any) -> SettingError:
    return SettingError(key, "wrong_type", f"{display(value)} is not an object with keys")


def _translate_nats(remaining: dict[str, Any], result: Translated, errors: list[SettingError]) -> dict[str, Any]:
    nats: dict[str, Any] = {}
    for theirs, ours in (("nats_url", "servers"), ("nats_creds_file", "creds_file"), ("domain", "domain")):
        if value := remaining.pop(theirs, None):
            nats[ours] = value
            result.names[("nats", ours)] = theirs
    own = remaining.get("nats")
    if "servers" not in nats and not (isinstance(own, dict) and "servers" in own):
        errors.append(SettingError("nats_url", "missing", 'this key is required, like "tls://nats:4222"'))
    if tls := _translate_nats_tls(remaining.pop("nats_security", None), result, errors):
        nats["tls"] = tls
    return nats


def _translate_nats_tls(security: Any, result: Translated, errors: list[SettingError]) -> dict[str, Any] | None:
    if not security:
        return None
    if not isinstance(security, dict):
        errors.append(_not_an_object("nats_security", security))
        return None
    _check_keys(security, _SECURITY_KNOWN, "nats_security", errors)
    mode = security.get("mode") or "none"
    if mode == "none":
        return None
    if mode != "mtls":
        message = f"{display(mode)} is not allowed; allowed values are mtls and none (spiffe is not supported)"
        errors.append(SettingError("nats_security.mode", "not_allowed", message))
        return None
    tls = security.get("tls") or {}
    if not isinstance(tls, dict):
        errors.append(_not_an_object("nats_security.tls", tls))
        return None
    _check_keys(tls, _TLS_KNOWN, "nats_security.tls", errors)
    if tls.get("skip_verify"):
        result.warnings.append("nats_security.tls.skip_verify: ignored; the server's certificate is always verified")
    files = {key: _joined(security.get("cert_dir"), tls.get(key)) for key in ("ca_file", "cert_file", "key_file")}
    result.names |= {("nats", "tls", key): f"nats_security.tls.{key}" for key in files}
    result.names[("nats", "tls", "server_name")] = "nats_security.server_name"
    return {key: value for key, value in {**files, "server_name": security.get("server_name")}.items() if value}


def _joined(folder: Any, path: Any) -> Any:
    if isinstance(folder, str) and folder and isinstance(path, str) and path and not os.path.isabs(path):
        return os.path.join(folder, path)
    return path


def _check_keys(section: Mapping[str, Any], known: tuple[str, ...], path: str, errors: list[SettingError]) -> None:
    errors += [SettingError.unknown_key((path, key), {}, known) for key in section if key not in known]


def _translate_postgres(cnpg: Any, result: Translated, errors: list[SettingError]) -> dict[str, Any]:
    if not isinstance(cnpg, dict):
        if cnpg is None:
            error = SettingError("cnpg", "missing", "this key is required: an object with host, username and database")
        else:  # the value is not quoted: it may be a connection string
            error = SettingError("cnpg", "wrong_type", "the value is not an object with host, username and database")
        errors.append(error)
        return {}
    _check_keys(cnpg, _CNPG_KNOWN, "cnpg", errors)
    result.unused += [f"cnpg.{key}" for key in _CNPG_IGNORED if key in cnpg]
    for key in ("host", "username", "database"):
        if not cnpg.get(key):
            errors.append(SettingError(f"cnpg.{key}", "missing", "this key is required"))
    postgres = {ours: cnpg[theirs] for theirs, ours in _CNPG_SAME.items() if cnpg.get(theirs) not in (None, "")}
    result.names |= {("postgres", ours): f"cnpg.{theirs}" for theirs, ours in _CNPG_SAME.items()}
    try:
        # 0 means "not set" in Go.
        if timeout_s := parse_duration(cnpg.get("statement_timeout") or 0, 1e-9):
            postgres["statement_timeout"] = timeout_s
    except ValueError as error:
        message = f"{display(cnpg['statement_timeout'])} is {error}, or nanoseconds as a whole number"
        errors.append(SettingError("cnpg.statement_timeout", "invalid", message))
    return postgres | _translate_postgres_tls(cnpg, result, errors)


def _translate_postgres_tls(cnpg: dict[str, Any], result: Translated, errors: list[SettingError]) -> dict[str, Any]:
    tls, mode = cnpg.get("tls"), cnpg.get("ssl_mode")
    if not tls:
        return {}
    if not isinstance(tls, dict):
        errors.append(_not_an_object("cnpg.tls", tls))
        return {}
    _check_keys(tls, _TLS_KNOWN, "cnpg.tls", errors)
    if not tls.get("ca_file"):
        message = "this key is required: the server is verified with it"
        errors.append(SettingError("cnpg.tls.ca_file", "missing", message))
    files = {ours: _joined(cnpg.get("cert_dir"), tls[theirs]) for theirs, ours in _CNPG_TLS.items() if tls.get(theirs)}
    result.names |= {("postgres", ours): f"cnpg.tls.{theirs}" for theirs, ours in _CNPG_TLS.items()}
    return files if mode else {**files, "sslmode": "verify-full"}


def without_tls(postgres: Mapping[str, Any]) -> dict[str, Any]:
    """Return PostgreSQL's keys with the Go writer's default for TLS (no TLS) unless a key concerns TLS."""
    concerns_tls = any(postgres.get(key) is not None for key in ("sslmode", "sslrootcert", "sslcert", "dsn"))
    return dict(postgres) if concerns_tls else {**postgres, "sslmode": "disable"}


def _translate_streams(remaining: dict[str, Any], result: Translated, errors: list[SettingError]) -> Any:
    """Return the stream entries, those of one table combined."""
    streams, subject, table = (remaining.pop(key, None) for key in ("streams", "subject", "table"))
    if streams:
        result.unused += [key for key, value in (("subject", subject), ("table", table)) if value]
        return combine_by_table(streams, result.entry_names, errors) if isinstance(streams, list) else streams
    if not table:
        message = "this key is required: a list of {subject, table}, or the older keys subject and table"
        errors.append(SettingError("streams", "missing", message))
        return None
    result.entry_names.append("table")
    return combine_by_table([{"subject": subject or ">", "table": table}], result.entry_names, errors)


def combine_by_table(streams: list[Any], entry_names: list[str], errors: list[SettingError]) -> list[Any]:
    """
    Combine pairs of subject and table by table; entries with other keys are ours and stay unchanged.

    Args:
        streams: The entries of the file.
        entry_names: Receives the name in the file of each returned entry.
        errors: Receives the errors found.
    """
    by_table: dict[str, tuple[dict[str, Any], list[int]]] = {}
    combined: list[tuple[Any, list[int]]] = []
    for position, entry in enumerate(streams):
        if not isinstance(entry, dict) or set(entry) - {"subject", "table"}:
            combined.append((entry, [position]))
            continue
        subject, table = entry.get("subject"), entry.get("table")
        if not isinstance(subject, str) or not subject or not isinstance(table, str) or not table:
            message = (
                f"{display(entry)} must have a subject and a table, like"
                ' {"subject": "events.ocsf.processed", "table": "ocsf_events"}'
            )
            errors.append(SettingError(f"streams[{position}]", "missing", message))
            continue
        if table not in by_table:
            by_table[table] = {"name": entry_name(table.rpartition(".")[2]), "table": table, "subjects": []}, []
            combined.append(by_table[table])
        fields, positions = by_table[table]
        subject = subject.strip()
        fields["subjects"] = without_covered([*fields["subjects"], *_WIDER.get(subject, (subject,))])
        positions.append(position)
    entry_names += [f"streams[{', '.join(map(str, positions))}]" for _, positions in combined]
    return [entry for entry, _ in combined]
