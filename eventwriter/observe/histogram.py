"""
Histograms with fixed bounds: cheap to count into, small to send, exact to add up.

A worker counts; its heartbeat carries the plain form; the supervisor adds up the
workers that a slot has had; readers turn it into Prometheus's cumulative form.
Bounds are fixed, or what was counted before and after an upgrade could not be added.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

STAGE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds that one batch takes in one stage: from decoding a few messages to a database that is gone for a while."""
LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 10800.0)
"""Seconds from JetStream to a committed row: dense below `batch_timeout`, and up to a backlog of hours."""
MESSAGES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 100_000)
"""Messages in one batch, up to the most that any may have."""

Plain = dict[str, Any]
"""`{"sum": 1.5, "counts": [0, 3, …]}`: one count for each bound, then one for what lies above; not cumulative."""


class Histogram:
    """Written by one thread; read by its heartbeat."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """
        Count a value.

        Args:
            value: In the bounds' unit; a bound counts what is equal to it.
            times: How often.
        """
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def plain(self) -> Plain:
        """Return it as JSON has it."""
        return {"sum": round(self.total, 6), "counts": list(self.counts)}


def added(one: object, other: object) -> Plain:
    """Return two plain histograms as one; what is none counts as nothing, and a longer one as having more bounds."""
    first, second = counts(one), counts(other)
    length = max(len(first), len(second))
    first, second = [*first, *[0] * (length - len(first))], [*second, *[0] * (length - len(second))]
    return {
        "sum": round(total(one) + total(other), 6),
        "counts": [a + b for a, b in zip(first, second, strict=True)],
    }


def counts(plain: object) -> list[int]:
    """Return the counts of a plain histogram, none where it is none."""
    found = plain.get("counts") if isinstance(plain, dict) else None
    return found if isinstance(found, list) and all(isinstance(one, int) for one in found) else []


def total(plain: object) -> float:
    """Return the sum of a plain histogram, 0 where it is none."""
    found = plain.get("sum") if isinstance(plain, dict) else None
    return float(found) if isinstance(found, int | float) else 0.0
