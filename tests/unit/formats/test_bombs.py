"""Tests of payloads that expand or nest excessively."""

import time
from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eventwriter.errors import Poison
from eventwriter.formats.json import RECORDS_MAX
from eventwriter.kinds.registry import kind
from eventwriter.model import Message
from eventwriter.pipeline.decode import DecodeStage

CPU_S_MAX = 4.0
"""Generous for a loaded machine, and far below `supervisor.hang_max`."""


def message(payload: bytes) -> Message:
    """Return a delivery of a payload."""
    return Message("reply", "subject", payload, None, 1, 1, 1, 1_704_067_200_000_000_000)


def logs(count: int) -> bytes:
    """Return an export of empty log records, two bytes each."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().MergeFromString(b"\x12\x00" * count)
    return request.SerializeToString()


def points(count: int) -> bytes:
    """Return an export of data points that report that they have no value, four bytes each."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.gauge.MergeFromString(b"\x0a\x02\x40\x01" * count)
    return request.SerializeToString()


def spans(count: int) -> bytes:
    """Return an export of spans that have only their identifiers."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().MergeFromString(
        (b"\x12\x1c\x0a\x10" + b"i" * 16 + b"\x12\x08" + b"i" * 8) * count
    )
    return request.SerializeToString()


def json_array(before: bytes, after: bytes, element: bytes = b"{}") -> Callable[[int], bytes]:
    """Return a function that builds JSON with a given number of equal objects."""
    return lambda count: before + b",".join([element] * count) + after


SPAN, POINT = b'{"traceId":"' + b"1" * 32 + b'","spanId":"' + b"1" * 16 + b'"}', b'{"flags":1}'
MANY = [
    ("logs", logs),
    ("otel_metrics", points),
    ("otel_traces", spans),
    ("telemetry", json_array(b"[", b"]")),
    ("logs", json_array(b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[', b"]}]}]}")),
    ("otel_traces", json_array(b'{"resourceSpans":[{"scopeSpans":[{"spans":[', b"]}]}]}", SPAN)),
    (
        "otel_metrics",
        json_array(b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[', b"]}}]}]}]}", POINT),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make"), MANY)
def test_too_many_records_are_rejected_quickly(name: str, make: Callable[[int], bytes]) -> None:
    """A payload of many tiny records is rejected quickly; the largest allowed number is decoded."""
    start_s = time.process_time()
    with pytest.raises(Poison) as caught:
        kind(name).decode(message(make(2 * RECORDS_MAX)))

    assert "too_large" == caught.value.reason
    assert time.process_time() - start_s < CPU_S_MAX
    assert RECORDS_MAX == len(kind(name).decode(message(make(RECORDS_MAX))))


@pytest.mark.parametrize(
    "payload",
    [b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000, b"[" * 8_000_000, b'{"value":' + b"9" * 8_000_000 + b"}"],
    ids=["deep objects", "deep arrays", "digits"],
)
@pytest.mark.parametrize("name", ["telemetry", "logs", "otel_traces", "netflow", "events", "json", "sweep"])
def test_excessive_nesting_or_digits_are_poison(name: str, payload: bytes) -> None:
    """Excessive nesting and numbers of millions of digits are rejected quickly and without a crash."""
    start_s = time.process_time()
    with pytest.raises(Poison):
        kind(name).decode(message(payload))

    assert time.process_time() - start_s < CPU_S_MAX


def test_too_large_payload_is_not_decoded() -> None:
    """A payload above the limit of the stream is rejected without decoding; one at the limit is decoded."""
    decoded: list[Message] = []

    def decode(message: Message) -> list[dict[str, object]]:
        decoded.append(message)
        return [{}]

    stage = DecodeStage(decode, (), 1024)
    large, allowed = message(b"x" * 1025), message(b"x" * 1024)
    (_, rejected), (_, accepted) = stage([large, allowed])

    assert isinstance(rejected, Poison)
    assert "too_large" == rejected.reason
    assert [{}] == accepted
    assert [allowed] == decoded
