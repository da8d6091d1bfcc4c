"""
Metrics: one row for each data point of a metric, and for each metric derived from a span.

The table is ServiceRadar's, made for metrics derived from spans, with columns added for
data points. Its text columns hold '' where there is nothing, as its rollups expect.

Source: OpenTelemetry metrics data model; UCUM for the units of time.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT8, boolean, instant_us, integer, number, text
from eventwriter.formats.json import dumps_sorted
from eventwriter.model import Message, Record
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import (
    LATEST_NS,
    NANOSECONDS_FROM,
    POSTGRES_EPOCH_US,
    redacted_json,
    redacted_jsonb,
    redacted_text,
    timestamp,
    without,
)

_UNITS = {
    "ns": (1.0, 1e6, 1.0, 1e9), "us": (1.0, 1e3, 1.0, 1e6), "ms": (1.0, 1.0, 1.0, 1e3),
    "s": (1e3, 1.0, 1.0, 1.0), "min": (6e4, 1.0, 60.0, 1.0), "h": (3.6e6, 1.0, 3600.0, 1.0),
}  # fmt: skip
"""Unit -> what a number is multiplied with and divided by, for milliseconds and for seconds; so rounded once."""

_SHOWN = (
    ("span_kind", ("span.kind",)),
    ("http_method", ("http.method",)),
    ("http_route", ("http.route",)),
    ("http_status_code", ("http.status_code",)),
    ("grpc_service", ("rpc.service", "grpc.service")),
    ("grpc_method", ("rpc.method", "grpc.method")),
    ("grpc_status_code", ("rpc.grpc.status_code", "grpc.status_code")),
    ("component", ("component",)),
    ("level", ("level",)),
)
"""Columns and the attributes of a data point that are shown in them."""
_PLACES = {key: place for place, (_, keys) in enumerate(_SHOWN) for key in keys}
_NEWER = {older: newer for _, (newer, *rest) in _SHOWN for older in rest}

_NO_ATTRIBUTES = b"{}"


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a data point or of a derived metric."""
    adjustments, number_to_duration = build.adjustments, "value" not in build.columns
    as_text, as_json = redacted_text(build.redact), redacted_jsonb(build.redact)
    as_sorted = redacted_json(build.redact, b"\x01", dumps_sorted)
    series_of = series_maker(build.redact) if "series_key" in build.columns else None
    resource: Any = None
    resource_json: bytes | None = None

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per record.
        nonlocal resource, resource_json
        get = record.get
        value, total = get("value"), get("sum")
        if value is not None and value.__class__ is not float:
            value = _measured(value)
        if total is not None and total.__class__ is not float:
            total = number(total)
        if get("is_point"):
            shown, durations = (
                _shown(record["attributes"]),
                _durations_of_point(record, value, total, number_to_duration),
            )
        else:
            shown = [as_text(get(column)) or "" for column, _ in _SHOWN]
            durations = _durations(get("duration_ms"), get("duration_seconds"))
        if (one := get("resource_attributes")) is not resource:
            resource, resource_json = one, as_json(one)
        count, least, most, attributes = get("count"), get("min"), get("max"), as_sorted(get("attributes"))
        scope_name, scope_version = as_text(get("scope_name")), as_text(get("scope_version"))
        when, span_id = timestamp(get("timestamp"), message, adjustments), as_text(get("span_id")) or ""
        service, name = as_text(get("service_name")) or "", as_text(get("span_name")) or ""
        kind, series = as_text(get("metric_type")) or "", ""
        if series_of is not None:
            bare = _NO_ATTRIBUTES if attributes is None else attributes[1:]
            series = series_of((when, name, service, span_id, kind), bare, one, scope_name, scope_version, index)
        return (
            when,
            as_text(get("trace_id")) or "",
            span_id,
            service,
            name,
            shown[0],
            durations[0],
            durations[1],
            kind,
            *shown[1:7],
            boolean(get("is_slow"), False),
            *shown[7:9],
            as_text(get("unit")) or "",
            value,
            None if count is None else integer(count, INT8, adjustments),
            total,
            least if least is None or least.__class__ is float else number(least),
            most if most is None or most.__class__ is float else number(most),
            as_json(get("buckets")),
            as_json(get("quantiles")),
            attributes,
            resource_json,
            scope_name,
            scope_version,
            as_text(get("temporality")),
            boolean(get("is_monotonic"), None),
            _start(get("start_timestamp")),
            series,
        )

    return row


