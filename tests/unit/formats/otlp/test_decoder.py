"""Tests of what all OTLP kinds share: the choice of the encoding, other signals, unknown fields and former versions."""

import contextlib
import inspect
import json
import sys
from collections.abc import Iterator
from typing import Any

import otlp_payloads
import pytest
from otlp_payloads import as_json_payload

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Message, Record

REQUESTS = {
    "otel_traces": otlp_payloads.traces(),
    "otel_metrics": otlp_payloads.metrics(),
    "logs": otlp_payloads.logs(),
}
CONTAINERS = {
    "otel_traces": ("resourceSpans", "scopeSpans", "spans", "instrumentationLibrarySpans"),
    "otel_metrics": ("resourceMetrics", "scopeMetrics", "metrics", "instrumentationLibraryMetrics"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords", "instrumentationLibraryLogs"),
}
KIND = pytest.mark.parametrize("kind", REQUESTS)


def decode(kind: str, payload: bytes) -> list[Record]:
    return KINDS[kind].decode(Message("", "otel.x", payload, None, 1, 1, 1, 1))


def poison(kind: str, payload: bytes) -> Poison:
    """Return the error of a payload that must not be decoded."""
    with pytest.raises(Poison) as caught:
        decode(kind, payload)
    return caught.value


@pytest.mark.parametrize("sent", REQUESTS)
@KIND
@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_only_the_own_signal_is_decoded(kind: str, sent: str, encoding: str) -> None:
    """Each kind decodes exports of its own signal; an export of another signal is malformed and names it."""
    request = REQUESTS[sent]
    payload = request.SerializeToString() if encoding == "protobuf" else as_json_payload(request)

    if sent == kind:
        assert 1 == len(decode(kind, payload))
    else:
        error = poison(kind, payload)
        assert "malformed" == error.reason
        assert f"of {sent.removeprefix('otel_')}" in error.detail


@pytest.mark.parametrize("sent", REQUESTS)
@KIND
def test_empty_group_of_any_signal_has_no_records(kind: str, sent: str) -> None:
    """An export without a record is written as zero rows, whatever its signal: there is nothing to store."""
    request = REQUESTS[sent].__class__()
    request.MergeFromString(b"\x0a\x02\x12\x00")  # one resource with one scope

    assert [] == decode(kind, request.SerializeToString())


def test_metrics_that_parse_as_spans_are_malformed() -> None:
    """Metrics whose names have the lengths of identifiers are not taken for spans."""
    request = otlp_payloads.metrics()
    metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
    metric.name, metric.description = "http.server.size", "Requests"

    assert "malformed" == poison("otel_traces", request.SerializeToString()).reason


def test_metrics_reported_as_spans_are_malformed() -> None:
    """The reported payload, in which the name of a metric became a trace id, is refused."""
    payload = bytes.fromhex("0a24122212200a0872657175657374733a140a12190028e2c700ebec18310500000000000000")

    assert "malformed" == poison("otel_traces", payload).reason


@KIND
@pytest.mark.parametrize("level", [0, 1, 2])
def test_misspelled_container_is_malformed_and_named(kind: str, level: int) -> None:
    """A container whose name is misspelled is malformed; the error names it."""
    outer, middle, inner, _ = CONTAINERS[kind]
    misspelled = [outer, middle, inner]
    misspelled[level] = misspelled[level][:-1]
    outer, middle, inner = misspelled
    payload = json.dumps({outer: [{middle: [{inner: [{}]}]}]}).encode()

    error = poison(kind, payload)

    assert "malformed" == error.reason
    assert misspelled[level] in error.detail


@KIND
def test_records_without_scope_are_malformed(kind: str) -> None:
    """Records directly under the resource are malformed."""
    outer, _, inner, _ = CONTAINERS[kind]

    assert "malformed" == poison(kind, json.dumps({outer: [{inner: [{}]}]}).encode()).reason


@KIND
@pytest.mark.parametrize("depth", range(4))
def test_unknown_field_of_protobuf_is_malformed(kind: str, depth: int) -> None:
    """A field that OTLP does not define is malformed, in the request, the resource, the scope and the record."""
    request = REQUESTS[kind].__class__()
    request.CopyFrom(REQUESTS[kind])
    message: Any = request
    for _ in range(depth):
        message = message.ListFields()[0][1][0]
    message.MergeFromString(b"\xa2\x1f\x01x")  # field 500

    error = poison(kind, request.SerializeToString())

    assert "malformed" == error.reason
    assert "500" in error.detail


@KIND
def test_scopes_before_2022_are_decoded(kind: str) -> None:
    """The former level of instrumentation libraries has the same records, in JSON and in protobuf's field 1000."""
    request = REQUESTS[kind]
    (expected,) = decode(kind, request.SerializeToString())
    expected["scope_name"] = "library"
    outer, middle, _, legacy = CONTAINERS[kind]
    group = json.loads(as_json_payload(request))[outer][0]
    (scope,) = group.pop(middle)
    old = {**group, legacy: [{"instrumentationLibrary": {"name": "library"}, **scope}]}

    assert [expected] == decode(kind, json.dumps({outer: [old]}).encode())

    old_request = request.__class__()
    old_request.CopyFrom(request)
    resource = old_request.ListFields()[0][1][0]
    (field, (scoped,)) = next((f, v) for f, v in resource.ListFields() if f.number == 2)
    scoped.scope.name = "library"
    encoded = scoped.SerializeToString()
    resource.ClearField(field.name)
    resource.MergeFromString(b"\xc2\x3e" + bytes([len(encoded)]) + encoded)

    assert [expected] == decode(kind, old_request.SerializeToString())


@KIND
def test_scopes_of_both_versions_are_decoded(kind: str) -> None:
    """A payload that mixes the former and the present level has the records of both."""
    outer, middle, _, legacy = CONTAINERS[kind]
    group = json.loads(as_json_payload(REQUESTS[kind]))[outer][0]

    assert 2 == len(decode(kind, json.dumps({outer: [{**group, legacy: group[middle]}]}).encode()))


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_field_1000_of_another_type_is_malformed(encoding: str) -> None:
    """The former level must have scopes in it."""
    request = otlp_payloads.traces()
    request.resource_spans[0].MergeFromString(b"\xc0\x3e\x05")
    payload = request.SerializeToString()
    if encoding == "json":
        payload = b'{"resourceSpans":[{"instrumentationLibrarySpans":5}]}'

    assert "malformed" == poison("otel_traces", payload).reason


@KIND
@pytest.mark.parametrize(
    "payload",
    [b"", b"   ", b"null", b"7", b'"text"', b"{", b"[1]", b"\x12\x02hi", b"\xff" * 9, b"\n\x02\x08\x07",
     b"\n\x09\x12\x07\x12\x05\x2a\x03\xff\xfea"],
    ids=["empty", "blank", "null", "scalar", "string", "cut", "list-of-scalars", "unknown-fields-only",
         "bytes", "unknown-in-group", "text-not-utf8"],
)  # fmt: skip
def test_other_payload_is_malformed(kind: str, payload: bytes) -> None:
    """A payload that is neither JSON objects nor an export is malformed, and never zero rows."""
    assert "malformed" == poison(kind, payload).reason


@KIND
@pytest.mark.parametrize("groups", [None, [], [{}], [{"resource": None}]], ids=str)
def test_export_without_records_has_no_rows(kind: str, groups: Any) -> None:
    """An export without a record is decoded to no records."""
    assert [] == decode(kind, json.dumps({CONTAINERS[kind][0]: groups}).encode())
    assert [] == decode(kind, b"[]")


def test_request_that_begins_like_json_is_protobuf() -> None:
    """A request whose group has 123 bytes begins with a line feed and a brace, and is still protobuf."""
    request = otlp_payloads.traces()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    while request.resource_spans[0].ByteSize() < 123:
        span.name += "x"
    payload = request.SerializeToString()

    assert b"\n{" == payload[:2]
    assert [span.name] == [record["name"] for record in decode("otel_traces", payload)]


def test_json_after_white_space_is_json() -> None:
    """White space before JSON, including a line feed, does not make it protobuf."""
    assert ["GET /"] == [
        record["name"] for record in decode("otel_traces", b"\n " + as_json_payload(otlp_payloads.traces()))
    ]


def test_error_in_array_names_the_element() -> None:
    """The error of an element of an array has its index."""
    payload = b"[" + as_json_payload(otlp_payloads.traces()) + b',{"resourceSpans":[{"foo":1}]}]'

    assert poison("otel_traces", payload).detail.startswith("element 1: ")


def test_fields_that_are_not_stored_are_counted() -> None:
    """Flags, schema URLs and entity references are counted as ignored in both encodings."""
    request = otlp_payloads.traces(otlp_payloads.span(flags=1), otlp_payloads.span(flags=1))
    request.resource_spans[0].schema_url = "https://opentelemetry.io/schemas/1.20.0"
    request.resource_spans[0].resource.entity_refs.add(type="service")

    for payload in (request.SerializeToString(), as_json_payload(request)):
        assert 4 == decode("otel_traces", payload).fields_ignored  # type: ignore[attr-defined]


def test_deep_json_is_malformed() -> None:
    """JSON that is nested more deeply than Python can recurse is malformed, and does not end the process."""
    value = b'{"arrayValue":{"values":[' * 300 + b"]}}" * 300
    payload = b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":' + value + b"}]}}]}"

    with recursion_limit(400):
        error = poison("otel_traces", payload)

    assert "malformed" == error.reason


@contextlib.contextmanager
def recursion_limit(levels: int) -> Iterator[None]:
    """Limit recursion to a number of levels from here on."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + levels)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
