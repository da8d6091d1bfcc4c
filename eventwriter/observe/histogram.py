"""
Histograms with fixed bounds: cheap to update, small to send, and exact to add.

A worker observes values, its heartbeat carries the counts, and the supervisor adds the counts
of all workers that a slot has had. The bounds are fixed; otherwise the counts from before and
after an upgrade could not be added.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

STAGE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds of one batch in one stage: from decoding a few messages to a database outage of half a minute."""
LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 10800.0)
"""Seconds from JetStream to a committed row: dense below `batch_timeout`, and up to a backlog of hours."""
MESSAGES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 100_000)
"""Messages in one batch, up to the largest `max_batch_size`."""

Plain = dict[str, Any]
"""`{"sum": 1.5, "counts": [0, 3, …]}`: one count per bound and one for values above all bounds; not cumulative."""


class Histogram:
    """Counts of observed values between fixed bounds. Written by one thread."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """
        Count a value.

        Args:
            value: In the unit of the bounds; bounds are inclusive.
            times: How often to count it.
        """
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def plain(self) -> Plain:
        """Return the histogram in the form for JSON."""
        return {"sum": round(self.total, 6), "counts": list(self.counts)}


def added(one: object, other: object) -> Plain:
    """Return the sum of two plain histograms; a malformed one counts as empty, a shorter one as having zeros."""
    first, second = counts(one), counts(other)
    length = max(len(first), len(second))
    first, second = [*first, *[0] * (length - len(first))], [*second, *[0] * (length - len(second))]
    return {
        "sum": round(total(one) + total(other), 6),
        "counts": [a + b for a, b in zip(first, second, strict=True)],
    }


def counts(plain: object) -> list[int]:
    """Return the counts of a plain histogram; an empty list if it is malformed."""
    value = plain.get("counts") if isinstance(plain, dict) else None
    return value if isinstance(value, list) and all(isinstance(count, int) for count in value) else []


def total(plain: object) -> float:
    """Return the sum of a plain histogram; 0 if it is malformed."""
    value = plain.get("sum") if isinstance(plain, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0