def _measured(value: Any) -> float:
    """Return the measurement; it is what the record is about, so nothing is put in its place."""
    found = number(value)
    if found is None:
        raise Poison("bad_value", f"value {text(value)!r} is no number: it is the measurement itself")
    return found


def _shown(attributes: Record) -> Sequence[str]:
    """Return what `_SHOWN` shows of a point's attributes."""
    # Hot: once per data point; most points have none or few of them.
    shown = [""] * len(_SHOWN)
    for key, value in attributes.items():
        place = _PLACES.get(key)
        if place is None or value is None:
            continue
        newer = _NEWER.get(key)
        if newer is None or attributes.get(newer) is None:
            shown[place] = value if value.__class__ is str else text(value) or ""
    return shown


def _durations_of_point(
    record: Record, value: float | None, total: float | None, number_to_duration: bool
) -> tuple[float | None, float | None]:
    """
    Return milliseconds and seconds where the point's unit is one of time.

    Args:
        number_to_duration: Whether the real table has no other place for the number: then a number of
            another unit goes into milliseconds as it is, as ServiceRadar's writer did.
    """
    measured = total if value is None else value
    if measured is None:
        return None, None
    factors = _UNITS.get(record["unit"]) if record["unit"].__class__ is str else None
    if factors is not None:
        times_ms, parts_ms, times_s, parts_s = factors
        return measured * times_ms / parts_ms, measured * times_s / parts_s
    return (measured, measured / 1000) if number_to_duration else (None, None)


def _durations(given_ms: Any, given_s: Any) -> tuple[float | None, float | None]:
    """Return milliseconds and seconds as given, either from the other."""
    milliseconds, seconds = number(given_ms), number(given_s)
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
"""The other columns of the table's key."""

SeriesOf = Callable[[Point, bytes, Any, str | None, str | None, int], str]
"""(point, its attributes as sorted JSON, resource attributes, scope name and version, index in the message) → key."""


def series_key(attributes: bytes, resource: bytes, scope: bytes) -> str:
    """
    Return the md5 of the sorted attributes; '' where there are none.

    Args:
        attributes: The point's, as JSON with sorted keys.
        resource: The resource's but for the service's name, which is in a column of the key; the same way.
        scope: Name and version, told apart only where the resource has such attributes.
    """
    if resource != b"{}":
        attributes = b"\0".join((attributes, resource, scope))
    elif attributes == b"{}":
        return ""
    return hashlib.md5(attributes, usedforsecurity=False).hexdigest()


def series_maker(redact: frozenset[str]) -> SeriesOf:
    """
    Return the function that makes series keys; within a message it makes no two points collide.

    Points of one message that differ neither in their key's columns nor in what `series_key`
    covers (one key twice, or two instants in one microsecond) are numbered, in their order.

    Args:
        redact: Keys, lower case, that are never stored, nor told apart by.
    """
    seen: dict[tuple[Point, str], int] = {}
    known: Any = None
    resource_json = b"{}"

    def series_of(
        point: Point, attributes: bytes, resource: Any, scope_name: str | None, scope_version: str | None, index: int
    ) -> str:
        # Hot: once per record. Records of one group share one resource: its JSON is made once.
        nonlocal known, resource_json
        if index == 0:
            seen.clear()
        if resource is not known:
            known, resource_json = resource, _without_service(resource, redact)
        series = series_key(attributes, resource_json, f"{scope_name or ''}\0{scope_version or ''}".encode())
        key = point, series
        before = seen.get(key, 0)
        seen[key] = before + 1
        if before:
            series = hashlib.md5(f"{series}\0{before}".encode(), usedforsecurity=False).hexdigest()
        return series

    return series_of


def _without_service(resource: Any, redact: frozenset[str]) -> bytes:
    if resource.__class__ is not dict:
        return b"{}"
    return dumps_sorted(without({key: value for key, value in resource.items() if key != "service.name"}, redact))
