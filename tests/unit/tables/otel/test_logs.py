"""Tests of the rows of `logs`."""

import json
from typing import Any

import pytest
from golden_rows import ORIGIN, STORED_NS, delivery, readable

from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments
from eventwriter.tables.otel.logs import LOGS
from eventwriter.tables.table import Build

NS = 1_705_315_800_123_456_789
ALL = frozenset(column.name for column in LOGS.columns)


def rows(
    *records: dict[str, Any],
    adjustments: Adjustments | None = None,
    columns: frozenset[str] = ALL,
    redact: str = "community",
) -> list[dict[str, Any]]:
    message = delivery(json.dumps(records).encode(), "logs.app")
    make = LOGS.builder(Build(ORIGIN, adjustments or Adjustments(), columns, redact=frozenset({redact})))
    return [readable(LOGS, make(r, message, at) or ()) for at, r in enumerate(KINDS["logs"].decode(message))]


def test_missing_times_are_the_messages() -> None:
    """A record without times gets those of the message; only the missing time of the event is counted."""
    adjustments = Adjustments()

    [row] = rows({"message": "x"}, adjustments=adjustments)

    assert ["2025-01-01T02:53:20.123456Z"] * 2 == [row["timestamp"], row["observed_timestamp"]]
    assert STORED_NS // 1000 % 1_000_000 == 123456
    assert 1 == adjustments.timestamp_defaulted


def test_nanoseconds_are_cut_to_microseconds() -> None:
    """Times in nanoseconds, as in OTLP, are stored to the microsecond."""
    [row] = rows({"message": "x", "timestamp": NS, "observed_time_unix_nano": NS + 1000})

    assert ["2024-01-15T10:50:00.123456Z", "2024-01-15T10:50:00.123457Z"] == [
        row["timestamp"], row["observed_timestamp"],
    ]  # fmt: skip


def test_trace_flags_are_clamped() -> None:
    """Flags beyond the range of the column are clamped and counted; the original remains as an attribute."""
    adjustments = Adjustments()

    made = rows({"flags": 2**40}, {"flags": 0}, {"flags": "x"}, {"flags": True}, adjustments=adjustments)

    assert [2**31 - 1, 0, None, None] == [row["trace_flags"] for row in made]
    assert [{"flags": 2**40}, None, {"flags": "x"}, {"flags": True}] == [row["attributes"] for row in made]
    assert ({"trace_flags": 1}, {"trace_flags": 2}) == (adjustments.clamped_by_column, adjustments.nulled_by_column)


def test_ids_differ_within_a_message() -> None:
    """Records of one message have different ids, the same at each delivery; a UUID of the payload is the id."""
    given = "7b1f3f0e-5d0a-4a53-9a0e-0f4f2a9f6f11"
    records = ({"message": "a"}, {"message": "a"}, {"message": "a", "id": given})

    ids = [row["id"] for row in rows(*records)]

    assert 3 == len(set(ids))
    assert given == ids[2]
    assert ids == [row["id"] for row in rows(*records)]


def test_table_without_ids_gets_no_null_in_its_key() -> None:
    """The oldest tables, whose key contains the identifiers of the trace, get '' if there is no trace."""
    [old], [new] = rows({"message": "x"}, columns=ALL - {"id"}), rows({"message": "x"})

    assert ("", "", None) == (old["trace_id"], old["span_id"], new["trace_id"])


def test_shared_resource_is_written_for_each_record() -> None:
    """Each record has the resource of its own group."""
    groups = [
        {
            "resource": {"attributes": [{"key": "host.name", "value": {"stringValue": name}}]},
            "scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}] * 2}],
        }
        for name in ("a", "b", "a")
    ]

    assert ["a", "a", "b", "b", "a", "a"] == [
        row["resource_attributes"]["host.name"] for row in rows({"resourceLogs": groups})
    ]


@pytest.mark.parametrize("key", ["password", "café"])
def test_redacted_keys_are_left_out(key: str) -> None:
    """Keys of `redact` are removed from attributes and from a body that is JSON."""
    record = {key.upper(): "s3cret", "attributes": {"a": {key: "s3cret"}}, "body": json.dumps({key: "s3cret", "b": 1})}

    [row] = rows(record, redact=key)

    assert '{"b":1}' == row["body"]
    assert "s3cret" not in repr(row)


def test_redacted_keys_are_left_out_of_pairs() -> None:
    """Keys of `redact` are removed from attributes that are pairs in text."""
    pairs = "community=s3cret,a=b"

    [row] = rows({"message": "x", "attributes": pairs, "resource": pairs, "scope_attributes": pairs})

    assert [{"a": "b"}] * 3 == [row["attributes"], row["resource_attributes"], row["scope_attributes"]]


def test_each_message_is_searched_for_secrets() -> None:
    """A message without secrets does not prevent the search of the next one."""
    make = LOGS.builder(Build(ORIGIN, Adjustments(), ALL, redact=frozenset({"community"})))
    rows = []
    for payload in (b'{"message":"x"}', b'{"message":"y","community":"s3cret"}'):
        message = delivery(payload, "logs.app")
        rows += [make(record, message, 0) for record in KINDS["logs"].decode(message)]

    assert "s3cret" not in repr(rows)
