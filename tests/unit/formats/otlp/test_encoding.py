"""What all OTLP payloads share."""

import contextlib
import inspect
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from eventwriter.errors import Poison
from eventwriter.formats.otlp import encoding, traces
from eventwriter.model import Message


def spans(payload: bytes) -> list[dict[str, object]]:
    return traces.decode(Message("", "otel.traces", payload, None, 1, 1, 1, 1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AnyValue(string_value="x"), "x"),
        (AnyValue(string_value=""), ""),
        (AnyValue(string_value="a\0b"), "a\ufffdb"),
        (AnyValue(bool_value=False), False),
        (AnyValue(int_value=0), 0),
        (AnyValue(int_value=-(2**63)), -(2**63)),
        (AnyValue(double_value=0.5), 0.5),
        (AnyValue(bytes_value=b"\x00\xff"), "AP8="),
        (AnyValue(), None),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(string_value="y")])), [1, "y"]),
        (
            AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=AnyValue(bool_value=True))])),
            {"k": True},
        ),
    ],
    ids=["text", "empty", "nul", "false", "zero", "least", "float", "bytes", "none", "list", "dict"],
)
def test_any_value_becomes_plain(value: AnyValue, expected: object) -> None:
    """Every kind of value is kept, false, zero and empty text included."""
    assert {"key": expected} == encoding.attributes([KeyValue(key="key", value=value)])


def test_nul_in_an_attributes_name_is_replaced() -> None:
    """U+0000 in a key becomes U+FFFD as in any text."""
    assert {"a\ufffd": "x"} == encoding.attributes([KeyValue(key="a\0", value=AnyValue(string_value="x"))])


def test_request_that_looks_like_json_is_protobuf() -> None:
    """A request whose group is 123 bytes long begins with a line feed and a brace, and is protobuf all the same."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="x")
    while request.resource_spans[0].ByteSize() < 123:
        span.name += "x"
    payload = request.SerializeToString()

    assert b"\n{" == payload[:2]
    assert [span.name] == [record["name"] for record in spans(payload)]


def test_json_after_a_line_feed_is_json() -> None:
    """White space before JSON, a line feed included, does not make it protobuf."""
    assert "x" == spans(b'\n {"name": "x"}')[0]["name"]


@pytest.mark.parametrize(
    "payload",
    [b"", b"   ", b"null", b"7", b'"text"', b"{", b"[1]", b"\x12\x02hi", b"hello", b"\xff" * 9,
     b"\n\x02\x08\x07", b'{"resourceSpans":[[]]}', b'{"resourceSpans":[{"scopeSpans":7}]}',
     b"\n\x09\x12\x07\x12\x05\x2a\x03\xff\xfea"],
    ids=["empty", "blank", "null", "scalar", "string", "cut", "list-of-scalars", "unknown-fields-only", "words",
         "bytes", "unknown-in-group", "group-no-object", "scopes-no-list", "text-not-utf8"],
)  # fmt: skip
def test_what_is_neither_is_malformed(payload: bytes) -> None:
    """What is neither JSON of objects nor an export is a dead letter, never zero rows in silence."""
    with pytest.raises(Poison) as caught:
        spans(payload)

    assert "malformed" == caught.value.reason


@pytest.mark.parametrize(
    "payload", [b"\n\x00", b"\n\x02\x12\x00", b"[]", b'{"resourceSpans":[]}', b'{"resourceSpans":null}']
)
def test_export_without_spans_is_no_rows(payload: bytes) -> None:
    """An export that holds nothing is read, and gives no rows."""
    assert [] == spans(payload)


def test_export_of_logs_is_no_export_of_spans() -> None:
    """A log record on the subject of traces parses as a span with fields of the wrong type: it is refused."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, severity_number=9)
    record.body.string_value = "hello"

    with pytest.raises(Poison) as caught:
        spans(request.SerializeToString())

    assert "malformed" == caught.value.reason


def test_deep_json_is_poison() -> None:
    """JSON with more levels than Python descends is a dead letter, not a crash."""
    value = b'{"arrayValue":{"values":[' * 300 + b"]}}" * 300
    payload = b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":' + value + b"}]}}]}"

    with recursion_limit(400), pytest.raises(Poison) as caught:
        spans(payload)

    assert "malformed" == caught.value.reason


@contextlib.contextmanager
def recursion_limit(levels: int) -> Iterator[None]:
    """Leave so many levels from here on."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + levels)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
