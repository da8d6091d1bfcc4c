"""Logs of any content: rows of the documented types or poison, and always the same."""

import json
from typing import Any

from golden_rows import ORIGIN, delivery
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from log_strategies import FIELDS, anything, words
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments, Message
from eventwriter.tables.otel.log_record import log_reader, search
from eventwriter.tables.table import Build, Row, Table

LOGS = KINDS["logs"]
TABLES = (*LOGS.tables, *LOGS.also)
TYPES = {"text": str, "int4": int, "timestamptz": int, "uuid": bytes, "json": bytes, "jsonb": bytes}
REASONS = {"malformed", "missing_field", "bad_value"}
BUILDERS = [
    (
        t,
        t.builder(Build(ORIGIN, Adjustments(), frozenset(c.name for c in t.columns), redact=frozenset({"community"}))),
    )
    for t in TABLES
]


def rows_of(message: Message) -> list[tuple[Table, Row]]:
    rows = []
    for index, record in enumerate(LOGS.decode(message)):
        for table, make in BUILDERS:
            row = make(record, message, index)
            assert row is not None
            rows.append((table, row))
    return rows


def outcome(payload: bytes) -> list[tuple[Table, Row]] | str:
    """Return the rows of both tables, or the reason of the poison."""
    try:
        return rows_of(delivery(payload, "logs.syslog.processed"))
    except Poison as poison:
        return poison.reason


def check(payload: bytes) -> None:
    """Assert that a payload makes rows that their columns can hold, twice the same, or poison of a known reason."""
    rows = outcome(payload)

    assert rows == outcome(payload)
    if isinstance(rows, str):
        assert rows in REASONS
        return
    for table, row in rows:
        for column, value in zip(table.columns, row, strict=True):
            assert isinstance(value, TYPES[column.type]) or (value is None and not column.not_null), column.name
            if column.type == "int4" and value is not None:
                assert -(2**31) <= value < 2**31
            if column.type == "text" and value is not None:
                assert "\0" not in value
                value.encode()
            if column.type in ("json", "jsonb") and value is not None:
                assert "\0" not in json.dumps(json.loads(value.removeprefix(b"\x01")), ensure_ascii=False)


secret = st.sampled_from(
    [
        {"community": "s3cret"}, {"Community": ["s3cret"]}, [{"a": {"COMMUNITY": "s3cret"}}], '{"community":"s3cret"}',
        '[{"\\u0063ommunity":"s3cret"}]', {"x": '{"y":{"community":"s3cret"}}'},
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(record=st.dictionaries(st.sampled_from(FIELDS), secret | anything, max_size=8))
def test_community_is_never_stored(record: dict[str, Any]) -> None:
    """A community, in whatever field and however deep, is in no column."""
    ocsf = {"class_uid": 1008, "category_uid": 1, "activity_id": 1, "id": "x"}
    for payload in (record, {**record, "community": "s3cret"}, {**record, **ocsf}):
        assert "s3cret" not in repr(outcome(json.dumps(payload).encode()))


@settings(deadline=None, max_examples=100)
@given(
    body=st.text(max_size=8), key=st.text(max_size=4), time_ns=st.integers(0, 2**64 - 1), number=st.integers(-5, 40),
    flags=st.integers(0, 2**32 - 1), trace_id=st.just(b"") | st.binary(min_size=16, max_size=16),
)  # fmt: skip
def test_export_of_any_values_makes_one_row_a_table(
    body: str, key: str, time_ns: int, number: int, flags: int, trace_id: bytes
) -> None:
    """A well-formed record makes its rows, whatever its values: U+0000, times and numbers out of range."""
    export = ExportLogsServiceRequest()
    record = export.resource_logs.add().scope_logs.add().log_records.add(
        time_unix_nano=time_ns, severity_number=number, flags=flags, trace_id=trace_id
    )  # fmt: skip
    record.body.string_value = body
    record.attributes.add(key=key).value.string_value = body
    payload = export.SerializeToString()

    check(payload)
    assert len(TABLES) == len(rows_of(delivery(payload, "logs.otel")))


short = st.none() | st.text(max_size=5)
flat = st.fixed_dictionaries(
    {
        "body": st.text(min_size=1, max_size=5), "service_name": st.text(min_size=1, max_size=5),
        "resource_attributes": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    },
    optional={
        "timestamp": st.integers(1), "observed_time_unix_nano": st.integers(1), "severity_number": st.integers(0, 30),
        "severity_text": short | words, "trace_id": short, "span_id": short, "trace_flags": st.integers(0, 255),
        "event_name": short, "scope_name": short, "scope_version": short, "service_version": short,
        "attributes": st.none() | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        "scope": short, "resource": st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=1),
        "scope_attributes": st.none() | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    },
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(record=flat)
def test_short_way_reads_what_the_long_way_reads(record: dict[str, Any]) -> None:
    """A flat record says the same to the reader that takes it as it is and to the one that searches."""
    assume(not any(v.isspace() for v in record.values() if isinstance(v, str)))

    adjustments = Adjustments()
    assert search(record, "logs.otel", "otel", adjustments) == log_reader(adjustments)(record, "logs.otel")
