"""Tests of spans in JSON forms other than OTLP."""

import json
from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.otlp.traces import FIELDS, decode
from eventwriter.model import Message, Record

IDS = {"trace_id": "ab" * 16, "span_id": "cd" * 8}


def records_of(*spans: dict[str, Any]) -> list[Record]:
    return decode(Message("", "otel.traces", json.dumps(spans).encode(), None, 1, 1, 1, 1))


@pytest.mark.parametrize(
    "span",
    [IDS, {"traceId": "ab", "spanId": "cd"}, {"traceId": "ab", "id": "cd"}, {"context": IDS},
     {"traceId": "ab", "id": "cd", "resource": {}}],
    ids=["flat", "camelCase", "zipkin", "python console", "javascript console"],
)  # fmt: skip
def test_every_form_has_every_field(span: dict[str, Any]) -> None:
    """A record of each form has exactly the keys of FIELDS."""
    assert [set(FIELDS)] == [set(record) for record in records_of(span)]


def test_flat_span_keeps_further_keys_as_attributes() -> None:
    """Keys that are not fields of a span become attributes; attributes of the same name are kept."""
    (record,) = records_of({**IDS, "attributes": {"a": 1, "zone": "x"}, "zone": "y", "tier": 2, "none": None})

    assert {"a": 1, "zone": "x", "tier": 2} == record["attributes"]


def test_flat_span_reads_attributes_in_text() -> None:
    """Attributes that are given as JSON text are merged with further keys."""
    (record,) = records_of({**IDS, "attributes": '{"a":1}', "tier": 2})

    assert {"a": 1, "tier": 2} == record["attributes"]


@pytest.mark.parametrize(
    ("given", "expected"), [("0xAB", "ab"), ("ABCD", "abcd"), ("trace-abc123", "trace-abc123")], ids=str
)
def test_flat_span_has_normalized_identifiers(given: str, expected: str) -> None:
    """Identifiers become lower-case digits without 0x; other identifiers stay as they are."""
    (record,) = records_of({**IDS, "trace_id": given, "parent_span_id": "0x0000000000000000"})

    assert (expected, "") == (record["trace_id"], record["parent_span_id"])


def test_flat_span_takes_service_from_resource() -> None:
    """A flat span without a service name has that of its resource."""
    records = records_of({**IDS, "resourceAttributes": {"service.name": "cart"}}, IDS)

    assert ["cart", "unknown"] == [record["service_name"] for record in records]


@pytest.mark.parametrize(
    "span",
    [
        {**IDS, "span_id": None}, {**IDS, "trace_id": ""}, {**IDS, "span_id": "0000000000000000"},
        {"start_time_unix_nano": 5}, {"context": {"trace_id": "0xab"}}, {"traceId": "0", "id": "cd"},
    ],
    ids=str,
)  # fmt: skip
def test_span_without_identifier_is_missing_field(span: dict[str, Any]) -> None:
    """A span of any form without a trace id or a span id is poison."""
    with pytest.raises(Poison) as caught:
        records_of(span)

    assert "missing_field" == caught.value.reason


@pytest.mark.parametrize("span", [{}, {"foo": 1}, {"name": "x"}, {"name": "x", "kind": 2}], ids=str)
def test_object_that_is_not_a_span_is_unknown_shape(span: dict[str, Any]) -> None:
    """An object without any identifier or start of a span is an unknown shape; a name is not enough."""
    with pytest.raises(Poison) as caught:
        records_of(IDS, span)

    assert "unknown_shape" == caught.value.reason
    assert caught.value.detail.startswith("element 1: ")


