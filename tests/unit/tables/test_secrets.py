"""Tests that no secret is in a row or in the detail of a dead letter."""

from typing import Any

import pytest
from golden_rows import ORIGIN, delivery
from table_rows import shapes

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments
from eventwriter.tables.generic.table import generate_tables
from eventwriter.tables.table import Build, RealColumn, Table

REDACT = frozenset({"community"})
OCSF = b'"id":"x","class_uid":1008,"category_uid":1'


def words(kind: str, table: Table, payload: bytes) -> str:
    """Return everything that one table stores of a payload, or the dead letter."""
    columns = frozenset(column.name for column in table.columns)
    build = table.builder(Build(ORIGIN, Adjustments(), columns, redact=REDACT, options={"keep_raw": True}))
    message = delivery(payload, "events.x")
    try:
        return repr([build(record, message, at) for at, record in enumerate(KINDS[kind].decode(message))])
    except Poison as poison:
        return repr(poison)


@pytest.mark.parametrize("table", [table for _, table in shapes("telemetry")], ids=lambda table: table.name)
@pytest.mark.parametrize(
    "field", ["metric_name", "device_id", "unit", "partition", "value", "tags", "target_device_ip"]
)
@pytest.mark.parametrize(
    "value", [b'{"a":{"Community":"s3cret"}}', b'"{\\"community\\":\\"s3cret\\"}"', b'[{"community":["s3cret"]}]']
)
def test_no_field_of_a_sample_keeps_a_secret(table: Table, field: str, value: bytes) -> None:
    """An object in a text column, and text that is JSON, are stored without secrets."""
    payload = b'{"value":1,"%b":%b}' % (field.encode(), value)

    assert "s3cret" not in words("telemetry", table, payload)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"community":"s3cret","varbinds":[{"oid":"1.3","value":"x"}]}', id="trap"),
        pytest.param(b'{"community":"s3cret","varbinds":[],"raw_data":"x"}', id="trap with a field raw_data"),
        pytest.param(b'{%b,"activity_id":1,"a":{"community":"s3cret"},"a":1}' % OCSF, id="key that is there twice"),
        pytest.param(b'{%b,"activity_id":{"community":"s3cret"}}' % OCSF, id="in the words of a dead letter"),
        pytest.param(
            b'{"specversion":"1.0","id":"x","data":{"community":"s3cret"},"data":1}', id="CloudEvent with a key twice"
        ),
    ],
)
def test_no_event_keeps_a_secret(payload: bytes) -> None:
    """Kept payloads have no secrets, whatever the shape of the event."""
    for _, table in shapes("events"):
        assert "s3cret" not in words("events", table, payload)


def test_payload_of_a_trap_is_kept() -> None:
    """The payload of a trap without secrets is kept unchanged."""
    payload = b'{"varbinds": [{"oid": "1.3", "value": "x"}], "source": "10.0.0.1"}'

    assert repr(payload.decode()) in words("events", KINDS["events"].tables[0], payload)


@pytest.mark.parametrize("column", ["boolean[]", "uuid", "inet", "interval"])
def test_detail_of_a_dead_letter_has_no_secret(column: str) -> None:
    """The detail of a dead letter shows a value without its secrets."""
    made = generate_tables("things", [RealColumn("c", column, False, False, False)], {}, {})
    build = made.tables[0].builder(Build(ORIGIN, Adjustments(), frozenset(), redact=REDACT))
    record: dict[str, Any] = {"c": {"community": "s3cret"}}

    with pytest.raises(Poison) as caught:
        build(record, delivery(b"community", "x"), 0)

    assert "s3cret" not in caught.value.detail


@pytest.mark.parametrize("kind", ["otel_traces", "otel_metrics"])
@pytest.mark.parametrize("field", ["trace_id", "span_id", "parent_span_id", "service_name", "status_message", "unit"])
def test_no_identifier_keeps_a_secret(kind: str, field: str) -> None:
    """An object in the column of an identifier is stored without secrets."""
    payload = b'{"name":"x","value":1,"%b":{"community":"s3cret"}}' % field.encode()

    assert "s3cret" not in words(kind, KINDS[kind].tables[0], payload)
