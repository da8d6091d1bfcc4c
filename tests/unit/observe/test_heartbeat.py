"""The declared heartbeat record: what the supervisor and Prometheus derive from it."""

from dataclasses import fields

import pytest

from eventwriter.model import Adjustments
from eventwriter.observe import heartbeat
from eventwriter.observe.heartbeat import (
    BOUNDS,
    COUNTERS,
    SPLIT_COUNTERS,
    StageTimes,
    WorkerCounters,
    add_histograms,
    heartbeat_fields,
)


def test_every_declared_counter_is_summed_by_the_supervisor() -> None:
    """Each field of a new heartbeat is a counter, a split counter, or the histograms."""
    packet = heartbeat_fields(WorkerCounters(), Adjustments(), StageTimes(), {})

    assert {*COUNTERS, *SPLIT_COUNTERS, "histograms"} == packet.keys()
    assert {"histograms", *COUNTERS, *SPLIT_COUNTERS} >= {one.name for one in fields(WorkerCounters)}


def test_heartbeat_fields_are_unique() -> None:
    """No gauge has the name of a counter."""
    assert set() == {*COUNTERS, *SPLIT_COUNTERS} & heartbeat.Heartbeat.__annotations__.keys()


def test_running_stage_counts_before_it_ends() -> None:
    """The elapsed time of a running stage is in the sum of its histogram, and that of a wait in its counter."""
    times = StageTimes(queue_wait_us_total=5)
    times.stage_s["copy"].observe(1.0)

    packet = heartbeat_fields(WorkerCounters(), Adjustments(), times, {"copy": 8.0, "commit": 0.5, "queue_wait": 2.0})

    stages = packet["histograms"]["stage_s"]
    assert {"copy": (9.0, 1), "commit": (0.5, 0)} == {name: (s["sum"], sum(s["counts"])) for name, s in stages.items()}
    assert 2_000_005 == packet["queue_wait_us_total"]


def test_histograms_are_added_by_label_value() -> None:
    """Histograms are added for each label value; undeclared names are dropped."""
    one = {"stage_s": {"copy": {"sum": 1.0, "counts": [1]}}, "other": {"x": {"sum": 1.0, "counts": [1]}}}
    two = {"stage_s": {"copy": {"sum": 2.0, "counts": [2]}, "ack": {"sum": 4.0, "counts": [4]}}}

    assert {
        "stage_s": {"copy": {"sum": 3.0, "counts": [3]}, "ack": {"sum": 4.0, "counts": [4]}},
        "latency_s": {},
        "batch_messages": {},
    } == add_histograms(one, two)
    assert BOUNDS.keys() == add_histograms(None, 7).keys()


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_ascend(name: str) -> None:
    """Bounds are sorted and distinct, as the binary search for a bound requires."""
    assert sorted(set(BOUNDS[name])) == list(BOUNDS[name])