def test_zipkin_span_keeps_endpoints_and_tags() -> None:
    """A Zipkin span keeps its tags, the addresses of its endpoints, and further keys as attributes."""
    (record,) = records_of(
        {
            "traceId": "463ac35c9f6413ad", "id": "A2FB4A1D1A96D312", "parentId": "0020000000000001", "name": "get",
            "kind": "CLIENT", "timestamp": 1_472_470_996_199_000, "duration": 207_000, "debug": True,
            "localEndpoint": {"serviceName": "shop", "ipv4": "192.0.2.1", "port": 80},
            "remoteEndpoint": {"serviceName": "db"}, "tags": {"http.path": "/api", "error": "timeout"},
            "annotations": [{"timestamp": 1_472_470_996_238_000, "value": "ws"}],
        }
    )  # fmt: skip

    assert {
        "timestamp": 1_472_470_996_199_000, "trace_id": "0000000000000000463ac35c9f6413ad",
        "span_id": "a2fb4a1d1a96d312", "parent_span_id": "0020000000000001", "name": "get", "kind": 3,
        "start_time_unix_nano": 1_472_470_996_199_000_000, "end_time_unix_nano": 1_472_470_996_406_000_000,
        "service_name": "shop", "service_version": None, "service_instance": None, "scope_name": None,
        "scope_version": None, "status_code": 2, "status_message": "timeout",
        "attributes": {
            "http.path": "/api", "error": "timeout", "debug": True, "remoteEndpoint": {"serviceName": "db"},
            "localEndpoint": {"ipv4": "192.0.2.1", "port": 80},
        },
        "resource_attributes": None,
        "events": [{"time_unix_nano": 1_472_470_996_238_000_000, "name": "ws", "attributes": {}}],
        "links": [],
    } == record  # fmt: skip


@pytest.mark.parametrize("field", ["timestamp", "duration"])
def test_zipkin_time_that_is_not_a_number_is_a_bad_value(field: str) -> None:
    """The times of Zipkin are numbers of microseconds."""
    with pytest.raises(Poison) as caught:
        records_of({"traceId": "ab", "id": "cd", field: "soon"})

    assert "bad_value" == caught.value.reason


def test_javascript_console_span_is_converted() -> None:
    """What the console exporter of opentelemetry-js prints has kinds counted from 0 and times in microseconds."""
    (record,) = records_of(
        {
            "resource": {"attributes": {"service.name": "shop"}}, "instrumentationScope": {"name": "lib"},
            "traceId": "ab" * 16, "id": "cd" * 8, "parentSpanContext": {"spanId": "ef" * 8}, "name": "GET", "kind": 1,
            "timestamp": 1_767_225_600_123_456.8, "duration": 1000, "attributes": {"a": 1}, "status": {"code": 2},
            "events": [{"name": "e", "time": [1_767_225_600, 5]}], "links": [{"context": {"traceId": "0xAB"}}],
            "traceState": "v=1",
        }
    )  # fmt: skip

    assert (2, 2, "shop", "lib", "ef" * 8, {"a": 1, "w3c.tracestate": "v=1"}) == (
        record["kind"], record["status_code"], record["service_name"], record["scope_name"],
        record["parent_span_id"], record["attributes"],
    )  # fmt: skip
    assert 1_000_000 == record["end_time_unix_nano"] - record["start_time_unix_nano"]
    assert [1_767_225_600_000_000_005] == [event["time_unix_nano"] for event in record["events"]]
    assert [{"trace_id": "ab", "span_id": ""}] == record["links"]


@pytest.mark.parametrize("events", [5, [5], {}], ids=str)
def test_events_that_are_not_objects_are_malformed(events: Any) -> None:
    """Events of a console span must be an array of objects, because anything else would be lost."""
    with pytest.raises(Poison) as caught:
        records_of({"context": IDS, "events": events})

    assert "malformed" == caught.value.reason


PARTS = ("attributes", "status", "resource", "tags", "localEndpoint", "instrumentationScope", "parentSpanContext")


@pytest.mark.parametrize("value", ["odd text", True, 77.125, 7, ["odd"]])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "span",
    [
        {"context": {"trace_id": "1" * 32, "span_id": "2" * 16, "trace_state": "a=b"}, "resource": {}},
        {"traceId": "1" * 32, "id": "2" * 16, "resource": {}, "attributes": {}, "traceState": "a=b"},
        {"traceId": "1" * 32, "id": "2" * 16, "duration": 5},
    ],
    ids=["python console", "javascript console", "zipkin"],
)
def test_part_that_is_no_object_is_kept(span: dict[str, Any], part: str, value: Any) -> None:
    """A part of a foreign span that is not an object is among the attributes; the decoder does not fail."""
    payload = json.dumps({**span, part: value}).encode()

    (record,) = decode(Message("", "otel.traces", payload, None, 1, 1, 1, 0))

    assert json.dumps(value) in json.dumps(record)


def test_duration_of_zipkin_span_without_start_is_kept() -> None:
    """A duration from which no end can be computed is an attribute."""
    payload = b'{"traceId":"%s","id":"%s","duration":1234}' % (b"1" * 32, b"2" * 16)

    (record,) = decode(Message("", "otel.traces", payload, None, 1, 1, 1, 0))

    assert 1234 == record["attributes"]["duration"]
