"""Tests of the rows of spans."""

import json
from typing import Any

import pytest
from golden_rows import STORED_NS, delivery

from eventwriter.model import Adjustments, Origin
from eventwriter.tables.otel.traces import OTEL_TRACES
from eventwriter.tables.table import Build
from eventwriter.tables.values import POSTGRES_EPOCH_US

START_NS = 1_705_315_800_123_456_789
SPAN = {"trace_id": "01", "span_id": "02", "parent_span_id": "", "start_time_unix_nano": START_NS}


def row_of(adjustments: Adjustments | None = None, **fields: Any) -> dict[str, Any]:
    names = [column.name for column in OTEL_TRACES.columns]
    build = OTEL_TRACES.builder(
        Build(Origin("events", 1, 0), adjustments or Adjustments(), frozenset(names), redact=frozenset({"community"}))
    )
    row = build({**SPAN, **fields}, delivery(b"community", "otel.traces"), 0)
    assert row is not None
    return dict(zip(names, row, strict=True))


def test_time_is_cut_to_microseconds() -> None:
    """The timestamp is the start to the microsecond; another column has its nanoseconds."""
    row = row_of()

    assert (START_NS // 1000 - POSTGRES_EPOCH_US, START_NS) == (row["timestamp"], row["start_time_unix_nano"])


@pytest.mark.parametrize(
    ("start", "given", "when_us", "stored"),
    [
        (None, "2024-01-15T10:30:00Z", 1_705_314_600_000_000, None),
        (0, None, STORED_NS // 1000, 0),
        (0, 1_705_314_600, 1_705_314_600_000_000, 0),
        (str(START_NS), "2020-01-01", START_NS // 1000, START_NS),
        (-5, None, STORED_NS // 1000, -5),
        (2**64 - 1, None, STORED_NS // 1000, 2**63 - 1),
        ("junk", "junk", STORED_NS // 1000, None),
        (10**17, None, 10**14, 10**17),
        (9_214_646_400_000_000_000, None, STORED_NS // 1000, 9_214_646_400_000_000_000),
    ],
)  # fmt: skip
def test_unusable_start_is_replaced(start: Any, given: Any, when_us: int, stored: int | None) -> None:
    """The time of a span without a usable start is its timestamp, or that of the message; the number is kept."""
    row = row_of(start_time_unix_nano=start, timestamp=given)

    assert (when_us - POSTGRES_EPOCH_US, stored) == (row["timestamp"], row["start_time_unix_nano"])


def test_adjustments_are_counted() -> None:
    """Replaced times and clamped integers are counted; the original integers remain as attributes."""
    adjustments = Adjustments()

    row = row_of(
        adjustments, start_time_unix_nano=2**64 - 1, end_time_unix_nano=2**64 - 1, kind=2**40, status_code=-(2**40)
    )

    assert 1 == adjustments.timestamp_defaulted
    assert dict.fromkeys(("start_time_unix_nano", "end_time_unix_nano", "kind", "status_code"), 1) == (
        adjustments.clamped_by_column
    )
    assert {
        "start_time_unix_nano": 2**64 - 1, "end_time_unix_nano": 2**64 - 1, "kind": 2**40, "status_code": -(2**40),
    } == json.loads(row["attributes"])  # fmt: skip
    assert (2**63 - 1, 2**31 - 1, -(2**31)) == (row["end_time_unix_nano"], row["kind"], row["status_code"])


def test_absent_json_is_null_and_empty_json_is_empty() -> None:
    """Missing attributes of a flat span are NULL, empty ones are empty."""
    absent, empty = row_of(), row_of(attributes={}, resource_attributes={}, events=[], links=[])

    columns = ("attributes", "resource_attributes", "events", "links")
    assert [None] * 4 == [absent[column] for column in columns]
    assert [b"{}", b"{}", b"[]", b"[]"] == [empty[column] for column in columns]


def test_secrets_are_left_out() -> None:
    """Keys of `redact` are in no column of a span."""
    secret = {"Community": "s3cret", "a": 1}
    row = row_of(attributes=secret, resource_attributes=secret, events=[{"attributes": secret}], name=secret)

    assert "s3cret" not in repr(row)
    assert (b'{"a":1}', b'{"a":1}', b'[{"attributes":{"a":1}}]') == (
        row["attributes"], row["resource_attributes"], row["events"]
    )  # fmt: skip


def test_unreadable_integer_is_an_attribute() -> None:
    """A value that an integer column cannot hold is counted and becomes an attribute."""
    adjustments = Adjustments()

    row = row_of(adjustments, kind="odd", status_code=True, attributes={"a": 1})

    assert (None, None) == (row["kind"], row["status_code"])
    assert {"kind": "odd", "status_code": True, "a": 1} == json.loads(row["attributes"])
    assert {"kind": 1, "status_code": 1} == adjustments.nulled_by_column
