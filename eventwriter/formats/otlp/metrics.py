"""
Data points in OTLP, flattened to one record each, and metrics in other JSON forms (`otlp.flat_metrics`).

The record of a data point has `POINT_FIELDS`; absent fields are None.

Source: opentelemetry-proto 1.x, metrics.proto and metrics_service.proto.
"""

from collections.abc import Callable, Mapping
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.json import check_count
from eventwriter.formats.otlp.decoder import Decoder
from eventwriter.formats.otlp.encoding import (
    METRICS,
    UNKNOWN_SERVICE,
    Encoding,
    cleaned,
    unknown_field,
    unmapped_of,
)
from eventwriter.formats.otlp.flat_metrics import FIELDS, read_metric
from eventwriter.model import Record, Records

__all__ = ["FIELDS", "POINT_FIELDS", "decode"]

POINT_FIELDS = (
    "is_point", "span_name", "metric_type", "unit", "temporality", "is_monotonic", "service_name", "scope_name",
    "scope_version", "resource_attributes", "timestamp", "start_timestamp", "attributes",
    "value", "count", "sum", "min", "max", "buckets", "quantiles",
)  # fmt: skip
"""Keys of a data point's record; which of the last seven are present depends on the type of the metric."""

_TEMPORALITIES = {1: "delta", 2: "cumulative"}
_NO_RECORDED_VALUE = 1
"""Flag of a data point that only reports that its series has no value at present."""
_WITHOUT_TEMPORALITY = ("gauge", "summary")


def _flatten(request: Any, encoding: Encoding, records: Records) -> None:
    for group in request.resource_metrics:
        source = encoding.resource(group.resource)
        records.fields_ignored += source.fields_ignored + bool(group.schema_url)
        for scoped in encoding.scopes(group, "scope_metrics"):
            if encoding.unknown(scoped):
                raise unknown_field(scoped)
            scope = encoding.scope(scoped.scope)
            template: Record = dict.fromkeys(POINT_FIELDS)
            template |= {
                "is_point": True,
                "service_name": source.service_name or UNKNOWN_SERVICE,
                "scope_name": scope.name,
                "scope_version": scope.version,
                "resource_attributes": source.attributes,
            }
            shared = unmapped_of(scope, scoped.schema_url)
            for metric in scoped.metrics:
                _add_points(records, template, shared, metric, encoding)


def _add_points(records: Records, template: Record, shared: dict[str, Any], metric: Any, encoding: Encoding) -> None:
    """
    Add the data points of a metric.

    Args:
        template: Record of a point with the fields of its resource and its scope; overwritten.
        shared: Attributes that the scope adds to each point.
    """
    attributes, unknown = encoding.attributes, encoding.unknown
    kind = metric.WhichOneof("data")
    if unknown(metric):
        raise unknown_field(metric)
    if kind is None:
        raise Poison("missing_field", f"metric {cleaned(metric.name)!r} has no data")
    data, read = getattr(metric, kind), _READERS[kind]
    if unknown(data):
        raise unknown_field(data)
    points = data.data_points
    template["span_name"], template["metric_type"], template["unit"] = cleaned(metric.name), kind, cleaned(metric.unit)
    has_temporality = kind not in _WITHOUT_TEMPORALITY
    template["temporality"] = _TEMPORALITIES.get(data.aggregation_temporality) if has_temporality else None
    template["is_monotonic"] = data.is_monotonic if kind == "sum" else None
    records.fields_ignored += bool(metric.description) + len(metric.metadata)
    check_count(len(records), points)
    ignored, is_number, has_exemplars = 0, read is _number, kind != "summary"
    for point in points:
        # Hot: once per record. Copying the template is faster than a dict display.
        if unknown(point):
            raise unknown_field(point)
        record = template.copy()
        record["timestamp"] = point.time_unix_nano
        record["start_timestamp"] = point.start_time_unix_nano
        own = attributes(point.attributes)
        record["attributes"] = shared | own if shared else own
        if not point.flags & _NO_RECORDED_VALUE:
            if is_number and (value := point.as_double or point.as_int):
                record["value"] = float(value)  # the usual case, without a call
            else:
                read(point, record)
        if has_exemplars and (exemplars := point.exemplars):
            ignored += len(exemplars)
        records.append(record)
    records.fields_ignored += ignored


def _number(point: Any, record: Record) -> None:
    kind = point.WhichOneof("value")
    if kind is None:
        raise Poison("missing_field", "a data point has no value")
    record["value"] = float(getattr(point, kind))


def _statistics(point: Any, record: Record) -> None:
    has, total, least, greatest = point.HasField, point.sum, point.min, point.max
    record["count"] = point.count
    if total or has("sum"):
        record["sum"] = total
    if least or has("min"):
        record["min"] = least
    if greatest or has("max"):
        record["max"] = greatest


def _histogram(point: Any, record: Record) -> None:
    _statistics(point, record)
    record["buckets"] = {"bounds": list(point.explicit_bounds), "counts": list(point.bucket_counts)}


def _exponential_histogram(point: Any, record: Record) -> None:
    positive, negative = point.positive, point.negative
    _statistics(point, record)
    record["buckets"] = {
        "scale": point.scale,
        "zero_count": point.zero_count,
        "zero_threshold": point.zero_threshold,
        "positive": {"offset": positive.offset, "counts": list(positive.bucket_counts)},
        "negative": {"offset": negative.offset, "counts": list(negative.bucket_counts)},
    }


def _summary(point: Any, record: Record) -> None:
    record["count"], record["sum"] = point.count, point.sum
    record["quantiles"] = [{"quantile": each.quantile, "value": each.value} for each in point.quantile_values]


_READERS: Mapping[str, Callable[[Any, Record], None]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}

decode = Decoder(METRICS, _flatten, read_metric, "timestamp")
"""
Decode the metrics of a message.

Raises:
    Poison: `malformed`; `missing_field` for a metric without data or a number; `bad_value` for a value of OTLP/JSON
        that is not a number; `unknown_shape` for a JSON object that is not a metric.
"""
