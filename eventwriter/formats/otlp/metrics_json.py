"""
Data points of OTLP/JSON; the counterpart of `otlp_metrics` over plain dicts.

Source: OpenTelemetry Protocol specification 1.5, "JSON Protobuf Encoding"; metrics.proto.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from eventwriter.formats.fields import find, names
from eventwriter.formats.otlp import encoding
from eventwriter.formats.otlp.encoding import UNKNOWN_SERVICE
from eventwriter.formats.otlp.json import json_attributes, json_enum, json_list, json_numbers, json_object, json_whole
from eventwriter.model import Record

TEMPORALITIES = {1: "delta", 2: "cumulative"}
NO_RECORDED_VALUE = 1
"""The flag of a point that says only that its series has no value now."""

_TEMPORALITY_NUMBERS = {"UNSPECIFIED": 0, "DELTA": 1, "CUMULATIVE": 2}
_GROUPS, _PARTS, _POINTS = names("resource_metrics"), names("scope_metrics"), names("data_points")
_TEMPORALITY, _MONOTONIC = names("aggregation_temporality"), names("is_monotonic")
_TIME, _START = names("time_unix_nano"), names("start_time_unix_nano")
_DOUBLE, _INT = names("as_double"), names("as_int")
_COUNTS, _BOUNDS, _QUANTILES = names("bucket_counts"), names("explicit_bounds"), names("quantile_values")
_ZERO_COUNT, _ZERO_THRESHOLD = names("zero_count"), names("zero_threshold")


def groups(one: Record) -> Any:
    """Return what an export request's object has under resourceMetrics; None where it is no export request."""
    return next((one[key] or [] for key in _GROUPS if key in one), None)


def points(found: Any) -> Iterator[Record]:
    """
    Return the records of an export request's groups.

    Raises:
        Poison: `malformed`.
    """
    for group in json_list(found, "resourceMetrics"):
        source = encoding.resource(json_attributes(json_object(group.get("resource"), "resource").get("attributes")))
        for part in json_list(find(group, _PARTS), "scopeMetrics"):
            scope = json_object(part.get("scope"), "scope")
            shared = {
                "is_point": True,
                "service_name": source.service_name or UNKNOWN_SERVICE,
                "scope_name": scope.get("name") or None,
                "scope_version": scope.get("version") or None,
                "resource_attributes": source.attributes,
            }
            for metric in json_list(part.get("metrics"), "metrics"):
                yield from _points_of(shared, metric)


def _points_of(shared: Record, metric: Record) -> Iterator[Record]:
    for kind, (keys, read) in _READERS.items():
        if (found := find(metric, keys)) is None:
            continue
        data = json_object(found, kind)
        temporality = json_enum(find(data, _TEMPORALITY), "AGGREGATION_TEMPORALITY_", _TEMPORALITY_NUMBERS)
        of_metric = shared | {
            "span_name": metric.get("name") or "",
            "metric_type": kind,
            "unit": metric.get("unit") or "",
            "temporality": TEMPORALITIES.get(temporality) if temporality.__class__ is int else None,
            "is_monotonic": find(data, _MONOTONIC) or False if kind == "sum" else None,
        }
        for point in json_list(find(data, _POINTS), "dataPoints"):
            record = of_metric | {
                "timestamp": find(point, _TIME),
                "start_timestamp": find(point, _START),
                "attributes": json_attributes(point.get("attributes")),
            }
            flags = json_whole(point.get("flags"))
            if not (flags.__class__ is int and flags & NO_RECORDED_VALUE):
                record.update(read(point))
            yield record


def _number(point: Record) -> Record:
    value = find(point, _DOUBLE)
    return {"value": find(point, _INT) if value is None else value}


def _statistics(point: Record) -> Record:
    return {"count": point.get("count") or 0, "sum": point.get("sum"), "min": point.get("min"), "max": point.get("max")}


def _histogram(point: Record) -> Record:
    bounds, counts = json_numbers(find(point, _BOUNDS), "bounds"), json_numbers(find(point, _COUNTS), "counts")
    return _statistics(point) | {"buckets": {"bounds": bounds, "counts": counts}}


def _exponential_histogram(point: Record) -> Record:
    buckets = {
        "scale": json_whole(point.get("scale") or 0),
        "zero_count": json_whole(find(point, _ZERO_COUNT) or 0),
        "zero_threshold": find(point, _ZERO_THRESHOLD) or 0.0,
    }
    for side in ("positive", "negative"):
        one = json_object(point.get(side), side)
        counts = json_numbers(find(one, _COUNTS), "bucketCounts")
        buckets[side] = {"offset": json_whole(one.get("offset") or 0), "counts": counts}
    return _statistics(point) | {"buckets": buckets}


def _summary(point: Record) -> Record:
    quantiles = [
        {"quantile": one.get("quantile") or 0.0, "value": one.get("value") or 0.0}
        for one in json_list(find(point, _QUANTILES), "quantileValues")
    ]
    return {"count": point.get("count") or 0, "sum": point.get("sum") or 0.0, "quantiles": quantiles}


_READERS: Mapping[str, tuple[tuple[str, ...], Callable[[Record], Record]]] = {
    "gauge": (names("gauge"), _number),
    "sum": (names("sum"), _number),
    "histogram": (names("histogram"), _histogram),
    "exponential_histogram": (names("exponential_histogram"), _exponential_histogram),
    "summary": (names("summary"), _summary),
}
