"""Tests of Telegraf's JSON: one record for each numeric field."""

from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.telegraf import telemetry

METRIC: dict[str, Any] = {
    "name": "cpu",
    "tags": {"host": "h"},
    "fields": {"idle": 99.5, "up": True},
    "timestamp": 1458229140,
}


def test_each_numeric_field_is_a_record() -> None:
    """A metric has a record for each number and boolean; fields of other types are the metadata of each."""
    metric = METRIC | {"fields": {**METRIC["fields"], "state": "ok"}}
    common = {"timestamp": 1458229140, "tags": {"host": "h"}, "metadata": {"state": "ok"}}

    assert [
        {"metric_name": "cpu_idle", "value": 99.5, **common},
        {"metric_name": "cpu_up", "value": True, **common},
    ] == telemetry([metric])


@pytest.mark.parametrize(("count", "records"), [(0, 0), (1, 2), (3, 6)])
def test_batch_is_each_of_its_metrics(count: int, records: int) -> None:
    """A batch has the records of all its metrics; an empty batch has none."""
    assert records == len(telemetry([{"metrics": [METRIC] * count}]))


@pytest.mark.parametrize(
    "record",
    [{"metric_name": "a", "value": 1, "fields": {"b": 2}}, {"name": "a", "value": 1, "metrics": 3}, {"metrics": [1]}],
)
def test_other_records_stay_as_they_are(record: dict[str, Any]) -> None:
    """A record with keys that Telegraf does not write is telemetry of another form."""
    assert [record] == telemetry([record])


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (METRIC | {"fields": {"state": "ok"}}, "missing_field"),
        (METRIC | {"name": ""}, "missing_field"),
        ({"metrics": [METRIC | {"more": 1}]}, "malformed"),
        ({"metrics": [METRIC | {"tags": [1]}]}, "malformed"),
    ],
    ids=["no number", "no name", "unknown key", "tags are no object"],
)
def test_unusable_metric_is_poison(metric: dict[str, Any], reason: str) -> None:
    """A metric that would lose something, or that measures nothing, is refused; in an array its index is named."""
    with pytest.raises(Poison) as raised:
        telemetry([METRIC, metric])
    assert reason == raised.value.reason
    assert "element 1" in raised.value.detail
