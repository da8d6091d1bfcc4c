"""Secrets where a fuzz found them in rows: none is in a row or in a dead letter's words."""

from typing import Any

import pytest
from golden_rows import ORIGIN, delivery
from rows_in_tables import shapes

from eventwriter.errors import Poison
from eventwriter.formats import json
from eventwriter.formats.json import loads_clean
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments
from eventwriter.tables.generic.table import generate_tables
from eventwriter.tables.raw_data import raw_data
from eventwriter.tables.table import Build, RealColumn, Table
from eventwriter.tables.values import has_escaped_secret, redacted_text, without

REDACT = frozenset({"community"})
OCSF = b'"id":"x","class_uid":1008,"category_uid":1'


def words(kind: str, table: Table, payload: bytes) -> str:
    """Return all that is stored or said of a payload in one table."""
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
    """An object where text belongs is stored as its JSON, without secrets; so is text that is JSON."""
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
    """Where payloads are kept, they are kept without secrets, whatever the event's shape."""
    for _, table in shapes("events"):
        assert "s3cret" not in words("events", table, payload)


def test_trap_is_kept_as_it_came() -> None:
    """The payload of a trap without secrets is kept, not what was made of it."""
    payload = b'{"varbinds": [{"oid": "1.3", "value": "x"}], "source": "10.0.0.1"}'

    assert repr(payload.decode()) in words("events", KINDS["events"].tables[0], payload)


@pytest.mark.parametrize("odd", ["NaN", "-Infinity", '"\\ud800"', "9" * 400, "1e999"])
def test_text_that_only_a_lenient_parser_reads_holds_no_secret(odd: str) -> None:
    """JSON within text is searched for secrets also where a strict parser refuses it."""
    text = f'{{"a":{odd},"community":"s3cret"}}'

    assert "s3cret" not in (redacted_text(REDACT)(text) or "")
    assert "s3cret" not in without({"a": text}, REDACT)["a"]


def test_text_that_is_no_json_is_kept() -> None:
    """Text that only looks like JSON with a secret is no JSON, and stays."""
    text = '[INFO] {"community": started'

    assert text == redacted_text(REDACT)(text)


def test_text_too_deep_to_be_searched_is_poison() -> None:
    """Where nobody can tell whether there is a secret in a text, it is not stored."""
    text = '{"a":' * 5000 + '{"community":"s3cret"}' + "}" * 5000

    with pytest.raises(Poison) as caught:
        without({"a": text}, REDACT)

    assert "malformed" == caught.value.reason


def test_deep_text_without_a_secret_is_text() -> None:
    """Text of thousands of brackets is no JSON to anybody, and stays what it is."""
    text = "[" * 5000 + "]" * 5000

    assert {"a": text} == without({"a": text}, frozenset())
    with pytest.raises(ValueError, match="deep"):
        loads_clean(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1}', False),
        ('{"a":"community"}', False),
        ('{"a":{"Community":1}}', True),
        ('{"a":{"community":1},"a":2}', True),
        ('{"a":{"\\u0063ommunity":1},"a":2}', True),
    ],
)
def test_key_that_no_parser_gives_out_is_found(text: str, expected: bool) -> None:
    """A key to be left out is found in the text itself, also where a later one of the same name hides it."""
    assert expected is has_escaped_secret(text, REDACT)


def test_payload_with_a_hidden_secret_is_kept_as_parsed() -> None:
    """A payload whose text holds a secret that its record does not is kept as the record's JSON."""
    message = delivery(b'{"a":{"community":"s3cret"},"a":1}', "events.x")
    [record] = json.decode(message.payload)

    assert '{"a":1}' == raw_data(record, record, message, REDACT)


@pytest.mark.parametrize("column", ["boolean[]", "uuid", "inet", "interval"])
def test_refusal_of_a_value_says_no_secret(column: str) -> None:
    """What a dead letter says of a value that its column cannot take is without secrets."""
    made = generate_tables("things", [RealColumn("c", column, False, False, False)], {}, {})
    build = made.tables[0].builder(Build(ORIGIN, Adjustments(), frozenset(), redact=REDACT))
    record: dict[str, Any] = {"c": {"community": "s3cret"}}

    with pytest.raises(Poison) as caught:
        build(record, delivery(b"", "x"), 0)

    assert "s3cret" not in caught.value.detail


@pytest.mark.parametrize("kind", ["otel_traces", "otel_metrics"])
@pytest.mark.parametrize("field", ["trace_id", "span_id", "parent_span_id", "service_name", "status_message", "unit"])
def test_no_identifier_keeps_a_secret(kind: str, field: str) -> None:
    """An object where an identifier belongs is stored as its JSON, without secrets."""
    payload = b'{"name":"x","value":1,"%b":{"community":"s3cret"}}' % field.encode()

    assert "s3cret" not in words(kind, KINDS[kind].tables[0], payload)
