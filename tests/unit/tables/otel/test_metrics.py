"""Tests of the rows of data points and derived metrics."""

import json
import math
from typing import Any

import pytest
from golden_rows import delivery

from eventwriter.errors import Poison
from eventwriter.model import Adjustments, Origin, Record
from eventwriter.tables.otel.metrics import COLUMNS, OTEL_METRICS
from eventwriter.tables.table import Build

NAMES = [column.name for column in COLUMNS]
UPSTREAM = frozenset(NAMES[:19])
"""The columns of ServiceRadar's table."""
TIME_NS = 1_705_315_800_000_000_000


def point(**fields: Any) -> Record:
    return {
        "is_point": True, "span_name": "m", "metric_type": "gauge", "unit": "", "service_name": "s",
        "timestamp": TIME_NS, "attributes": {}, "resource_attributes": {}, **fields,
    }  # fmt: skip


def rows_of(*records: Record, columns: frozenset[str] = frozenset(NAMES)) -> list[dict[str, Any]]:
    build = OTEL_METRICS.builder(Build(Origin("events", 1, 0), Adjustments(), columns, redact=frozenset({"community"})))
    made = [build(record, delivery(b"community", "otel.metrics"), index) for index, record in enumerate(records)]
    return [dict(zip(NAMES, row, strict=True)) for row in made if row is not None]


