"""
Metrics in `otel_metrics`: one row per data point, and per metric that is derived from a span.

The table is ServiceRadar's for metrics derived from spans, with additional columns for data points.
Missing values in its text columns are '', as its rollups expect.

Source: OpenTelemetry metrics data model; OpenTelemetry semantic conventions for HTTP and RPC, stable and
former names; UCUM for the units of time.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from eventwriter.formats.fields import INT8, boolean, instant_us, integer, json_value, number, text, whole
from eventwriter.formats.json import dumps_sorted
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.record_reader import with_rest
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.timeseries import measurement
from eventwriter.tables.values import LATEST_NS, NANOSECONDS_FROM, POSTGRES_EPOCH_US, parsed_jsonb, timestamp

_UNITS = {
    "ns": (1.0, 1e6, 1.0, 1e9), "us": (1.0, 1e3, 1.0, 1e6), "ms": (1.0, 1.0, 1.0, 1e3),
    "s": (1e3, 1.0, 1.0, 1.0), "min": (6e4, 1.0, 60.0, 1.0), "h": (3.6e6, 1.0, 3600.0, 1.0),
}  # fmt: skip
"""Unit → multiplier and divisor for milliseconds, then for seconds; with both, a number is rounded once."""

_ATTRIBUTE_COLUMNS = (
    ("span_kind", ("span.kind",)),
    ("http_method", ("http.request.method", "http.method")),
    ("http_route", ("http.route",)),
    ("http_status_code", ("http.response.status_code", "http.status_code")),
    ("grpc_service", ("rpc.service", "grpc.service")),
    ("grpc_method", ("rpc.method", "grpc.method")),
    ("grpc_status_code", ("rpc.response.status_code", "rpc.grpc.status_code", "grpc.status_code")),
    ("component", ("component",)),
    ("level", ("level",)),
)
"""Columns and the attributes that they repeat, the preferred one first."""
_POSITIONS = {key: position for position, (_, keys) in enumerate(_ATTRIBUTE_COLUMNS) for key in keys}

_NO_ATTRIBUTES = b"{}"


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a data point or of a derived metric."""
    adjustments, number_to_duration = build.adjustments, "value" not in build.columns
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None
    series_of = series_maker() if "series_key" in build.columns else None
    resource: Any = None
    resource_json: bytes | None = None

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per record.
        nonlocal resource, resource_json
        if clean is not None:
            record = clean(record, message)
        is_point = record.get("is_point")
        if not is_point or not _has_floats(record):
            record = _converted(record, adjustments)
        attributes = record["attributes"]
        if is_point:
            repeated = _repeated(attributes)
            value, total = record.get("value"), record.get("sum")
            durations = _durations_of_point(record["unit"], value if value is not None else total, number_to_duration)
        else:
            repeated = _columns(record, attributes)
            durations = _durations(record.get("duration_ms"), record.get("duration_seconds"))
        get = record.get
        value, total, count = get("value"), get("sum"), get("count")
        if (one := get("resource_attributes")) is not resource:
            resource, resource_json = one, parsed_jsonb(one)
        attributes_json = None if attributes is None else b"\x01" + dumps_sorted(attributes)
        scope_name, scope_version = text(get("scope_name")), text(get("scope_version"))
        at, span_id = timestamp(get("timestamp"), message, adjustments), get("span_id") or ""
        service, name = text(get("service_name")) or "", text(get("span_name")) or ""
        kind, series = text(get("metric_type")) or "", ""
        if series_of is not None:
            bare = _NO_ATTRIBUTES if attributes_json is None else attributes_json[1:]
            series = series_of((at, name, service, span_id, kind), bare, one, scope_name, scope_version, index)
        return (
            at,
            get("trace_id") or "",
            span_id,
            service,
            name,
            repeated[0],
            durations[0],
            durations[1],
            kind,
            *repeated[1:7],
            get("is_slow") or False,
            *repeated[7:9],
            text(get("unit")) or "",
            value,
            None if count is None else integer(count, INT8, adjustments, "count"),
            total,
            get("min"),
            get("max"),
            parsed_jsonb(get("buckets")),
            parsed_jsonb(get("quantiles")),
            attributes_json,
            resource_json,
            scope_name,
            scope_version,
            text(get("temporality")),
            get("is_monotonic"),
            _start(get("start_timestamp")),
            series,
        )

    return row


