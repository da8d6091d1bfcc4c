"""Histograms: observing values, and adding the plain forms."""

import json
from typing import Any

import pytest

from eventwriter.observe.histogram import Histogram, added


def test_bounds_are_inclusive() -> None:
    """A value is counted at the first bound that is not below it, or in the last count if it is above all bounds."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)

    assert {"sum": 14.0, "counts": [2, 2, 1]} == histogram.plain()


def test_value_observed_several_times_is_counted_each_time() -> None:
    """`times` multiplies both the count and the sum."""
    histogram = Histogram((1.0,))
    histogram.observe(0.5, 10)

    assert {"sum": 5.0, "counts": [10, 0]} == histogram.plain()


def test_plain_histograms_are_added_bound_by_bound() -> None:
    """The plain form survives JSON, and two of them are added count by count."""
    one = Histogram((1.0, 2.0))
    one.observe(0.5)
    two = Histogram((1.0, 2.0))
    two.observe(3.0)

    assert {"sum": 3.5, "counts": [1, 0, 1]} == added(*json.loads(json.dumps([one.plain(), two.plain()])))


@pytest.mark.parametrize("malformed", [None, 7, [], {}, {"sum": "much", "counts": "many"}, {"counts": [1, "x"]}])
def test_malformed_histogram_counts_as_empty(malformed: Any) -> None:
    """A malformed histogram in a heartbeat does not change the sum."""
    valid = {"sum": 1.5, "counts": [1, 2]}

    assert valid == added(valid, malformed) == added(malformed, valid)
