"""Every message of every kind deterministically becomes rows with valid values, or a dead letter."""

import pytest
from fuzz.value_checks import row_errors
from golden_rows import ORIGIN, delivery
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_strategies import MESSAGES, definitions

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments
from eventwriter.tables.table import IGNORED, Build, Row, RowBuilder, Table

REASONS = {"malformed", "missing_field", "bad_value", "unknown_shape"}


def builder(table: Table) -> RowBuilder:
    columns = frozenset(column.name for column in table.columns)
    options = {"keep_raw": True}
    return table.builder(Build(ORIGIN, Adjustments(), columns, redact=frozenset({"community"}), options=options))


def outcome(kind: str, payload: bytes, builders: list[RowBuilder]) -> list[tuple[int, Row]] | str:
    """Return the rows, with the number of their definition, or the reason of the poison."""
    message = delivery(payload, "x.y")
    try:
        return [
            (at, row)
            for index, record in enumerate(KINDS[kind].decode(message))
            for at, build in enumerate(builders)
            if (row := build(record, message, index)) is not None
        ]
    except Poison as poison:
        return poison.reason


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_message_is_rows_or_poison(kind: str, data: st.DataObject) -> None:
    """Anything at any field makes rows of the right forms, without secrets, or poison; twice the same."""
    payload = data.draw(MESSAGES[kind])
    tables = [table for _, table in definitions(kind)]

    for chosen in [[table] for table in tables] if len(tables) > 1 and kind != "json" else [tables]:
        found = outcome(kind, payload, [builder(table) for table in chosen])

        assert repr(found) == repr(outcome(kind, payload, [builder(table) for table in chosen]))
        if isinstance(found, str):
            assert found in REASONS
            continue
        assert "s3cret" not in repr(found)
        assert [] == [wrong for at, row in found if row is not IGNORED for wrong in row_errors(chosen[at], row)]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_builder_that_saw_other_messages_makes_the_same_rows(kind: str, data: st.DataObject) -> None:
    """What a builder remembers of earlier messages does not show in later rows."""
    payloads = data.draw(st.lists(MESSAGES[kind], min_size=2, max_size=5))
    tables = [table for _, table in definitions(kind)]
    lasting = [builder(table) for table in tables]

    for payload in payloads:
        for at, table in enumerate(tables if kind != "json" else ()):
            assert repr(outcome(kind, payload, [builder(table)])) == repr(outcome(kind, payload, [lasting[at]]))
        if kind == "json":
            fresh = [builder(table) for _, table in definitions(kind)]
            assert repr(outcome(kind, payload, fresh)) == repr(outcome(kind, payload, lasting))


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=200)
@given(payload=st.binary(max_size=80) | st.text(max_size=60).map(str.encode), wraps=st.integers(0, 3))
def test_any_bytes_are_rows_or_poison(kind: str, payload: bytes, wraps: int) -> None:
    """Any bytes at all, also within a protobuf envelope or two, are rows or poison, never another error."""
    for _ in range(wraps):
        payload = b"\n" + bytes([len(payload) % 128]) + payload
    found = outcome(kind, payload, [builder(table) for _, table in definitions(kind)])

    assert not isinstance(found, str) or found in REASONS


FIELDS = ("value", "src_addr", "ip", "metadata", "body", "id", "community", "attributes", "varbinds", "links", "zzz")
EXPORTS = (
    b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b]}]}]}',
    b'{"resourceSpans":[{"scopeSpans":[{"spans":[%b]}]}]}',
    b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[%b]}}]}]}]}',
)


@pytest.mark.parametrize("depth", [90, 260, 1020, 3000, 100_000])
@pytest.mark.parametrize("kind", KINDS)
def test_deep_message_is_rows_or_poison(kind: str, depth: int) -> None:
    """A payload of more levels than Python descends makes rows or poison, wherever its depth is."""
    builders = [builder(table) for _, table in definitions(kind)]
    for deep in (b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth + b'{"Community":"\\u0000"}' + b"]" * depth):
        for field in FIELDS:
            one = b'{"name":"x","value":1,"ip":"1.2.3.4","src_addr":"1.2.3.4","%b":%b}' % (field.encode(), deep)
            for payload in (one, *(export % one for export in EXPORTS)):
                found = outcome(kind, payload, builders)
                assert not isinstance(found, str) or found in REASONS
