"""Tests of data points in OTLP."""

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from otlp_payloads import as_json_payload

from eventwriter.errors import Poison
from eventwriter.formats.otlp.metrics import POINT_FIELDS, decode
from eventwriter.model import Message, Record

VALUES = ("value", "count", "sum", "min", "max", "buckets", "quantiles")


def records_of(payload: bytes) -> list[Record]:
    return decode(Message("", "otel.metrics", payload, None, 1, 1, 1, 1))


def export(*metrics: Metric) -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    made.resource_metrics.add().scope_metrics.add().metrics.extend(metrics)
    return made


def both(request: ExportMetricsServiceRequest) -> list[Record]:
    """Return the records of an export; those of its twin in JSON must be equal."""
    records = records_of(request.SerializeToString())

    assert repr(records) == repr(records_of(as_json_payload(request)))  # NaN is not equal to itself
    return records


def every_kind() -> list[Metric]:
    gauge, total, histogram, exponential, summary = (Metric(name=name, unit="s") for name in "abcde")
    gauge.gauge.data_points.add(time_unix_nano=10**18, as_double=0.5)
    gauge.gauge.data_points.add(time_unix_nano=10**18, as_int=-3)
    gauge.gauge.data_points.add(time_unix_nano=10**18, as_int=0)
    gauge.gauge.data_points.add(time_unix_nano=10**18, as_double=0.0)
    total.sum.data_points.add(start_time_unix_nano=10**18 - 5, time_unix_nano=10**18, as_int=2**62)
    total.sum.is_monotonic, total.sum.aggregation_temporality = True, 1
    histogram.histogram.aggregation_temporality = 2
    histogram.histogram.data_points.add(
        count=2**63, sum=0.0, min=-1.0, max=1.0, bucket_counts=[1, 2], explicit_bounds=[0.0]
    )
    histogram.histogram.data_points.add(count=1)
    point = exponential.exponential_histogram.data_points.add(
        count=3, sum=1.5, scale=-2, zero_count=1, zero_threshold=0.1
    )
    point.positive.offset, point.negative.offset = 4, -4
    point.positive.bucket_counts.extend([1, 0, 2])
    quantiles = summary.summary.data_points.add(count=7, sum=3.5).quantile_values
    quantiles.add(quantile=0.5, value=1.0)
    quantiles.add(quantile=1.0, value=float("nan"))
    return [gauge, total, histogram, exponential, summary]


def test_every_kind_has_its_numbers() -> None:
    """Each kind of metric fills the fields that it has, and no others, in both encodings."""
    records = both(export(*every_kind()))

    assert [
        {"value": 0.5},
        {"value": -3.0},
        {"value": 0.0},
        {"value": 0.0},
        {"value": 2.0**62},
        {"count": 2**63, "sum": 0.0, "min": -1.0, "max": 1.0, "buckets": {"bounds": [0.0], "counts": [1, 2]}},
        {"count": 1, "buckets": {"bounds": [], "counts": []}},
        {
            "count": 3,
            "sum": 1.5,
            "buckets": {
                "scale": -2,
                "zero_count": 1,
                "zero_threshold": 0.1,
                "positive": {"offset": 4, "counts": [1, 0, 2]},
                "negative": {"offset": -4, "counts": []},
            },
        },
    ] == [{key: record[key] for key in VALUES if record.get(key) is not None} for record in records[:-1]]
    assert (7, 3.5) == (records[-1]["count"], records[-1]["sum"])
    assert ["delta", "cumulative"] == [records[4]["temporality"], records[5]["temporality"]]
    assert [True, None] == [records[4]["is_monotonic"], records[5]["is_monotonic"]]
    assert [set(POINT_FIELDS)] * 9 == [set(record) for record in records]


@pytest.mark.parametrize("flags", [1, 3])
def test_point_without_recorded_value_has_none(flags: int) -> None:
    """A point whose flag reports that there is no value has no numbers."""
    metric = Metric(name="x")
    metric.histogram.data_points.add(count=0, sum=0.0, flags=flags)
    metric.histogram.data_points.add(count=0)

    empty, zero = both(export(metric))

    assert [None] * len(VALUES) == [empty.get(key) for key in VALUES]
    assert 0 == zero["count"]


