"""Tests of the forms of payloads that kinds accept besides their usual ones, from the payload to the columns."""

import base64
import gzip
import json
from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.kinds.registry import kind
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.pipeline.decode import decode_message
from eventwriter.tables.table import Build

STORED_NS = 1_767_225_600_123_456_000
CLOUDEVENT = {
    "ce-specversion": "1.0", "CE-Type": "com.example.thing", "ce-source": "/a%20b", "ce-id": "1", "ce-more": "kept",
    "Content-Type": "application/json",
}  # fmt: skip


def rows(
    kind_name: str, table_name: str, payload: object, headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a payload, without NULL columns."""
    of_kind = kind(kind_name)
    (table,) = (table for table in (*of_kind.tables, *of_kind.also) if table.name == table_name)
    columns = frozenset(column.name for column in table.columns)
    build = table.builder(Build(Origin("s", 0, 0), Adjustments(), columns, "1.3.0", frozenset({"password"}), {}))
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    message, records = decode_message(of_kind.decode, Message("r", "logs.x", raw, headers, 7, 7, 1, STORED_NS))
    built = [build(record, message, index) for index, record in enumerate(records)]
    names = [column.name for column in table.columns]
    return [{name: v for name, v in zip(names, row, strict=True) if v is not None} for row in built if row]


@pytest.mark.parametrize(
    ("payload", "content_type", "data", "message"),
    [
        (b'{"message":"m"}', "application/json; charset=utf-8", {"data": {"message": "m"}}, "m"),
        (b'{"message":"m"}', "", {"data": {"message": "m"}}, "m"),
        (b'{"message":"m"}', "application/vnd.example+json", {"data": {"message": "m"}}, "m"),
        (gzip.compress(b'{"message":"m"}'), "application/json", {"data": {"message": "m"}}, "m"),
        (b"[1,2]", "application/json", {"data": [1, 2]}, "[1,2]"),
        (b"some text", "text/plain", {"data": "some text"}, "some text"),
        (b"\xff", "text/plain", {"data_base64": base64.b64encode(b"\xff").decode()}, None),
        (b"\xfe\1", "application/octet-stream", {"data_base64": "/gE="}, None),
        (b"", "", {}, None),
        (gzip.compress(b"m"), "text/plain", {"data": "m"}, "m"),
    ],
    ids=[
        "JSON",
        "no type",
        "suffix",
        "gzip",
        "array",
        "text",
        "text that is not UTF-8",
        "binary",
        "no data",
        "gzip, text",
    ],
)
def test_cloudevent_in_binary_mode_is_stored_like_a_structured_one(
    payload: bytes, content_type: str, data: dict[str, Any], message: str | None
) -> None:
    """Headers are the attributes of an event, and the payload is its data; all of it is in `raw_data`."""
    headers = {**CLOUDEVENT, "Content-Type": content_type}
    if payload[:2] == b"\x1f\x8b":
        headers["Content-Encoding"] = "gzip"
    [row] = rows("events", "events", payload, {name: value for name, value in headers.items() if value})

    assert ("1.0", "com.example.thing", "/a b", "1") == tuple(row[k] for k in ("specversion", "type", "source", "id"))
    assert message == row.get("short_message")
    given = {"datacontenttype": content_type} if content_type else {}
    attributes = {"specversion": "1.0", "type": "com.example.thing", "source": "/a b", "id": "1", "more": "kept"}
    assert attributes | given | data == json.loads(row["raw_data"])


def test_secret_in_an_attribute_of_a_cloudevent_is_redacted() -> None:
    """An attribute in a header whose key is listed in `redact` is not stored."""
    [row] = rows("events", "events", b'{"message":"m"}', {**CLOUDEVENT, "ce-password": "s3cret"})

    assert "s3cret" not in row["raw_data"]


def test_data_that_is_not_the_json_that_it_claims_to_be_is_malformed() -> None:
    """An event whose data has another form than its content type is a dead letter."""
    with pytest.raises(Poison) as raised:
        rows("events", "events", b"not JSON", CLOUDEVENT)
    assert "malformed" == raised.value.reason


def test_batch_of_cloudevents_is_each_of_them() -> None:
    """A batch is an array of structured events; an empty one has no rows."""
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    event = {"specversion": "1.0", "source": "s", "type": "t", "data": {"message": "m"}}
    stored = rows("events", "events", [event | {"id": "a"}, event | {"id": "b"}], headers)

    assert ["a", "b"] == [row["id"] for row in stored]
    assert [] == rows("events", "events", [], headers)


@pytest.mark.parametrize(("state", "level", "severity"), [("offline", 2, "critical"), ("degraded", 4, "warning")])
def test_health_of_a_gateway_in_binary_mode(state: str, level: int, severity: str) -> None:
    """An event of a gateway's health has the severity of its state."""
    headers = {**CLOUDEVENT, "CE-Type": "com.carverauto.serviceradar.gateway.health"}
    [row] = rows("events", "events", {"gateway_id": "g", "current_state": state}, headers)

    assert (level, severity) == (row["level"], row["severity"])


@pytest.mark.parametrize("end", [b"", b"\0", b"\n", b"\0\0"])
def test_gelf_with_only_a_full_message(end: bytes) -> None:
    """GELF needs no short message, and a NUL after it is framing that no column may contain."""
    gelf = b'{"version":"1.1","host":"h","full_message":"all of it","level":3}'
    [event], [log] = rows("events", "events", gelf + end), rows("logs", "logs", gelf + end)

    assert ("all of it", "all of it") == (event["short_message"], log["body"])
    assert json.loads(gelf) == json.loads(event["raw_data"])
    assert "\0" not in event["raw_data"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            b"<34>1 2026-01-01T00:00:01Z web su 7 - - failed",
            {"body": "failed", "severity_number": 18, "service_name": "su", "timestamp": 820_540_801_000_000},
        ),
        (b"<14>Oct 11 22:14:15 web su: failed", {"body": "failed", "severity_number": 9, "service_name": "su"}),
        (b"Oct 11 22:14:15 web su: failed", {"body": "failed", "service_name": "su"}),
        (b'[[1767225600.5,{"log":"hi","level":"error"}]]', {"body": "hi", "severity_number": 17}),
    ],
    ids=["RFC 5424", "RFC 3164", "RFC 3164 without a priority", "Fluent Bit"],
)
def test_line_or_array_is_a_log(payload: bytes, expected: dict[str, Any]) -> None:
    """Syslog lines and Fluent Bit's arrays are logs, with severity and service."""
    [row] = rows("logs", "logs", payload)

    assert expected == {name: row[name] for name in expected}


