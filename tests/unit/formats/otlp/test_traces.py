"""Tests of spans in OTLP."""

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_payloads import SPAN_ID, TRACE_ID, as_json_payload, span, traces

from eventwriter.errors import Poison
from eventwriter.formats.otlp.traces import FIELDS, decode
from eventwriter.model import Message, Record


def records_of(payload: bytes) -> list[Record]:
    return decode(Message("", "otel.traces", payload, None, 1, 1, 1, 1))


def both(request: ExportTraceServiceRequest) -> list[Record]:
    """Return the records of an export; those of its twin in JSON must be equal."""
    records = records_of(request.SerializeToString())

    assert records == records_of(as_json_payload(request))
    return records


def reason(request: ExportTraceServiceRequest) -> str:
    """Return the reason of an export that must not be decoded; its twin in JSON must have the same."""
    found = []
    for payload in (request.SerializeToString(), as_json_payload(request)):
        with pytest.raises(Poison) as caught:
            records_of(payload)
        found.append(caught.value.reason)

    assert found[0] == found[1]
    return found[0]


def test_record_has_every_field() -> None:
    """A record has exactly the keys of FIELDS."""
    (record,) = both(traces())

    assert list(FIELDS) == list(record)


def test_spans_of_one_group_share_its_resource() -> None:
    """The attributes of a resource are one object, also across messages, so that their JSON is encoded once."""
    request = traces(span(), span(span_id=b"12345678"))
    request.resource_spans[0].resource.attributes.add(key="host.name").value.string_value = "shop-1"

    first, second = records_of(request.SerializeToString())
    (third, _) = records_of(request.SerializeToString())

    assert first["resource_attributes"] is second["resource_attributes"]
    assert first["resource_attributes"] is third["resource_attributes"]


def test_resources_do_not_mix() -> None:
    """Each group has the attributes of its own resource, although resources are cached."""
    request = ExportTraceServiceRequest()
    for name in ("cart", "shop", "cart"):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = name
        group.scope_spans.add(spans=[span()]).scope.name = f"of {name}"

    assert [("cart", "of cart"), ("shop", "of shop"), ("cart", "of cart")] == [
        (record["service_name"], record["scope_name"]) for record in both(request)
    ]


def test_parent_of_zeros_is_absent() -> None:
    """A parent identifier of zeros only, which is invalid, means a root span."""
    assert [""] == [record["parent_span_id"] for record in both(traces(span(parent_span_id=bytes(8))))]


@pytest.mark.parametrize(
    "identifiers",
    [{"trace_id": b""}, {"span_id": b""}, {"trace_id": bytes(16)}, {"span_id": bytes(8)}],
    ids=["no trace", "no span", "zero trace", "zero span"],
)
def test_span_without_identifier_is_missing_field(identifiers: dict[str, bytes]) -> None:
    """A span without a trace id or a span id has no identity and is poison."""
    assert "missing_field" == reason(traces(span(**identifiers)))


@pytest.mark.parametrize(
    "identifiers",
    [{"trace_id": SPAN_ID}, {"span_id": TRACE_ID}, {"trace_id": b"requests"}, {"parent_span_id": b"x"}],
    ids=["short trace", "long span", "name as trace", "short parent"],
)
def test_identifier_of_another_length_is_malformed(identifiers: dict[str, bytes]) -> None:
    """Trace ids have 16 bytes and span ids 8; any other length means that the payload is not spans."""
    assert "malformed" == reason(traces(span(**identifiers)))


def test_links_and_events_keep_all_fields() -> None:
    """Links and events keep their trace state, flags and numbers of dropped attributes."""
    sent = span()
    sent.links.add(
        trace_id=TRACE_ID, span_id=SPAN_ID, trace_state="a=1", flags=1, dropped_attributes_count=2
    ).attributes.add(key="k").value.int_value = 7
    sent.links.add(trace_id=bytes(16))
    sent.events.add(time_unix_nano=5, name="e", dropped_attributes_count=3).attributes.add(key="b").value.bool_value = 1

    (record,) = both(traces(sent))

    assert [
        {
            "trace_id": TRACE_ID.hex(), "span_id": SPAN_ID.hex(), "attributes": {"k": 7}, "trace_state": "a=1",
            "dropped_attributes_count": 2, "flags": 1,
        },
        {"trace_id": "", "span_id": "", "attributes": {}},
    ] == record["links"]  # fmt: skip
    assert [{"time_unix_nano": 5, "name": "e", "attributes": {"b": True}, "dropped_attributes_count": 3}] == record[
        "events"
    ]


def test_link_with_identifier_of_another_length_is_malformed() -> None:
    """The identifiers of links have the same lengths as those of spans."""
    sent = span()
    sent.links.add(trace_id=b"short")

    assert "malformed" == reason(traces(sent))


def test_fields_without_column_become_attributes() -> None:
    """Trace state, numbers of dropped parts, and what the scope has besides its name are kept as attributes."""
    sent = span(trace_state="vendor=1", dropped_attributes_count=1, dropped_events_count=2, dropped_links_count=3)
    sent.attributes.add(key="own").value.string_value = "x"
    request = traces(sent)
    scoped = request.resource_spans[0].scope_spans[0]
    scoped.schema_url = "https://opentelemetry.io/schemas/1.20.0"
    scoped.scope.attributes.add(key="tier").value.int_value = 1
    scoped.scope.dropped_attributes_count = 4

    assert [
        {
            "own": "x", "w3c.tracestate": "vendor=1", "otel.dropped_attributes_count": 1,
            "otel.dropped_events_count": 2, "otel.dropped_links_count": 3, "otel.scope.tier": 1,
            "otel.scope.dropped_attributes_count": 4,
            "otel.scope.schema_url": "https://opentelemetry.io/schemas/1.20.0",
        }
    ] == [record["attributes"] for record in both(request)]  # fmt: skip


def test_dropped_links_without_any_link_become_an_attribute() -> None:
    """The number of dropped links is kept although the span has none."""
    assert [{"otel.dropped_links_count": 3}] == [
        record["attributes"] for record in both(traces(span(dropped_links_count=3)))
    ]


def test_defaults_written_out_are_absent() -> None:
    """Defaults that OTLP/JSON writes out make the same record as absent fields."""
    defaults: dict[str, Any] = {
        "traceId": TRACE_ID.hex(), "spanId": SPAN_ID.hex(), "parentSpanId": "", "traceState": "", "flags": 0,
        "name": "", "kind": 0, "startTimeUnixNano": "5", "endTimeUnixNano": "0", "attributes": [], "events": [],
        "droppedAttributesCount": 0, "droppedEventsCount": 0, "links": [], "droppedLinksCount": 0,
        "status": {"code": 0, "message": ""},
    }  # fmt: skip
    payload = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [defaults]}]}]}).encode()

    assert records_of(traces(span(name="", start_time_unix_nano=5)).SerializeToString()) == records_of(payload)


def test_array_may_hold_exports_and_other_spans() -> None:
    """Each object of an array is decoded by itself, exports and flat spans alike."""
    payload = b'[{"trace_id":"ab","span_id":"cd","name":"x"},' + as_json_payload(traces()) + b"]"

    assert ["x", "GET /"] == [record["name"] for record in records_of(payload)]
