"""What `eventwriter explain` finds out about a payload."""

import dataclasses
from pathlib import Path

import pytest

from eventwriter.admin.explain import Explainer, as_json, as_text, explain
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Message

DATA = Path(__file__).parents[2] / "data"
NOON_NS = 1_704_110_400_000_000_000


def explainer(kind: str, *tables: str) -> Explainer:
    of_kind = KINDS[kind]
    chosen = [t for t in (*of_kind.tables, *of_kind.also) if t.name in tables] or list(of_kind.tables)
    return Explainer(of_kind, chosen, "1.3.0", frozenset({"community"}), {})


def message(payload: bytes) -> Message:
    return Message("", "telemetry.x", payload, None, 7, 7, 1, NOON_NS)


def test_row_is_shown_column_by_column() -> None:
    """A payload's row comes with each column's name, SQL type and value, NULLs in one line."""
    found = explain(explainer("telemetry"), message(b'{"name":"cpu","value":"12.5","tags":{"a":1}}'))

    lines = as_text(found)

    assert "payload: JSON object, a flat record, 1 record; keys name, value, tags" == lines[0]
    assert "row of timeseries_metrics (record 0):" in lines
    assert ["metric_name", "text", '"cpu"'] == next(line for line in lines if "metric_name" in line).split()
    assert ["tags", "jsonb", '{"a":1}'] == next(line for line in lines if line.lstrip().startswith("tags")).split()
    assert any(line.startswith("  NULL: agent_id, device_id") for line in lines)


def test_default_time_is_pointed_out() -> None:
    """A column that takes the message's own time says so; one that the payload gives does not."""
    without = explain(explainer("telemetry"), message(b'{"value":1}'))
    given = explain(explainer("telemetry"), message(b'{"value":1,"timestamp":"2026-01-01T00:00:00Z"}'))

    assert ("timestamp", "timestamptz", "2024-01-01T12:00:00+00:00", "with the message's JetStream time") == (
        without.rows[0].columns[0]
    )
    assert "" == given.rows[0].columns[0][3]
    assert {"timestamp_defaulted": 1} == without.adjusted
    assert {} == given.adjusted


def test_clamped_integer_is_counted() -> None:
    """An integer that is cut to its column's range is counted."""
    found = explain(explainer("telemetry"), message(b'{"value":1,"if_index":99999999999,"timestamp":1704110400}'))

    assert {"clamped_by_column": {"if_index": 1}} == found.adjusted
    assert "integers cut to their column's range: if_index 1" == as_text(found)[-1]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b"garbage", "malformed"), (b"", "malformed"), (b"{}", "missing_field"), (b'[{"value":1},{}]', "missing_field")],
)
def test_dead_letter_has_its_reason_and_no_rows(payload: bytes, reason: str) -> None:
    """What cannot become rows is shown as its dead letter; a message is never half written."""
    found = explain(explainer("telemetry"), message(payload))

    assert [] == found.rows
    assert reason == as_json(found, message(payload))["dead_letter"]["reason"]
    assert as_text(found)[-1].startswith(f"dead letter: {reason}: ")


def test_empty_array_is_written_without_rows() -> None:
    """An empty array is no dead letter: it counts as written."""
    found = explain(explainer("telemetry"), message(b"[]"))

    assert "written" == as_json(found, message(b"[]"))["outcome"]
    assert "no rows: there are no records in it; it counts as written" == as_text(found)[-1]


def test_every_table_gets_its_row() -> None:
    """With two tables a record is shown as a row of each, ids and arrays in words."""
    payload = b'{"src_addr":"10.0.0.1","dst_addr":"10.0.0.2","src_port":1,"dst_port":2,"protocol":6}'

    found = explain(explainer("netflow", "ocsf_network_activity", "netflow_metrics"), message(payload))

    assert ["ocsf_network_activity", "netflow_metrics"] == [row.table for row in found.rows]
    columns = as_json(found, message(payload))["rows"][0]["columns"]
    assert {"ip": "10.0.0.1", "port": 1} == columns["src_endpoint"]
    assert 36 == len(columns["id"])


def test_secret_is_not_shown() -> None:
    """What is never stored is never shown either."""
    payload = b'{"value":1,"tags":{"community":"s3cret"}}'

    assert "s3cret" not in "\n".join(as_text(explain(explainer("telemetry"), message(payload))))


@pytest.mark.parametrize(
    ("kind", "file", "expected"),
    [
        ("events", "events_ocsf/gateway_health.json", "JSON object, an OCSF object, 1 record"),
        ("events", "events_cloudevents_gelf/cloudevent_gelf.json", "JSON object, a CloudEvent, 1 record"),
        ("events", "logs_raw_inputs/syslog_gelf.json", "JSON object, a GELF message, 1 record"),
        ("events", "logs_raw_inputs/snmp_trap.json", "JSON object, an SNMP trap, 1 record"),
        ("otel_traces", "otel_traces/otlp_two_spans.bin", "protobuf, an OTLP export, 2 records"),
        ("otel_traces", "otel_traces/json_span_snake.json", "JSON object, a flat record, 1 record"),
        ("netflow", "flows_raw_protobuf/netflow_v9_tcp.bin", "protobuf, a FlowMessage, 1 record"),
    ],
)
def test_shape_is_recognised(kind: str, file: str, expected: str) -> None:
    """The encoding and the shape of a payload are said in words."""
    assert expected == explain(explainer(kind), message((DATA / file).read_bytes())).form


def test_otlp_json_is_recognised() -> None:
    """An OTLP export in JSON is not taken for a flat record."""
    payload = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}'

    assert "JSON object, an OTLP export, 1 record" == explain(explainer("logs"), message(payload)).form


def test_ignored_subject_is_ignored() -> None:
    """A subject that the entry ignores is shown as ignored, also if the payload is no record of the kind."""
    one = dataclasses.replace(explainer("telemetry"), ignore_subjects=("telemetry.>",))

    found = explain(one, message(b"garbage"))

    assert (True, [], None) == (found.ignored, found.rows, found.poison)
    assert "ignored" == as_json(found, message(b"garbage"))["outcome"]


def test_flow_without_addresses_is_no_dead_letter_where_it_is_ignored() -> None:
    """A record that a table ignores by its rule has no row and no dead letter."""
    by_primary_key = KINDS["netflow"].also[0]
    variants = [by_primary_key, *by_primary_key.variants.values()]
    payload = b'{"etype":"ARP","src_mac":"00:00:5e:00:53:01","bytes":64}'

    for table in variants:
        found = explain(Explainer(KINDS["netflow"], [table], "1.3.0", frozenset(), {}), message(payload))
        assert found.poison is None
        assert found.rows or {"records_ignored": 1}.items() <= found.adjusted.items()


def test_column_of_json_text_is_shown_as_json() -> None:
    """A JSON column of type text is shown as JSON, and its integers keep their digits."""
    payload = b'{"trace_id":"%s","span_id":"%s","name":"n","attributes":{"n":1111111111111111111160}}'

    found = explain(explainer("otel_traces"), message(payload % (b"1" * 32, b"2" * 16)))

    (row,) = as_json(found, message(payload))["rows"]
    assert {"n": 1111111111111111111160} == row["columns"]["attributes"]
    assert any(line.endswith('{"n":1111111111111111111160}') for line in as_text(found))


def test_keys_are_those_of_the_payload() -> None:
    """The keys shown are the payload's own, not those of the records decoded from it."""
    payload = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}'

    assert ["resourceLogs"] == explain(explainer("logs"), message(payload)).keys
