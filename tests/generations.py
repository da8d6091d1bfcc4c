"""
The tables of existing ServiceRadar databases, and messages of every kind to fill them with.

`tests/data/generations` holds each generation's statements: `go` (until January 2026),
`tenants` (January 2026), `platform` (February to May 2026).
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from golden_rows import DATA, delivery, parsed

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Message, Record
from eventwriter.postgres.schema.conversions import elements
from eventwriter.tables.table import Column, Table

GENERATIONS = ("go", "tenants", "platform")
TENANT = "tenant_id uuid NOT NULL"

SUBJECTS: Mapping[str, str] = {
    "telemetry": "telemetry.metrics",
    "sweep": "sweep.results",
    "netflow_json": "netflow.raw",
    "flows_raw_protobuf": "flows.raw.netflow",
    "events_ocsf": "events.ocsf.processed",
    "events_cloudevents_gelf": "events.syslog.processed",
    "logs_raw_inputs": "events.snmp",
    "otel_metrics": "otel.metrics",
    "otel_traces": "otel.traces",
    "logs_processed_json": "logs.syslog.processed",
    "logs_otlp_protobuf": "logs.otel.processed",
    "logs_otlp_json": "logs.otel.processed",
    "logs_internal": "logs.internal.audit",
}
"""Folder of tests/data → subject of its payloads."""

FOLDERS: Mapping[str, tuple[str, ...]] = {
    "telemetry": ("telemetry",),
    "sweep": ("sweep",),
    "netflow": ("netflow_json", "flows_raw_protobuf"),
    "events": ("events_ocsf", "events_cloudevents_gelf", "logs_raw_inputs"),
    "otel_metrics": ("otel_metrics",),
    "otel_traces": ("otel_traces",),
    "logs": ("logs_processed_json", "logs_otlp_protobuf", "logs_otlp_json", "logs_internal"),
}
"""Kind → folders of its payloads."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One well-formed message."""

    name: str
    message: Message
    records: list[Record]


def statements(generation: str) -> dict[str, str]:
    """Return the statements of a generation by table."""
    text = (DATA / "generations" / f"{generation}.sql").read_text()
    found: dict[str, str] = {}
    for statement in re.sub(r"--.*", "", text).split(";"):
        if name := re.search(r"TABLE (\w+)", statement):
            found[name[1]] = found.get(name[1], "") + statement + ";"
    return found


def samples(kind: str) -> Iterator[Sample]:
    """Yield a kind's well-formed messages, each with a sequence and a time of its own."""
    seq = 0
    for folder in FOLDERS[kind]:
        for path in sorted((DATA / folder).iterdir()):
            if {".row", ".rows"} & set(path.suffixes) or path.stat().st_size == 0:
                continue
            seq += 1
            message = delivery(path.read_bytes(), SUBJECTS[folder])
            message = message._replace(stream_seq=seq, timestamp_ns=message.timestamp_ns + seq * 1_000_000)
            try:
                yield Sample(f"{folder}/{path.name}", message, KINDS[kind].decode(message))
            except Poison:
                continue


def as_stored(column: Column, value: Any, real: Any) -> Any:
    """
    Return what `to_jsonb` of the real table is to show for a row's value.

    Args:
        real: What it does show, which says whether JSON is in a text column.
    """
    if value is None:
        # A JSON column that may not be NULL is empty.
        return real if real in ({}, [], "{}", "[]") else None
    if column.type in ("jsonb", "json"):
        text = value.removeprefix(b"\x01").decode()
        return text if isinstance(real, str) and not text.startswith('"') else parsed(text)
    if column.type.endswith("[]"):
        return elements(value)
    if column.type == "float8":
        return real if repr(float(real)) == repr(value) else value
    if column.type == "timestamptz":
        instant = dt.datetime(2000, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=value)
        return real if dt.datetime.fromisoformat(real) == instant else instant.isoformat()
    return str(UUID(bytes=value)) if column.type == "uuid" else value


def definitions(table: str) -> list[tuple[str, Table]]:
    """Return the kinds that fill a table, each with its definition."""
    return [
        (kind.name, definition)
        for kind in KINDS.values()
        for definition in (*kind.tables, *kind.also)
        if definition.name == table
    ]
