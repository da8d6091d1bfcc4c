"""Tests of metrics in JSON forms other than OTLP."""

import json
from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.otlp.metrics import FIELDS, decode
from eventwriter.model import Message, Record


def records_of(*metrics: Any) -> list[Record]:
    return decode(Message("", "otel.metrics", json.dumps(metrics).encode(), None, 1, 1, 1, 1))


def test_flat_metric_has_every_field() -> None:
    """A flat metric has the names of the table's columns, in whichever of their forms its keys are."""
    snake, camel = records_of(
        {"span_name": "GET /x", "duration_ms": 5, "span_id": "ABCD"},
        {"name": "GET /x", "durationMs": 5, "spanId": "0xABCD"},
    )

    assert set(FIELDS) == set(snake)
    assert snake == camel
    assert ("GET /x", 5, "abcd", "") == tuple(snake[key] for key in ("span_name", "duration_ms", "span_id", "trace_id"))


def test_labels_tags_and_further_keys_become_attributes() -> None:
    """What tells flat metrics apart is in their attributes."""
    first, second = records_of(
        {"name": "a", "value": 1, "labels": {"host": "a"}, "tags": '{"zone":"b"}', "shard": 2},
        {"name": "a", "value": 1, "attributes": {"host": "own"}, "labels": {"host": "a"}, "unused": None},
    )

    assert [{"host": "a", "zone": "b", "shard": 2}, {"host": "own"}] == [first["attributes"], second["attributes"]]


@pytest.mark.parametrize(
    "metric",
    [{"name": "x"}, {"metric_type": "gauge"}, {"span_id": "ab"}, {"name": "x", "value": None}, {"name": "x", "foo": 1}],
    ids=str,
)
def test_metric_without_number_is_missing_field(metric: dict[str, Any]) -> None:
    """A metric without any number is poison; a name does not make a metric."""
    with pytest.raises(Poison) as caught:
        records_of({"name": "x", "value": 1}, metric)

    assert "missing_field" == caught.value.reason


@pytest.mark.parametrize("metric", [{}, {"foo": 1}], ids=str)
def test_other_object_is_unknown_shape(metric: dict[str, Any]) -> None:
    """An object with no field of a metric is an unknown shape."""
    with pytest.raises(Poison) as caught:
        records_of(metric)

    assert "unknown_shape" == caught.value.reason


@pytest.mark.parametrize("field", ["value", "count", "sum", "durationSeconds", "buckets", "max"])
def test_any_number_makes_a_metric(field: str) -> None:
    """One number of any kind is enough, and zero is a number."""
    assert 1 == len(records_of({field: 0}))


def test_telegraf_metric_is_one_record_a_number() -> None:
    """Each numeric or boolean field of a Telegraf metric is a record; its other fields are attributes of all."""
    metric = {"name": "cpu", "tags": {"host": "a"}, "timestamp": 5, "fields": {"idle": 1.5, "up": True, "model": "x"}}
    batch = {"metrics": [metric, {**metric, "fields": {"idle": 0}}]}

    assert [
        ("cpu_idle", 1.5, {"host": "a", "model": "x"}), ("cpu_up", True, {"host": "a", "model": "x"}),
        ("cpu_idle", 0, {"host": "a"}),
    ] == [(record["span_name"], record["value"], record["attributes"]) for record in records_of(batch)]  # fmt: skip
    assert records_of(metric) == records_of(batch)[:2]
    assert {5} == {record["timestamp"] for record in records_of(batch)}


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"name": "cpu", "fields": {}}, "missing_field"),
        ({"name": "cpu", "fields": {"model": "x"}}, "missing_field"),
        ({"metrics": [{"fields": {"a": 1}}]}, "missing_field"),
        ({"metrics": [{"name": "cpu", "fields": {"a": 1}, "extra": 1}]}, "malformed"),
        ({"metrics": [{"name": "cpu", "fields": {"a": 1}, "tags": 1}]}, "malformed"),
    ],
    ids=str,
)
def test_incomplete_telegraf_metric_is_poison(metric: dict[str, Any], reason: str) -> None:
    """A metric of Telegraf needs a name and a number, and has no other keys."""
    with pytest.raises(Poison) as caught:
        records_of(metric)

    assert reason == caught.value.reason