@pytest.mark.parametrize(
    ("unit", "milliseconds", "seconds"),
    [
        ("ns", 1.5e-4, 1.5e-7),
        ("us", 0.15, 1.5e-4),
        ("ms", 150.0, 0.15),
        ("s", 150_000.0, 150.0),
        ("min", 9_000_000.0, 9_000.0),
        ("h", 540_000_000.0, 540_000.0),
        ("By", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_durations_follow_the_unit(unit: str | None, milliseconds: float | None, seconds: float | None) -> None:
    """The number of a point is converted to a duration if its unit is a unit of time."""
    for numbers in ({"value": 150.0}, {"sum": 150.0, "count": 2}):
        [row] = rows_of(point(unit=unit, **numbers))
        assert (milliseconds, seconds) == (row["duration_ms"], row["duration_seconds"])


@pytest.mark.parametrize(
    ("unit", "numbers", "milliseconds", "seconds"),
    [
        ("%", {"value": 19.5}, 19.5, 0.0195),
        ("By", {"sum": 400.0, "count": 4}, 400.0, 0.4),
        ("s", {"value": 2.0}, 2000.0, 2.0),
        ("%", {"count": 4}, None, None),
    ],
)
def test_number_goes_to_the_duration_where_there_is_no_value(
    unit: str, numbers: dict[str, float], milliseconds: float | None, seconds: float | None
) -> None:
    """A table without `value` gets the number in `duration_ms`, so that it is not lost."""
    [row] = rows_of(point(unit=unit, **numbers), columns=UPSTREAM)

    assert (milliseconds, seconds) == (row["duration_ms"], row["duration_seconds"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"duration_ms": 5}, (5.0, 0.005)),
        ({"duration_seconds": "0.25"}, (250.0, 0.25)),
        ({"duration_ms": 1, "duration_seconds": 9}, (1.0, 9.0)),
        ({"duration_ms": "soon"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_durations_of_a_derived_metric_are_as_given(given: dict[str, Any], expected: tuple[float, float]) -> None:
    """A missing duration is computed from the other one; if both are given, both are kept."""
    for columns in (frozenset(NAMES), UPSTREAM):
        [row] = rows_of({"span_name": "x", **given}, columns=columns)
        assert expected == (row["duration_ms"], row["duration_seconds"])


def test_attributes_are_shown_in_their_columns() -> None:
    """Attributes that have a column are stored in it as text, zero included; the preferred name wins."""
    attributes = {
        "http.method": "GET", "http.status_code": 404, "rpc.service": "a", "grpc.service": "b", "grpc.method": "get",
        "rpc.grpc.status_code": 0, "component": "c", "level": "", "span.kind": "server",
    }  # fmt: skip
    [row] = rows_of(point(attributes=attributes))

    assert ("GET", "", "404", "a", "get", "0", "c", "", "server") == tuple(
        row[column]
        for column in (
            "http_method", "http_route", "http_status_code", "grpc_service", "grpc_method", "grpc_status_code",
            "component", "level", "span_kind",
        )
    )  # fmt: skip


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in OTEL_METRICS.key)


def test_no_two_points_of_a_message_collide() -> None:
    """Points have different keys, whether they differ in any field or in none."""
    other = {"resource_attributes": {"service.name": "s", "host.name": "b"}}
    rows = rows_of(
        point(attributes={"a": 1}), point(attributes={"a": 2}), point(attributes={"a": "1"}),
        point(attributes={"b": 1}),
        point(), point(), point(), point(metric_type="sum"), point(scope_name="x"),
        point(**other), point(**other), point(**other, scope_name="x"), point(**other, attributes={"a": 1}),
        point(timestamp=TIME_NS + 1), point(timestamp=TIME_NS + 1000), point(timestamp=None), point(timestamp=0),
        {"span_name": "m", "service_name": "s", "metric_type": "gauge", "timestamp": TIME_NS},
    )  # fmt: skip

    assert 18 == len({key(row) for row in rows})


def test_key_columns_are_never_null() -> None:
    """Absent text in a column of the key is ''."""
    [row] = rows_of({"is_point": True, "unit": None, "attributes": {}})

    assert ("", "", "", "", "") == key(row)[1:]


def test_series_is_the_same_in_every_message() -> None:
    """A series key depends on neither the position of the point, the order of its attributes nor earlier messages."""
    one, swapped = point(attributes={"a": 1, "b": {"x": 1, "y": 2}}), point(attributes={"b": {"y": 2, "x": 1}, "a": 1})

    first, again = rows_of(one)[0], rows_of(point(), swapped)[1]

    assert first["series_key"] == again["series_key"]
    assert 32 == len(first["series_key"])
    assert "" == rows_of(point())[0]["series_key"]


def test_numbering_restarts_with_each_message() -> None:
    """The same message becomes the same rows again."""
    build = OTEL_METRICS.builder(Build(Origin("events", 1, 0), Adjustments(), frozenset(NAMES)))
    message, records = delivery(b"", "otel.metrics"), [point(), point(), point(attributes={"a": 1})]

    first, second = ([build(record, message, index) for index, record in enumerate(records)] for _ in range(2))

    assert first == second


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "NaN", "-Infinity"])
def test_not_a_number_is_kept_as_a_number(value: Any) -> None:
    """NaN and the infinities are stored in a float column."""
    [row] = rows_of(point(value=value))

    assert repr(float(value)) == repr(row["value"])


@pytest.mark.parametrize("value", ["12.5abc", {"a": 1}, [], "1e400"])
def test_value_that_is_no_number_is_poison(value: Any) -> None:
    """A value that is not a number makes a dead letter, because nothing can replace a measurement."""
    with pytest.raises(Poison) as caught:
        rows_of(point(value=value))

    assert "bad_value" == caught.value.reason


def test_count_beyond_int8_is_clamped() -> None:
    """A count beyond the range of the column, which OTLP allows, is clamped and counted."""
    adjustments = Adjustments()
    build = OTEL_METRICS.builder(Build(Origin("events", 1, 0), adjustments, frozenset(NAMES)))
    row = build(point(count=2**64 - 1), delivery(b"", "s"), 0)

    assert row is not None
    assert (2**63 - 1, {"count": 1}) == (row[NAMES.index("count")], adjustments.clamped_by_column)


def test_secrets_are_left_out() -> None:
    """Keys of `redact` are in no column and do not distinguish series."""
    rows = rows_of(
        point(attributes={"community": "s3cret"}, resource_attributes={"community": "s3cret"}), point(timestamp=1)
    )

    assert "s3cret" not in repr(rows)
    assert "" == rows[0]["series_key"]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"http.request.method": "GET", "http.response.status_code": 200}, ("GET", "200", "", "")),
        ({"http.method": "PUT", "http.request.method": "GET"}, ("GET", "", "", "")),
        ({"rpc.method": "m", "rpc.response.status_code": "OK", "rpc.grpc.status_code": 0}, ("", "", "m", "OK")),
    ],
)
def test_stable_semantic_conventions_have_columns(attributes: Record, expected: tuple[str, ...]) -> None:
    """The stable names of HTTP and RPC attributes fill the columns, and are preferred to the former names."""
    for record in (point(attributes=attributes), {"span_name": "x", "attributes": attributes}):
        [row] = rows_of(record)
        columns = ("http_method", "http_status_code", "grpc_method", "grpc_status_code")
        assert expected == tuple(row[column] for column in columns)


def test_unreadable_value_of_a_flat_metric_is_an_attribute() -> None:
    """A value that a column cannot hold is counted and becomes an attribute, which identifies the series too."""
    adjustments = Adjustments()
    build = OTEL_METRICS.builder(Build(Origin("events", 1, 0), adjustments, frozenset(NAMES)))
    record = {"span_name": "m", "value": 1, "is_slow": "odd", "duration_ms": "soon", "count": 1.5, "timestamp": "x"}

    row = dict(zip(NAMES, build(record, delivery(b"", "s"), 0) or (), strict=True))

    assert {"is_slow": "odd", "duration_ms": "soon", "count": 1.5, "timestamp": "x"} == json.loads(
        row["attributes"][1:]
    )
    assert {"is_slow": 1, "duration_ms": 1, "count": 1, "timestamp": 1} == adjustments.nulled_by_column
    assert "" != row["series_key"]


def test_attributes_that_are_no_object_are_kept() -> None:
    """Attributes that are not an object become an attribute themselves."""
    [row] = rows_of({"span_name": "m", "value": 1, "attributes": "odd"})

    assert b'\x01{"attributes":"odd"}' == row["attributes"]
