"""
Spans in `otel_traces`: one row per record.

Source: OpenTelemetry trace data model.
"""

from typing import Any

from eventwriter.formats.fields import INT4, INT8, instant_us, integer, json_value, text, whole
from eventwriter.formats.json import dumps
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.record_reader import with_rest
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import LATEST_NS, NANOSECONDS_FROM, POSTGRES_EPOCH_US, timestamp

_NO_LIST = b"[]"
_INTEGERS = (("start_time_unix_nano", INT8), ("end_time_unix_nano", INT8), ("kind", INT4), ("status_code", INT4))
_INTEGER_NAMES = tuple(name for name, _ in _INTEGERS)


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a span."""
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None
    resource: Any = None
    resource_json: bytes | None = None

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per span. Values of the usual types are taken without a call.
        nonlocal resource, resource_json
        if clean is not None:
            record = clean(record, message)
        get = record.get
        start, end, kind, status = map(get, _INTEGER_NAMES)
        attributes = get("attributes")
        if (
            start.__class__ is int
            and NANOSECONDS_FROM <= start < LATEST_NS
            and end.__class__ is int
            and 0 <= end < LATEST_NS
            and kind.__class__ is int
            and 0 <= kind < 6
            and status.__class__ is int
            and 0 <= status < 3
        ):
            at = start // 1000 - POSTGRES_EPOCH_US
        else:
            at = _time(start, get("timestamp"), message, adjustments)
            (start, end, kind, status), attributes = _converted(record, attributes, adjustments)
        # Spans of one group share one resource: its JSON is encoded once.
        if (one := get("resource_attributes")) is not resource:
            resource, resource_json = one, _json(one)
        events, links = get("events"), get("links")
        trace_id, span_id, parent_id, name = get("trace_id"), get("span_id"), get("parent_span_id"), get("name")
        return (
            at,
            trace_id, span_id, parent_id or None,
            name if name.__class__ is str else text(name),
            kind, start, end,
            text(get("service_name")), text(get("service_version")), text(get("service_instance")),
            text(get("scope_name")), text(get("scope_version")),
            status, text(get("status_message")),
            dumps(attributes) if attributes.__class__ is dict else _json(attributes),
            resource_json,
            _json(events) if events or events != [] else _NO_LIST,
            _json(links) if links or links != [] else _NO_LIST,
        )  # fmt: skip

    return row


def _json(value: Any) -> bytes | None:
    """Encode JSON; text that contains an object or array is parsed."""
    return None if value is None else dumps(json_value(value))


def _time(start: Any, other: Any, message: Message, adjustments: Adjustments) -> int:
    """Return the start time; if it is unusable, the timestamp of the record, and then that of the message."""
    return timestamp(start if instant_us(start) is not None else other, message, adjustments)


def _converted(record: Record, attributes: Any, adjustments: Adjustments) -> tuple[list[int | None], Any]:
    """Return the integer columns, and the attributes with the values that a column cannot store."""
    values, rest = [], {}
    for name, limits in _INTEGERS:
        given = record.get(name)
        values.append(integer(given, limits, adjustments, name))
        if given is not None and (values[-1] is None or whole(given) != values[-1]):
            rest[name] = given
    if (given := record.get("timestamp")) is not None and instant_us(given) is None:
        adjustments.nulled_by_column.add("timestamp")
        rest["timestamp"] = given
    return values, with_rest(json_value(attributes), rest, "attributes") if rest else attributes


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