def _has_floats(record: Record) -> bool:
    """Return whether the numbers of a data point are floats, or absent."""
    get = record.get
    for name in ("value", "sum", "min", "max"):
        value = get(name)
        if value.__class__ is not float and value is not None:
            return False
    return True


_FLOATS = ("duration_ms", "duration_seconds", "sum", "min", "max")
_BOOLEANS = ("is_slow", "is_monotonic")
_INSTANTS = ("timestamp", "start_timestamp")


def _converted(record: Record, adjustments: Adjustments) -> Record:
    """
    Return a metric with the types of its columns; values that a column cannot store become attributes.

    Raises:
        Poison: `bad_value`: the value is not a number.
    """
    # Hot: once per derived metric, whose values have the types of the columns already.
    get, attributes = record.get, json_value(record.get("attributes"))
    if attributes is not None and attributes.__class__ is not dict:
        attributes = {"attributes": attributes}
    changed: Record = {}
    rest: Record = {}
    if (value := get("value")) is not None and value.__class__ is not float:
        changed["value"] = measurement(value)
    for names, kind, convert in _CONVERTED:
        for name in names:
            if (value := get(name)) is None or value.__class__ is kind:
                continue
            changed[name] = converted = convert(value)
            if converted is None:
                adjustments.nulled_by_column.add(name)
                rest[name] = value
    if (count := get("count")) is not None and not 0 <= (whole(count) or 0) <= INT8[1]:
        rest["count"] = count
    changed["attributes"] = with_rest(attributes, rest, "attributes")
    return record | changed


def _count(value: Any) -> Any:
    return value if whole(value) is not None else None


def _instant(value: Any) -> Any:
    return value if instant_us(value) is not None else None


_CONVERTED: tuple[tuple[Sequence[str], type, Callable[[Any], Any]], ...] = (
    (_FLOATS, float, number),
    (_BOOLEANS, bool, boolean),
    (_INSTANTS, dict, _instant),
    (("count",), int, _count),
)
"""Columns, the class of values that need no conversion, and the conversion; instants and counts are only checked."""


def _columns(record: Record, attributes: Any) -> Sequence[str]:
    """Return the columns of `_ATTRIBUTE_COLUMNS` of a flat metric: its own fields, else its attributes."""
    own = [text(record.get(column)) or "" for column, _ in _ATTRIBUTE_COLUMNS]
    if attributes.__class__ is not dict or not attributes:
        return own
    return [first or other for first, other in zip(own, _repeated(attributes), strict=True)]


def _repeated(attributes: Record) -> Sequence[str]:
    """Return the columns of `_ATTRIBUTE_COLUMNS`, taken from the attributes."""
    # Hot: once per data point; most points have none or few of them.
    values = [""] * len(_ATTRIBUTE_COLUMNS)
    for key, value in attributes.items():
        position = _POSITIONS.get(key)
        if position is None or value is None:
            continue
        if values[position]:
            keys = _ATTRIBUTE_COLUMNS[position][1]
            value = next(attributes[key] for key in keys if attributes.get(key) is not None)
        values[position] = value if value.__class__ is str else text(value) or ""
    return values


def _durations_of_point(
    unit: Any, measured: float | None, number_to_duration: bool
) -> tuple[float | None, float | None]:
    """
    Return milliseconds and seconds of a data point whose unit is a unit of time.

    Args:
        number_to_duration: The real table has no column `value`: a number of another unit is stored as
            milliseconds, as ServiceRadar's writer did.
    """
    if measured is None:
        return None, None
    factors = _UNITS.get(unit) if unit.__class__ is str else None
    if factors is not None:
        times_ms, parts_ms, times_s, parts_s = factors
        return measured * times_ms / parts_ms, measured * times_s / parts_s
    return (measured, measured / 1000) if number_to_duration else (None, None)


def _durations(milliseconds: float | None, seconds: float | None) -> tuple[float | None, float | None]:
    """Return milliseconds and seconds, each computed from the other if it is missing."""
    if milliseconds is None and seconds is not None:
        return seconds * 1000, seconds
    if seconds is None and milliseconds is not None:
        return milliseconds, milliseconds / 1000
    return milliseconds, seconds