@pytest.mark.parametrize("kind", ["gauge", "sum"])
def test_point_without_number_is_missing_field(kind: str) -> None:
    """A number data point without a number and without the flag for it is poison."""
    metric = Metric(name="x")
    getattr(metric, kind).data_points.add(time_unix_nano=5)

    for payload in (export(metric).SerializeToString(), as_json_payload(export(metric))):
        with pytest.raises(Poison) as caught:
            records_of(payload)
        assert "missing_field" == caught.value.reason


def test_metric_without_data_is_missing_field() -> None:
    """A metric that has a name and no data is poison."""
    for payload in (export(Metric(name="x")).SerializeToString(), as_json_payload(export(Metric(name="x")))):
        with pytest.raises(Poison) as caught:
            records_of(payload)
        assert "missing_field" == caught.value.reason


@pytest.mark.parametrize("data", ["intGauge", "doubleSum", "intHistogram", "data"])
def test_metric_of_unknown_kind_is_malformed(data: str) -> None:
    """A metric with data of another form is malformed and names it, although other metrics could be decoded."""
    metrics = [{"name": "a", "gauge": {"dataPoints": [{"asInt": "1"}]}}, {"name": "b", data: {"dataPoints": []}}]
    payload = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode()

    with pytest.raises(Poison) as caught:
        records_of(payload)

    assert "malformed" == caught.value.reason
    assert f"metrics[1].{data}" in caught.value.detail


def test_protobuf_metric_of_unknown_kind_is_malformed() -> None:
    """The integer gauge of 2020, field 4, is malformed, although other metrics could be decoded."""
    known = Metric(name="x")
    known.gauge.data_points.add(as_int=1)
    unknown = Metric.FromString(b"\x0a\x01y\x22\x02\x0a\x00")

    with pytest.raises(Poison) as caught:
        records_of(export(known, unknown).SerializeToString())

    assert "malformed" == caught.value.reason


def test_metric_with_several_kinds_is_malformed() -> None:
    """A metric has one kind of data, because the others would be lost."""
    metric = {"name": "a", "gauge": {}, "sum": {}}
    payload = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()

    with pytest.raises(Poison) as caught:
        records_of(payload)

    assert "malformed" == caught.value.reason


def test_resource_without_service_is_unknown() -> None:
    """Points whose resource names no service have the service "unknown"."""
    metric = Metric(name="x")
    metric.gauge.data_points.add(as_int=1)

    assert ["unknown"] == [record["service_name"] for record in both(export(metric))]


def test_attributes_of_scope_are_kept() -> None:
    """Attributes of the scope are added to those of its points, because they tell series apart."""
    metric = Metric(name="x")
    metric.gauge.data_points.add(as_int=1).attributes.add(key="a").value.int_value = 1
    request = export(metric)
    request.resource_metrics[0].scope_metrics[0].scope.attributes.add(key="tier").value.string_value = "t"

    assert [{"a": 1, "otel.scope.tier": "t"}] == [record["attributes"] for record in both(request)]


def test_exemplars_and_descriptions_are_counted() -> None:
    """Fields of metrics that are not stored are counted."""
    metric = Metric(name="x", description="d")
    metric.metadata.add(key="m")
    metric.gauge.data_points.add(as_int=1).exemplars.add(as_int=1)

    for payload in (export(metric).SerializeToString(), as_json_payload(export(metric))):
        assert 3 == records_of(payload).fields_ignored  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ({"asDouble": "NaN"}, "nan"), ({"asDouble": "-Infinity"}, "-inf"), ({"asDouble": "1.5"}, "1.5"),
        ({"asInt": "12"}, "12.0"), ({"asDouble": 3}, "3.0"),
    ],
)  # fmt: skip
def test_json_numbers_may_be_text(point: dict[str, Any], expected: str) -> None:
    """Numbers of OTLP/JSON may be text, as infinities and NaN must be."""
    metric = {"name": "a", "gauge": {"dataPoints": [point]}}
    payload = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()

    assert [expected] == [str(record["value"]) for record in records_of(payload)]


@pytest.mark.parametrize("point", [{"asDouble": "fast"}, {"asInt": 1.5}, {"asInt": True}, {"asDouble": []}], ids=str)
def test_json_value_that_is_not_a_number_is_a_bad_value(point: dict[str, Any]) -> None:
    """A value that is not a number is a bad value."""
    metric = {"name": "a", "gauge": {"dataPoints": [point]}}

    with pytest.raises(Poison) as caught:
        records_of(json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode())

    assert "bad_value" == caught.value.reason
