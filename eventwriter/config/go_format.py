"""
The Go writer's `db-event-writer.json`, read as our own keys.

Such a file works unchanged: what it says is translated, what it carried and
ignored is named in a warning, what is wrong is a mistake like any other.
"""

import os
import re
from typing import Any

from eventwriter.config.durations import seconds
from eventwriter.config.settings import KIND_OF_TABLE

MARKS = ("nats_url", "cnpg", "nats_security", "listen_addr", "nats_creds_file")
"""Top-level keys that only the Go writer's file has."""

_IGNORED = ("listen_addr", "partition", "agent_id", "gateway_id", "tenant_id", "security", "logging")
_WIDER = {
    "otel.traces": ("otel.traces", "otel.traces.>"),
    "otel.metrics": ("otel.metrics", "otel.metrics.>"),
}
_CNPG_SAME = {
    "host": "host", "port": "port", "database": "database", "password": "password", "username": "user",
    "application_name": "application_name", "ssl_mode": "sslmode", "runtime_params": "runtime_params",
}  # fmt: skip
_CNPG_IGNORED = ("max_connections", "min_connections", "max_conn_lifetime", "health_check_period", "cert_dir")


def is_go(data: dict[str, Any]) -> bool:
    """Say whether a file is of the Go writer's shape."""
    return any(mark in data for mark in MARKS)


def translate(  # noqa: C901  # one step for each block of the file
    data: dict[str, Any], mistakes: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """
    Return our own keys, and warnings for what was carried and ignored.

    Args:
        data: The file's content.
        mistakes: What is wrong is appended, one sentence each.
    """
    left = dict(data)
    ours: dict[str, Any] = {}
    warnings = [f"{key}: carried by the Go writer's files, not used here" for key in _IGNORED if key in left]
    for key in _IGNORED:
        left.pop(key, None)
    nats: dict[str, Any] = {}
    if url := left.pop("nats_url", None):
        nats["servers"] = [url]
    if creds := left.pop("nats_creds_file", None):
        nats["creds_file"] = creds
    if domain := left.pop("domain", None):
        nats["domain"] = domain
    security = left.pop("nats_security", None)
    if isinstance(security, dict):
        _security(security, nats, mistakes, warnings)
    if nats:
        ours["nats"] = nats
    cnpg = left.pop("cnpg", None)
    if cnpg is None:
        mistakes.append("cnpg: missing; give host, username and database")
    elif isinstance(cnpg, dict):
        ours["postgres"] = _cnpg(cnpg, mistakes, warnings)
    else:
        mistakes.append(f"cnpg: {cnpg!r}; an object with host, username and database is wanted")
    streams = left.pop("streams", None)
    if not streams and left.get("table"):
        streams = [{"subject": left.pop("subject", ">"), "table": left.pop("table")}]
    left.pop("subject", None)
    left.pop("table", None)
    if isinstance(streams, list):
        ours["streams"] = [_stream(entry, at, mistakes) for at, entry in enumerate(streams)]
    return {**left, **ours}, warnings


def _stream(entry: Any, at: int, mistakes: list[str]) -> Any:
    if not isinstance(entry, dict) or set(entry) - {"subject", "table"}:
        return entry
    subject, table = entry.get("subject"), entry.get("table")
    if not isinstance(subject, str) or not subject or not isinstance(table, str) or not table:
        mistakes.append(
            f"streams[{at}]: both subject and table are wanted, like {{subject: events.>, table: ocsf_events}}"
        )
        return entry
    return {
        "name": re.sub(r"[^A-Z0-9]+", "_", subject.upper()).strip("_") or f"STREAM_{at}",
        "subjects": list(_WIDER.get(subject, (subject,))),
        "table": table,
        "kind": "netflow" if table == "ocsf_network_activity" else KIND_OF_TABLE.get(table, "json"),
    }


def _joined(folder: str | None, path: Any) -> Any:
    return os.path.join(folder, path) if folder and isinstance(path, str) and path and not os.path.isabs(path) else path


def _security(security: dict[str, Any], nats: dict[str, Any], mistakes: list[str], warnings: list[str]) -> None:
    mode = security.get("mode", "none")
    if mode == "none":
        return
    if mode != "mtls":
        mistakes.append(f"nats_security.mode: {mode!r}; allowed are mtls and none (spiffe is not supported)")
        return
    tls = security.get("tls") or {}
    folder = security.get("cert_dir")
    if "skip_verify" in tls:
        warnings.append("nats_security.tls.skip_verify: not used; the server's certificate is always verified")
    given = {
        "ca_file": _joined(folder, tls.get("ca_file")),
        "cert_file": _joined(folder, tls.get("cert_file")),
        "key_file": _joined(folder, tls.get("key_file")),
        "server_name": security.get("server_name"),
    }
    nats["tls"] = {key: value for key, value in given.items() if value}


def _cnpg(cnpg: dict[str, Any], mistakes: list[str], warnings: list[str]) -> dict[str, Any]:
    postgres = {_CNPG_SAME[key]: value for key, value in cnpg.items() if key in _CNPG_SAME and value is not None}
    if "port" in postgres:
        postgres["port"] = str(postgres["port"])
    for key in ("host", "username", "database"):
        if not cnpg.get(key):
            mistakes.append(f"cnpg.{key}: missing; it is required")
    if "statement_timeout" in cnpg:
        try:
            postgres["statement_timeout"] = seconds(cnpg["statement_timeout"], 1e-9)
        except ValueError as error:
            mistakes.append(f"cnpg.statement_timeout: {cnpg['statement_timeout']!r}; {error}")
    tls = cnpg.get("tls")
    if isinstance(tls, dict) and tls:
        folder = cnpg.get("cert_dir")
        if cnpg.get("ssl_mode") == "disable":
            mistakes.append("cnpg.ssl_mode: 'disable' contradicts cnpg.tls; remove one, or use verify-full")
        postgres.setdefault("sslmode", "verify-full")
        names = {"ca_file": "sslrootcert", "cert_file": "sslcert", "key_file": "sslkey"}
        postgres |= {ours: _joined(folder, tls[theirs]) for theirs, ours in names.items() if tls.get(theirs)}
        if not tls.get("ca_file"):
            mistakes.append("cnpg.tls.ca_file: missing; the server is verified against it")
    else:
        postgres.setdefault("sslmode", "disable")
    warnings += [
        f"cnpg.{key}: carried by the Go writer's files, not used here"
        for key in _CNPG_IGNORED
        if key in cnpg and key != "cert_dir"
    ]
    known = {*_CNPG_SAME, *_CNPG_IGNORED, "tls", "statement_timeout"}
    mistakes += [f"cnpg.{key}: not a known key" for key in cnpg if key not in known]
    return postgres