def _start(value: Any) -> int | None:
    if value.__class__ is int and NANOSECONDS_FROM <= value < LATEST_NS:
        return value // 1000 - POSTGRES_EPOCH_US
    us = instant_us(value)
    return None if us is None else us - POSTGRES_EPOCH_US


COLUMNS = (
    Column("timestamp", "timestamptz", not_null=True),
    Column("trace_id", "text"),
    Column("span_id", "text", not_null=True),
    Column("service_name", "text", not_null=True),
    Column("span_name", "text", not_null=True),
    Column("span_kind", "text"),
    Column("duration_ms", "float8"),
    Column("duration_seconds", "float8"),
    Column("metric_type", "text", not_null=True),
    Column("http_method", "text"),
    Column("http_route", "text"),
    Column("http_status_code", "text"),
    Column("grpc_service", "text"),
    Column("grpc_method", "text"),
    Column("grpc_status_code", "text"),
    Column("is_slow", "bool"),
    Column("component", "text"),
    Column("level", "text"),
    Column("unit", "text"),
    Column("value", "float8"),
    Column("count", "int8"),
    Column("sum", "float8"),
    Column("min", "float8"),
    Column("max", "float8"),
    Column("buckets", "jsonb"),
    Column("quantiles", "jsonb"),
    Column("attributes", "jsonb"),
    Column("resource_attributes", "jsonb"),
    Column("scope_name", "text"),
    Column("scope_version", "text"),
    Column("temporality", "text"),
    Column("is_monotonic", "bool"),
    Column("start_timestamp", "timestamptz"),
    Column("series_key", "text", not_null=True),
)

OTEL_METRICS = Table(
    name="otel_metrics",
    columns=COLUMNS,
    builder=builder,
    time_column="timestamp",
    key=("timestamp", "span_name", "service_name", "span_id", "metric_type", "series_key"),
    conflict="nothing",
)


Point = tuple[int, str, str, str, str]
"""Values of the other columns of the table's key."""

SeriesOf = Callable[[Point, bytes, Any, str | None, str | None, int], str]
"""(point, its attributes as sorted JSON, resource attributes, scope name and version, index in the message) → key."""


def series_key(attributes: bytes, resource: bytes, scope: bytes) -> str:
    """
    Return the md5 of the sorted attributes; '' if there are none.

    Args:
        attributes: Attributes of the point, as JSON with sorted keys.
        resource: Attributes of the resource in the same form, without the name of the service, which is a column of
            the key.
        scope: Name and version of the scope, which count only if the resource has such attributes.
    """
    if resource != b"{}":
        attributes = b"\0".join((attributes, resource, scope))
    elif attributes == b"{}":
        return ""
    return hashlib.md5(attributes, usedforsecurity=False).hexdigest()


def series_maker() -> SeriesOf:
    """
    Return the function that computes series keys such that no two points of a message collide.

    Points of one message that differ neither in the columns of the key nor in what `series_key`
    covers (one key twice, or two instants in one microsecond) are numbered in their order.
    """
    seen: dict[tuple[Point, str], int] = {}
    known: Any = None
    resource_json = b"{}"

    def series_of(
        point: Point, attributes: bytes, resource: Any, scope_name: str | None, scope_version: str | None, index: int
    ) -> str:
        # Hot: once per record. Records of one group share one resource: its JSON is encoded once.
        nonlocal known, resource_json
        if index == 0:
            seen.clear()
        if resource is not known:
            known, resource_json = resource, _without_service(resource)
        series = series_key(attributes, resource_json, f"{scope_name or ''}\0{scope_version or ''}".encode())
        key = point, series
        before = seen.get(key, 0)
        seen[key] = before + 1
        if before:
            series = hashlib.md5(f"{series}\0{before}".encode(), usedforsecurity=False).hexdigest()
        return series

    return series_of


def _without_service(resource: Any) -> bytes:
    if resource.__class__ is not dict:
        return b"{}"
    return dumps_sorted({key: value for key, value in resource.items() if key != "service.name"})
