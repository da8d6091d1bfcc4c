"""Whatever comes in as traces or metrics, rows of the documented types or poison come out, and always the same."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rows_in_tables import rows_in

from eventwriter.errors import Poison
from eventwriter.formats import otlp_metrics, otlp_traces
from eventwriter.formats.fields import names
from eventwriter.kinds import KINDS
from eventwriter.tables.table import Table

REASONS = {"malformed", "missing_field", "bad_value", "unknown_shape"}
PYTHON: dict[str, Any] = {
    "text": str, "float8": (float, int), "int4": int, "int8": int, "bool": bool, "timestamptz": int,
    "jsonb": bytes, "json": bytes,
}  # fmt: skip
TABLES = {kind: KINDS[kind].tables[0] for kind in ("otel_metrics", "otel_traces")}
OTLP_KEYS = (  # noqa: SIM905
    "resourceSpans resourceMetrics resource scope attributes key value stringValue intValue doubleValue boolValue"
    " arrayValue kvlistValue values bytesValue scopeSpans spans traceId spanId parentSpanId kind status code message"
    " events links startTimeUnixNano endTimeUnixNano scopeMetrics metrics gauge sum histogram exponentialHistogram"
    " summary dataPoints timeUnixNano asInt asDouble flags count min max bucketCounts explicitBounds positive"
    " negative offset quantileValues quantile isMonotonic aggregationTemporality name unit"
).split()

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars | st.sampled_from(["1705315800000000000", "NaN", "{}", '{"a":1}', "\ud800", "a\0b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(OTLP_KEYS), inner, max_size=4),
    max_leaves=12,
)


def outcome(kind: str, payload: bytes) -> Any:
    """Return the rows, checked against their columns' types, or the poison's reason."""
    table: Table = TABLES[kind]
    try:
        rows = rows_in(table, kind, payload, f"{kind}.x")
    except Poison as poison:
        return poison.reason
    for row in rows:
        for column, value in zip(table.columns, row, strict=True):
            assert (value is None and not column.not_null) or isinstance(value, PYTHON[column.type]), column.name
            assert not isinstance(value, str) or "\0" not in value
            assert column.type not in ("json", "jsonb") or value is None or b"\\u0000" not in value
    return rows


def always(kind: str, payload: bytes) -> None:
    first = outcome(kind, payload)
    assert isinstance(first, list) or first in REASONS
    assert repr(first) == repr(outcome(kind, payload))


@pytest.mark.parametrize("kind", TABLES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_flat_record_is_rows_or_poison(kind: str, data: st.DataObject) -> None:
    """Any value at any field of a flat object makes a row, or poison."""
    fields = otlp_metrics.FIELDS if kind == "otel_metrics" else otlp_traces.FIELDS
    keys = st.sampled_from([key for field in fields for key in names(field)])
    always(kind, json.dumps(data.draw(st.dictionaries(keys, anything, min_size=1, max_size=10))).encode())


@pytest.mark.parametrize("kind", TABLES)
@settings(deadline=None, max_examples=200)
@given(inner=anything, spans=anything)
def test_any_export_in_json_is_rows_or_poison(kind: str, inner: Any, spans: Any) -> None:
    """Any value at any field of an export in JSON makes rows, or poison."""
    outer, middle, leaf = (
        ("resourceMetrics", "scopeMetrics", "metrics")
        if kind == "otel_metrics"
        else ("resourceSpans", "scopeSpans", "spans")
    )
    always(kind, json.dumps({outer: inner}).encode())
    always(kind, json.dumps({outer: [{"resource": inner, middle: [{"scope": inner, leaf: spans}]}]}).encode())
    one = {
        "attributes": inner,
        "dataPoints": [spans],
        "name": spans,
        "gauge": {"dataPoints": [spans]},
        "events": [spans],
    }
    always(kind, json.dumps({outer: [{middle: [{leaf: [one, spans]}]}]}).encode())


@pytest.mark.parametrize("kind", TABLES)
@settings(deadline=None, max_examples=200)
@given(payload=st.binary(max_size=60))
def test_any_bytes_are_rows_or_poison(kind: str, payload: bytes) -> None:
    """Any bytes at all, also inside of an export's envelope, make rows, or poison."""
    always(kind, payload)
    for _ in range(3):
        payload = b"\n" + bytes([len(payload) % 128]) + payload
        always(kind, payload)
        payload = b"\x12" + payload[1:]


def exports() -> list[tuple[str, bytes]]:
    spans, metrics = ExportTraceServiceRequest(), ExportMetricsServiceRequest()
    group = spans.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "x\0"
    span = group.scope_spans.add().spans.add(
        trace_id=b"\1" * 16, span_id=b"\2" * 8, name="a\0", start_time_unix_nano=2**64 - 1
    )
    span.attributes.add(key="\0").value.array_value.values.add().bytes_value = b"\0"
    span.events.add(name="e\0").attributes.add(key="k").value.double_value = float("nan")
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m\0", unit="s")
    point = metric.exponential_histogram.data_points.add(count=2**64 - 1, sum=float("inf"))
    point.positive.bucket_counts.append(2**64 - 1)
    point.attributes.add(key="http.method").value.string_value = "\0"
    return [("otel_traces", spans.SerializeToString()), ("otel_metrics", metrics.SerializeToString())]


@pytest.mark.parametrize(("kind", "payload"), exports())
@settings(deadline=None, max_examples=200)
@given(at=st.integers(0, 400), byte=st.integers(0, 255), cut=st.integers(0, 400))
def test_damaged_export_is_rows_or_poison(kind: str, payload: bytes, at: int, byte: int, cut: int) -> None:
    """An export with one byte changed, or its end cut off, makes rows, or poison."""
    always(kind, payload)
    damaged = bytearray(payload)
    damaged[at % len(payload)] = byte
    always(kind, bytes(damaged))
    always(kind, payload[: cut % len(payload)])