def test_time_of_rfc_3164_is_kept_as_text() -> None:
    """A time without year and zone is not guessed: JetStream's time is stored, and the text is an attribute."""
    [row] = rows("logs", "logs", b"<14>Oct 11 22:14:15 web su: failed")

    assert row["observed_timestamp"] == row["timestamp"]
    assert b'"timestamp":"Oct 11 22:14:15"' in row["attributes"]


@pytest.mark.parametrize("kind_name", ["telemetry", "otel_metrics"])
def test_metrics_of_telegraf(kind_name: str) -> None:
    """Each numeric field of a metric is a row, alone, in a batch, and in an array."""
    metric = {
        "name": "cpu",
        "tags": {"host": "h"},
        "fields": {"idle": 99.5, "n": 3, "state": "ok"},
        "timestamp": 1767225600,
    }
    table, name = ("timeseries_metrics", "metric_name") if kind_name == "telemetry" else ("otel_metrics", "span_name")

    for payload in (metric, {"metrics": [metric]}, [metric]):
        stored = rows(kind_name, table, payload)
        assert [("cpu_idle", 99.5), ("cpu_n", 3.0)] == [(row[name], row["value"]) for row in stored]
    assert [] == rows(kind_name, table, {"metrics": []})


@pytest.mark.parametrize(
    ("kind_name", "table"),
    [
        ("otel_traces", "otel_traces"),
        ("otel_metrics", "otel_metrics"),
        ("logs", "logs"),
        ("netflow", "netflow_metrics"),
    ],
)
def test_text_does_not_get_the_error_of_protobuf(kind_name: str, table: str) -> None:
    """Text that is no form of the kind is called text."""
    with pytest.raises(Poison, match="text") as raised:
        rows(kind_name, table, b"Hello, world\n")
    assert "malformed" == raised.value.reason


@pytest.mark.parametrize("payload", [b'{"a":"\xff"}', b'\xef\xbb\xbf{"a":"\xff"}'])
def test_position_of_bytes_that_are_not_utf8_is_named(payload: bytes) -> None:
    """The dead letter of a payload that is not UTF-8 has the offset of the first such byte."""
    with pytest.raises(Poison, match=f"byte {payload.index(0xFF)}$"):
        rows("telemetry", "timeseries_metrics", payload)


@pytest.mark.parametrize("etype", [2054, "2054", "806", "0806", "0x0806", "ARP"])
def test_protocol_of_a_flow_without_an_ip_protocol(etype: object) -> None:
    """The EtherType names the protocol: by number, by name, or by pmacct's hexadecimal digits."""
    [row] = rows("netflow", "ocsf_network_activity", {"mac_src": "00:00:5e:00:53:01", "etype": etype, "bytes": 64})

    assert "ARP" == row["protocol_name"]
