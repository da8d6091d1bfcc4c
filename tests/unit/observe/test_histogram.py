"""Histograms: counting, sending, adding up."""

import json
from typing import Any

import pytest

from eventwriter.observe.heartbeat import BOUNDS, add_histograms
from eventwriter.observe.histogram import Histogram, added


def test_bound_counts_what_is_equal_to_it() -> None:
    """A value belongs to the first bound that is not below it; what lies above all has a count of its own."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)

    assert {"sum": 14.0, "counts": [2, 2, 1]} == histogram.plain()


def test_value_may_count_often() -> None:
    """A value that stands for many adds that many."""
    histogram = Histogram((1.0,))
    histogram.observe(0.5, 10)

    assert {"sum": 5.0, "counts": [10, 0]} == histogram.plain()


def test_plain_form_is_json_and_adds_up() -> None:
    """Two workers' histograms are one sum, bound by bound."""
    one = Histogram((1.0, 2.0))
    one.observe(0.5)
    two = Histogram((1.0, 2.0))
    two.observe(3.0)

    assert {"sum": 3.5, "counts": [1, 0, 1]} == added(*json.loads(json.dumps([one.plain(), two.plain()])))


@pytest.mark.parametrize("garbage", [None, 7, [], {}, {"sum": "much", "counts": "many"}, {"counts": [1, "x"]}])
def test_what_is_no_histogram_counts_as_nothing(garbage: Any) -> None:
    """A heartbeat's garbage cannot break the sums."""
    good = {"sum": 1.5, "counts": [1, 2]}

    assert good == added(good, garbage) == added(garbage, good)


def test_families_are_added_word_by_word() -> None:
    """Each word of each family is added; names that are unknown are left out."""
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
    """Bounds are sorted and different, as looking one up needs them."""
    assert sorted(set(BOUNDS[name])) == list(BOUNDS[name])
