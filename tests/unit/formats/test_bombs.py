"""Payloads made to cost much: small ones that would become huge, and deep ones. Each ends as poison, or soon."""

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
from eventwriter.pipeline.decode import Decode

CPU_S_MAX = 4.0
"""Generous for a loaded machine, and far below `supervisor.hang_max`."""


def message(payload: bytes) -> Message:
    """Return a delivery of it."""
    return Message("reply", "subject", payload, None, 1, 1, 1, 1_704_067_200_000_000_000)


def logs(count: int) -> bytes:
    """Return an export of empty log records, two bytes each."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().MergeFromString(b"\x12\x00" * count)
    return request.SerializeToString()


def points(count: int) -> bytes:
    """Return an export of empty data points, two bytes each."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.gauge.MergeFromString(b"\x0a\x00" * count)
    return request.SerializeToString()


def spans(count: int) -> bytes:
    """Return an export of nearly empty spans."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().MergeFromString(b"\x12\x03\x0a\x01x" * count)
    return request.SerializeToString()


def listed(before: bytes, after: bytes) -> Callable[[int], bytes]:
    """Return what makes JSON with so many empty objects."""
    return lambda count: before + b",".join([b"{}"] * count) + after


MANY = [
    ("logs", logs),
    ("otel_metrics", points),
    ("otel_traces", spans),
    ("telemetry", listed(b"[", b"]")),
    ("logs", listed(b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[', b"]}]}]}")),
    ("otel_traces", listed(b'{"resourceSpans":[{"scopeSpans":[{"spans":[', b"]}]}]}")),
    ("otel_metrics", listed(b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[', b"]}}]}]}]}")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make"), MANY)
def test_too_many_records_are_poison_before_they_cost(name: str, make: Callable[[int], bytes]) -> None:
    """A payload of a million records of next to nothing is refused in little time; as many as are allowed are read."""
    began_s = time.process_time()
    with pytest.raises(Poison, match="more than 100,000 records") as caught:
        kind(name).decode(message(make(1_000_000)))

    assert "too_large" == caught.value.reason
    assert time.process_time() - began_s < CPU_S_MAX
    assert RECORDS_MAX == len(kind(name).decode(message(make(RECORDS_MAX))))


@pytest.mark.parametrize(
    "payload",
    [b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000, b"[" * 8_000_000, b'{"value":' + b"9" * 8_000_000 + b"}"],
    ids=["deep objects", "deep arrays", "digits"],
)
@pytest.mark.parametrize("name", ["telemetry", "logs", "otel_traces", "netflow", "events", "json", "sweep"])
def test_bomb_of_depth_or_digits_is_poison_at_once(name: str, payload: bytes) -> None:
    """What is deeper than parsers descend, or a number of millions of digits, is poison, not a crash and no wait."""
    began_s = time.process_time()
    with pytest.raises(Poison):
        kind(name).decode(message(payload))

    assert time.process_time() - began_s < CPU_S_MAX


def test_payload_that_is_too_large_is_not_decoded() -> None:
    """A payload beyond the stream's limit is poison unread; one at the limit is decoded."""
    seen: list[Message] = []

    def decode(one: Message) -> list[dict[str, object]]:
        seen.append(one)
        return [{}]

    stage = Decode(decode, (), 1024)
    large, fitting = message(b"x" * 1025), message(b"x" * 1024)
    (_, refused), (_, taken) = stage([large, fitting])

    assert isinstance(refused, Poison)
    wanted = "too_large: the payload has 1,025 bytes, more than max_payload_bytes 1,024 of the stream"
    assert wanted == str(refused)
    assert [{}] == taken
    assert [fitting] == seen
