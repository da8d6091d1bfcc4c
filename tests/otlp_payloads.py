"""OTLP export requests for tests, and their twins in OTLP/JSON."""

import base64
import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

NS = 1_705_315_800_123_456_789
TRACE_ID, SPAN_ID = bytes(range(1, 17)), bytes(range(1, 9))
_IDENTIFIERS = ("traceId", "spanId", "parentSpanId")


def span(**fields: Any) -> Span:
    """Return a span with the fields that each span must have, and the given ones."""
    return Span(**{"trace_id": TRACE_ID, "span_id": SPAN_ID, "name": "GET /", "start_time_unix_nano": NS, **fields})


def traces(*spans: Span) -> ExportTraceServiceRequest:
    """Return an export of spans in one scope."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans or (span(),))
    return request


def metrics() -> ExportMetricsServiceRequest:
    """Return an export with one data point."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="queue.depth", unit="1")
    metric.gauge.data_points.add(time_unix_nano=NS, as_int=5)
    return request


def logs() -> ExportLogsServiceRequest:
    """Return an export with one log record."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NS, severity_number=9)
    record.body.string_value = "hello"
    return request


def as_json_payload(request: Any) -> bytes:
    """Return a request as OTLP/JSON: identifiers are in hexadecimal digits, unlike in protobuf's own JSON mapping."""
    return json.dumps(_with_hex_identifiers(MessageToDict(request))).encode()


def _with_hex_identifiers(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(inner).hex() if key in _IDENTIFIERS else _with_hex_identifiers(inner)
            for key, inner in value.items()
        }
    return [_with_hex_identifiers(inner) for inner in value] if isinstance(value, list) else value
