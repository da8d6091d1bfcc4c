"""Whatever an event holds, it becomes rows of the right types, or poison."""

import json
from typing import Any

from golden_rows import delivery, readable, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from eventwriter.errors import Poison

PYTHON: dict[str, Any] = {"text": str, "int4": int, "timestamptz": int, "uuid": bytes, "jsonb": bytes}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
json_text = st.sampled_from(['{"community":"s3cret"}', "[1", "[]", '{"a":{"Community":"s3cret"}}', "eyJhIjoxfQ=="])
anything = st.recursive(
    scalars | json_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OCSF_KEYS = (
    "id", "time", "class_uid", "categoryUid", "category_uid", "type_uid", "activity_id", "activity_name",
    "severity_id", "severity", "message", "status_id", "status", "metadata", "observables", "traceId", "actor",
    "device", "srcEndpoint", "log_name", "unmapped", "raw_data", "tenant_id", "zzz",
)  # fmt: skip
OTHER_KEYS = (
    "specversion", "id", "source", "type", "subject", "time", "data", "data_base64", "version", "host",
    "short_message", "level", "severity", "timestamp", "varbinds", "body", "_remote_addr", "service_name", "zzz",
)  # fmt: skip
DATA_KEYS = (
    "device_id", "action", "actor", "gateway_id", "pollerId", "previous_state", "current_state", "timestamp",
    "level", "severity", "host", "short_message", "message", "source_ip", "zzz",
)  # fmt: skip
TYPES = st.sampled_from(["a.gateway.health", "a.poller.health", "a.device.lifecycle", "cef_severity"])

ocsf = st.dictionaries(st.sampled_from(OCSF_KEYS), anything, max_size=8)
needed = {"id": "x", "class_uid": 1, "category_uid": 1, "activity_id": 0}
others = st.dictionaries(st.sampled_from(OTHER_KEYS), anything, max_size=8)
data = st.dictionaries(st.sampled_from(DATA_KEYS), anything, max_size=6)
records = st.one_of(
    st.builds(lambda fields: {**needed, **fields}, ocsf),
    others,
    st.builds(
        lambda fields, kind, inner: {"specversion": "1.0", **fields, "type": kind, "data": inner}, others, TYPES, data
    ),
    st.builds(lambda fields: {"version": "1.1", "host": "h", "short_message": "m", **fields}, others),
    st.builds(lambda fields, binds: {**fields, "varbinds": binds}, others, st.lists(anything, max_size=3)),
)


def outcome(payload: bytes, **options: Any) -> Any:
    """Return the rows by table name, or the reason of the poison."""
    try:
        return [(table, row) for table, row in rows_of("events", delivery(payload, "events.x"), options=options)]
    except Poison as poison:
        return poison.reason


@settings(deadline=None, max_examples=300)
@given(made=st.lists(records, max_size=2))
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
