"""Spans to records."""

import json

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eventwriter.errors import Poison
from eventwriter.formats.otlp import traces
from eventwriter.formats.otlp.traces import FIELDS
from eventwriter.model import Message, Record


def spans(payload: bytes) -> list[Record]:
    return traces.decode(Message("", "otel.traces", payload, None, 1, 1, 1, 1))


def request(**fields: object) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    made.resource_spans.add().scope_spans.add().spans.add(**fields)
    return made


def test_every_form_has_every_field() -> None:
    """Protobuf, OTLP/JSON and flat JSON come out with the same keys."""
    otlp_json = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}'

    for payload in (request().SerializeToString(), otlp_json, b'{"name":"x"}'):
        assert [set(FIELDS)] == [set(record) for record in spans(payload)]


def test_spans_of_one_group_share_its_resource() -> None:
    """The resource's attributes are one object for all spans of a group, so that their JSON is made once."""
    made = request(name="a")
    made.resource_spans[0].scope_spans.add().spans.add(name="b")

    first, second = spans(made.SerializeToString())

    assert first["resource_attributes"] is second["resource_attributes"]


def test_parent_of_zeros_is_no_parent() -> None:
    """A parent identifier of zeros only, which is invalid, means a root, in both encodings."""
    as_json = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"parentSpanId":"0000000000000000"}]}]}]}'

    for payload in (request(parent_span_id=bytes(8)).SerializeToString(), as_json):
        assert [""] == [record["parent_span_id"] for record in spans(payload)]


def test_links_keep_their_trace_state() -> None:
    """A link's trace state is kept where there is one, in both encodings."""
    made = request()
    made.resource_spans[0].scope_spans[0].spans[0].links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, trace_state="a=1")
    link = {"traceId": "01" * 16, "spanId": "02" * 8, "traceState": "a=1"}
    as_json = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"links": [link]}]}]}]}).encode()

    assert [spans(as_json)[0]["links"]] == [spans(made.SerializeToString())[0]["links"]]
    assert "a=1" == spans(as_json)[0]["links"][0]["trace_state"]


def test_service_of_a_flat_span_may_be_in_its_resource() -> None:
    """A flat span without a service's name takes its resource's."""
    payload = b'[{"name":"x","resourceAttributes":{"service.name":"cart"}},{"name":"y"}]'

    assert ["cart", "unknown"] == [record["service_name"] for record in spans(payload)]


def test_array_may_hold_exports() -> None:
    """An array is each of its objects in turn, exports and flat spans alike."""
    payload = b'[{"name":"x"},{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"y"}]}]}]}]'

    assert ["x", "y"] == [record["name"] for record in spans(payload)]


@pytest.mark.parametrize("payload", [b"{}", b'{"foo":1}', b'[{"name":"x"},{"foo":1}]'])
def test_object_without_any_field_of_a_span_is_of_unknown_shape(payload: bytes) -> None:
    """An object that is no span is a dead letter, and so is the array that holds it."""
    with pytest.raises(Poison) as caught:
        spans(payload)

    assert "unknown_shape" == caught.value.reason
