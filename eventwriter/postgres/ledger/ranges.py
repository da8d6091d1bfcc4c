"""
Sets of stream sequences as sorted, disjoint, half-open ranges; pure.

The same thing that PostgreSQL calls `int8multirange`. In steady state a set is one
range, so plain lists and linear passes are the fast way.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

Ranges = list[tuple[int, int]]
"""Sorted, disjoint, not touching; each (first, last + 1)."""


class Newest(NamedTuple):
    """The highest stream sequence of a batch, and the latest JetStream timestamp in it."""

    stream_seq: int
    timestamp_ns: int


def normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sort, drop the empty, and join what overlaps or touches."""
    joined: Ranges = []
    for low, high in sorted(r for r in ranges if r[0] < r[1]):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def contains(ranges: Ranges, value: int) -> bool:
    """Say whether `value` lies in one of `ranges`; O(log n)."""
    at = bisect_right(ranges, value, key=lambda r: r[0]) - 1
    return at >= 0 and value < ranges[at][1]


def union(a: Ranges, b: Ranges) -> Ranges:
    """Return the sequences in either."""
    if a and b and a[-1][1] == b[0][0] and len(b) == 1:
        # The steady state: a batch continues where the last one ended.
        return [*a[:-1], (a[-1][0], b[0][1])]
    return normal([*a, *b])


def difference(a: Ranges, b: Ranges) -> Ranges:
    """Return the sequences of `a` that are not in `b`."""
    left: Ranges = []
    for low, high in a:
        for cut_low, cut_high in b:
            if cut_high <= low:
                continue
            if cut_low >= high:
                break
            if cut_low > low:
                left.append((low, cut_low))
            low = max(low, cut_high)
        if low < high:
            left.append((low, high))
    return left


def overlaps(a: Ranges, b: Ranges) -> bool:
    """Say whether any sequence is in both."""
    if not a or not b or a[0][0] >= b[-1][1] or b[0][0] >= a[-1][1]:
        return False
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i][1] <= b[j][0]:
            i += 1
        elif b[j][1] <= a[i][0]:
            j += 1
        else:
            return True
    return False


def literal(ranges: Ranges) -> str:
    """Write as PostgreSQL's `int8multirange` input: ``{[1,5),[7,9)}``."""
    return "{" + ",".join(f"[{low},{high})" for low, high in ranges) + "}"


def parse(text: str) -> Ranges:
    """Read PostgreSQL's `int8multirange` output, which is always in the ``[low,high)`` form."""
    inner = text.strip("{}")
    if not inner:
        return []
    pairs = (part.strip("[)").split(",") for part in inner.split("),"))
    return [(int(low), int(high)) for low, high in pairs]
