"""
Spans: one row a record.

Source: OpenTelemetry trace data model.
"""

from typing import Any

from eventwriter.formats.fields import INT4, INT8, instant_us, integer
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import (
    LATEST_NS,
    NANOSECONDS_FROM,
    POSTGRES_EPOCH_US,
    redacted_json,
    redacted_text,
    timestamp,
)

_NO_LIST = b"[]"


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a span."""
    adjustments = build.adjustments
    as_json, as_text = redacted_json(build.redact), redacted_text(build.redact)
    resource: Any = None
    resource_json: bytes | None = None

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per span. Usual values are taken as they are, by the first condition of each pair.
        nonlocal resource, resource_json
        get = record.get
        start, end, kind, status = (
            get("start_time_unix_nano"),
            get("end_time_unix_nano"),
            get("kind"),
            get("status_code"),
        )
        if start.__class__ is int and NANOSECONDS_FROM <= start < LATEST_NS:
            when = start // 1000 - POSTGRES_EPOCH_US
        else:
            when = _when(start, get("timestamp"), message, adjustments)
            start = integer(start, INT8, adjustments)
        if not (end.__class__ is int and 0 <= end < LATEST_NS):
            end = integer(end, INT8, adjustments)
        if not (kind.__class__ is int and 0 <= kind < 6):
            kind = integer(kind, INT4, adjustments)
        if not (status.__class__ is int and 0 <= status < 3):
            status = integer(status, INT4, adjustments)
        # Spans of one group share one resource: its JSON is made once.
        if (one := get("resource_attributes")) is not resource:
            resource, resource_json = one, as_json(one)
        events, links = get("events"), get("links")
        trace_id, span_id, parent_id = get("trace_id"), get("span_id"), get("parent_span_id")
        if "{" in f"{trace_id}{span_id}{parent_id}":
            # JSON, which is no identifier, may hold secrets.
            trace_id, span_id, parent_id = as_text(trace_id), as_text(span_id), as_text(parent_id)
        return (
            when,
            trace_id,
            span_id,
            parent_id or None,
            as_text(get("name")),
            kind,
            start,
            end,
            as_text(get("service_name")),
            as_text(get("service_version")),
            as_text(get("service_instance")),
            as_text(get("scope_name")),
            as_text(get("scope_version")),
            status,
            as_text(get("status_message")),
            as_json(get("attributes")),
            resource_json,
            as_json(events) if events or events != [] else _NO_LIST,
            as_json(links) if links or links != [] else _NO_LIST,
        )

    return row


def _when(start: Any, given: Any, message: Message, adjustments: Adjustments) -> int:
    """Return the start time; where there is no usable one, the record's timestamp, and then the message's."""
    return timestamp(start if instant_us(start) is not None else given, message, adjustments)


OTEL_TRACES = Table(
    name="otel_traces",
    columns=(
        Column("timestamp", "timestamptz", not_null=True),
        Column("trace_id", "text", not_null=True),
        Column("span_id", "text", not_null=True),
        Column("parent_span_id", "text"),
        Column("name", "text"),
        Column("kind", "int4"),
        Column("start_time_unix_nano", "int8"),
        Column("end_time_unix_nano", "int8"),
        Column("service_name", "text"),
        Column("service_version", "text"),
        Column("service_instance", "text"),
        Column("scope_name", "text"),
        Column("scope_version", "text"),
        Column("status_code", "int4"),
        Column("status_message", "text"),
        Column("attributes", "json"),
        Column("resource_attributes", "json"),
        Column("events", "json"),
        Column("links", "json"),
    ),
    builder=builder,
    time_column="timestamp",
    key=("timestamp", "trace_id", "span_id"),
    conflict="nothing",
)
