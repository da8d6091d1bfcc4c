"""Data points and derived metrics to records."""

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from eventwriter.errors import Poison
from eventwriter.formats.fields import number
from eventwriter.formats.json import dumps
from eventwriter.formats.otlp import metrics as otlp_metrics
from eventwriter.formats.otlp.metrics import FIELDS, POINT_FIELDS
from eventwriter.model import Message, Record

VALUES = ("value", "count", "sum", "min", "max", "buckets", "quantiles")


def points(payload: bytes) -> list[Record]:
    return otlp_metrics.decode(Message("", "otel.metrics", payload, None, 1, 1, 1, 1))


def export(*metrics: Metric) -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    made.resource_metrics.add().scope_metrics.add().metrics.extend(metrics)
    return made


def every_kind() -> list[Metric]:
    gauge, total, histogram, exponential, summary = (Metric(name=name, unit="s") for name in "abcde")
    gauge.gauge.data_points.add(time_unix_nano=10**18, as_double=0.5)
    gauge.gauge.data_points.add(time_unix_nano=10**18, as_int=-3)
    gauge.gauge.data_points.add(time_unix_nano=10**18)
    total.sum.data_points.add(start_time_unix_nano=10**18 - 5, time_unix_nano=10**18, as_int=2**62)
    total.sum.is_monotonic, total.sum.aggregation_temporality = True, 1
    histogram.histogram.aggregation_temporality = 2
    histogram.histogram.data_points.add(
        count=2**63, sum=0.0, min=-1.0, max=1.0, bucket_counts=[1, 2], explicit_bounds=[0.0]
    )
    histogram.histogram.data_points.add(count=1)
    one = exponential.exponential_histogram.data_points.add(
        count=3, sum=1.5, scale=-2, zero_count=1, zero_threshold=0.1
    )
    one.positive.offset, one.negative.offset = 4, -4
    one.positive.bucket_counts.extend([1, 0, 2])
    one = summary.summary.data_points.add(count=7, sum=3.5)
    one.quantile_values.add(quantile=0.5, value=1.0)
    return [gauge, total, histogram, exponential, summary]


def test_every_kind_of_point_is_read_alike_from_both_encodings() -> None:
    """What protobuf's own JSON mapping writes of a request gives the records of the request."""
    request = export(*every_kind())
    as_json = dumps(MessageToDict(request))

    def comparable(record: Record) -> Record:
        found = {key: record.get(key) for key in POINT_FIELDS}
        for key in ("timestamp", "start_timestamp", "count"):
            found[key] = None if found[key] is None else int(found[key])
        return {
            **found,
            "value": number(found["value"]),
            "timestamp": found["timestamp"] or 0,
            "start_timestamp": found["start_timestamp"] or 0,
        }

    expected = [comparable(record) for record in points(request.SerializeToString())]

    assert expected == [comparable(record) for record in points(as_json)]
    assert 8 == len(expected)


def test_numbers_of_every_kind() -> None:
    """Each kind of metric fills the fields that it has, and no others."""
    found = points(export(*every_kind()).SerializeToString())

    assert [
        {"value": 0.5},
        {"value": -3.0},
        {},
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
        {"count": 7, "sum": 3.5, "quantiles": [{"quantile": 0.5, "value": 1.0}]},
    ] == [{key: record[key] for key in VALUES if record.get(key) is not None} for record in found]
    assert ["delta", "cumulative"] == [found[3]["temporality"], found[4]["temporality"]]
    assert [True, None] == [found[3]["is_monotonic"], found[4]["is_monotonic"]]


@pytest.mark.parametrize("flags", [1, 3])
def test_point_without_a_recorded_value_has_none(flags: int) -> None:
    """The flag that says "no value now" leaves a point without numbers, in both encodings."""
    metric = Metric(name="x")
    metric.histogram.data_points.add(count=0, sum=0.0, flags=flags)
    request = export(metric)

    for payload in (request.SerializeToString(), dumps(MessageToDict(request))):
        [record] = points(payload)
        assert [None] * len(VALUES) == [record.get(key) for key in VALUES]


def test_metric_of_a_kind_that_is_not_known_is_malformed() -> None:
    """A metric whose data has an unknown form is a dead letter, though the others could be read."""
    known = Metric(name="x")
    known.gauge.data_points.add(as_int=1)
    unknown = Metric.FromString(b"\x0a\x01y\x22\x02\x0a\x00")  # field 4: the integer gauge of 2020

    with pytest.raises(Poison) as caught:
        points(export(known, unknown).SerializeToString())

    assert "malformed" == caught.value.reason


@pytest.mark.parametrize("payload", [b'{"resourceMetrics":[]}', b"\n\x00", b"[]"])
def test_export_without_points_is_no_rows(payload: bytes) -> None:
    """An export without points gives no rows."""
    assert [] == points(payload)
    assert [] == points(export(Metric(name="x")).SerializeToString())


def test_resource_without_a_service_is_unknown() -> None:
    """Points without a resource, or of one that names no service, have the service "unknown"."""
    metric = Metric(name="x")
    metric.gauge.data_points.add(as_int=1)
    request = export(metric)

    for payload in (request.SerializeToString(), dumps(MessageToDict(request))):
        assert ["unknown"] == [record["service_name"] for record in points(payload)]


def test_derived_metric_has_every_field() -> None:
    """A flat metric comes out with the names of the table's columns, whatever its keys are called."""
    [record] = points(b'{"name":"GET /x","durationMs":5,"spanId":"ABCD"}')

    assert set(FIELDS) == set(record)
    assert ("GET /x", 5, "abcd", "") == tuple(record[k] for k in ("span_name", "duration_ms", "span_id", "trace_id"))


@pytest.mark.parametrize("payload", [b"{}", b'{"foo":1}', b'[{"name":"x"},{"foo":1}]'])
def test_object_without_any_field_of_a_metric_is_of_unknown_shape(payload: bytes) -> None:
    """An object that is no metric is a dead letter, and so is the array that holds it."""
    with pytest.raises(Poison) as caught:
        points(payload)

    assert "unknown_shape" == caught.value.reason
