"""Whatever an event holds, it becomes rows of the right types, or poison."""

import json
from typing import Any

from golden_rows import delivery, readable, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_events import events

from eventwriter.errors import Poison

PYTHON: dict[str, Any] = {"text": str, "int4": int, "timestamptz": int, "uuid": bytes, "jsonb": bytes}


def outcome(payload: bytes, **options: Any) -> Any:
    """Return the rows by table name, or the reason of the poison."""
    try:
        return [(table, row) for table, row in rows_of("events", delivery(payload, "events.x"), options=options)]
    except Poison as poison:
        return poison.reason


@settings(deadline=None, max_examples=300)
@given(made=st.lists(events, max_size=2))
def test_any_event_makes_rows_of_the_right_types_or_poison(made: list[dict[str, Any]]) -> None:
    """Whatever the fields hold: rows of the documented types without secrets, or poison; and always the same."""
    payload = json.dumps(made).encode()
    found = outcome(payload, keep_raw=True)
    if isinstance(found, str):
        assert found in {"malformed", "missing_field", "bad_value", "unknown_shape"}
        return

    assert found == outcome(payload, keep_raw=True)
    assert "s3cret" not in repr(found)
    for table, row in found:
        assert len(table.columns) == len(readable(table, row))  # which reads the JSON
        for column, value in zip(table.columns, row, strict=True):
            assert isinstance(value, PYTHON[column.type]) or (value is None and not column.not_null)
            assert column.type != "int4" or value is None or -(2**31) <= value < 2**31
            assert column.type != "text" or value is None or not {"\0", "\ud800"} & set(value)


@settings(deadline=None, max_examples=200)
@given(payload=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_make_rows_or_poison(payload: bytes) -> None:
    """Any bytes at all are rows or poison, never another error."""
    assert outcome(payload) in ([], "malformed", "unknown_shape", "missing_field")
