"""
Metrics: data points of OTLP protobuf or OTLP/JSON, and metrics derived from spans in flat JSON.

A data point's record has `POINT_FIELDS`; a derived metric's, which lacks `is_point`, has
`FIELDS`. What is absent is None. Values of JSON payloads are as the payload has them: their
types are the table's to settle.

Source: opentelemetry-proto 1.x, metrics.proto and metrics_service.proto.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from eventwriter.errors import Poison
from eventwriter.formats.fields import find, names
from eventwriter.formats.json import RECORDS_MAX, check_count
from eventwriter.formats.otlp import encoding, metrics_json
from eventwriter.formats.otlp.encoding import UNKNOWN_SERVICE, Resource, attributes, cleaned
from eventwriter.formats.otlp.json import json_id
from eventwriter.formats.otlp.metrics_json import NO_RECORDED_VALUE, TEMPORALITIES
from eventwriter.model import Message, Record

FIELDS = (
    "timestamp", "trace_id", "span_id", "service_name", "span_name", "span_kind", "duration_ms", "duration_seconds",
    "metric_type", "http_method", "http_route", "http_status_code", "grpc_service", "grpc_method", "grpc_status_code",
    "is_slow", "component", "level", "unit", "value", "count", "sum", "min", "max", "buckets", "quantiles",
    "attributes", "resource_attributes", "scope_name", "scope_version", "temporality", "is_monotonic",
    "start_timestamp",
)  # fmt: skip
POINT_FIELDS = (
    "is_point", "span_name", "metric_type", "unit", "temporality", "is_monotonic", "service_name", "scope_name",
    "scope_version", "resource_attributes", "timestamp", "start_timestamp", "attributes",
    "value", "count", "sum", "min", "max", "buckets", "quantiles",
)  # fmt: skip
"""The last seven are those that the kind of metric has."""

_ALIASES = tuple((field, names(field, *(("name",) if field == "span_name" else ()))) for field in FIELDS)
_TELLING = (
    "span_name",
    "metric_type",
    "trace_id",
    "span_id",
    "service_name",
    "duration_ms",
    "duration_seconds",
    "value",
)
_MARKS = frozenset(key for field, keys in _ALIASES if field in _TELLING for key in keys)
"""What tells a derived metric: an object with none of them is something else."""
_PATH = ("resource_metrics", "scope_metrics", "metrics")


def decode(message: Message) -> list[Record]:
    """
    Read the metrics of a payload.

    Raises:
        Poison: `malformed`; `unknown_shape` for a JSON object that is no metric.
    """
    return encoding.decode(message.payload, ExportMetricsServiceRequest, _from_protobuf, _from_json)


def _from_json(objects: list[Record]) -> list[Record]:
    records: list[Record] = []
    for one in objects:
        if (groups := metrics_json.groups(one)) is not None:
            records.extend(islice(metrics_json.points(groups), RECORDS_MAX + 1))
            check_count(0, records)
        else:
            records.append(_flat(one))
    return records


def _flat(metric: Record) -> Record:
    """Return a derived metric with the names of `FIELDS`."""
    if _MARKS.isdisjoint(metric):
        known = ", ".join(("name", *_TELLING))
        raise Poison("unknown_shape", f"the object is neither OTLP/JSON nor a metric: it has none of {known}")
    record = {field: find(metric, keys) for field, keys in _ALIASES}
    record["trace_id"], record["span_id"] = json_id(record["trace_id"]), json_id(record["span_id"])
    return record


def _from_protobuf(request: ExportMetricsServiceRequest) -> list[Record]:
    records: list[Record] = []
    for group in request.resource_metrics:
        source = encoding.resource(attributes(group.resource.attributes))
        for part in group.scope_metrics:
            scope = cleaned(part.scope.name) or None, cleaned(part.scope.version) or None
            for metric in part.metrics:
                _add_points(records, source, scope, metric)
    if not records:
        encoding.check_nothing_unknown(request, _PATH)
    return records


def _add_points(records: list[Record], source: Resource, scope: tuple[str | None, str | None], metric: Metric) -> None:
    kind = metric.WhichOneof("data")
    if kind is None:
        encoding.check_nothing_unknown(metric, ())
        return
    data, read = getattr(metric, kind), _READERS[kind]
    shared = {
        "is_point": True,
        "span_name": cleaned(metric.name),
        "metric_type": kind,
        "unit": cleaned(metric.unit),
        "temporality": TEMPORALITIES.get(data.aggregation_temporality) if kind not in _WITHOUT_TEMPORALITY else None,
        "is_monotonic": data.is_monotonic if kind == "sum" else None,
        "service_name": source.service_name or UNKNOWN_SERVICE,
        "scope_name": scope[0],
        "scope_version": scope[1],
        "resource_attributes": source.attributes,
    }
    check_count(len(records), data.data_points)
    for point in data.data_points:
        # Hot: once per record.
        record = shared | {
            "timestamp": point.time_unix_nano,
            "start_timestamp": point.start_time_unix_nano,
            "attributes": attributes(point.attributes),
        }
        if not point.flags & NO_RECORDED_VALUE:
            record.update(read(point))
        records.append(record)


def _number(point: NumberDataPoint) -> dict[str, Any]:
    kind = point.WhichOneof("value")
    return {"value": None if kind is None else point.as_double if kind == "as_double" else float(point.as_int)}


def _statistics(point: HistogramDataPoint | ExponentialHistogramDataPoint) -> dict[str, Any]:
    has = point.HasField
    return {
        "count": point.count,
        "sum": point.sum if has("sum") else None,
        "min": point.min if has("min") else None,
        "max": point.max if has("max") else None,
    }


def _histogram(point: HistogramDataPoint) -> dict[str, Any]:
    found = _statistics(point)
    found["buckets"] = {"bounds": list(point.explicit_bounds), "counts": list(point.bucket_counts)}
    return found


def _exponential_histogram(point: ExponentialHistogramDataPoint) -> dict[str, Any]:
    found, positive, negative = _statistics(point), point.positive, point.negative
    found["buckets"] = {
        "scale": point.scale,
        "zero_count": point.zero_count,
        "zero_threshold": point.zero_threshold,
        "positive": {"offset": positive.offset, "counts": list(positive.bucket_counts)},
        "negative": {"offset": negative.offset, "counts": list(negative.bucket_counts)},
    }
    return found


def _summary(point: SummaryDataPoint) -> dict[str, Any]:
    quantiles = [{"quantile": one.quantile, "value": one.value} for one in point.quantile_values]
    return {"count": point.count, "sum": point.sum, "quantiles": quantiles}


_READERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}
_WITHOUT_TEMPORALITY = ("gauge", "summary")
