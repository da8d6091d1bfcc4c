"""
Sets of stream sequences as sorted, disjoint, half-open ranges. Pure.

Corresponds to PostgreSQL's `int8multirange`. A ledger usually consists of a single range, so
plain lists and linear passes are the fastest representation.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

Ranges = list[tuple[int, int]]
"""Sorted, disjoint ranges that do not touch; each is (first, last + 1)."""


class Newest(NamedTuple):
    """Highest stream sequence and latest JetStream timestamp of a batch."""

    stream_seq: int
    timestamp_ns: int


def normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges sorted, without empty ones, and with overlapping and touching ones joined."""
    joined: Ranges = []
    for low, high in sorted(r for r in ranges if r[0] < r[1]):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def contains(ranges: Ranges, value: int) -> bool:
    """Return whether `value` is in one of `ranges`; takes O(log n)."""
    at = bisect_right(ranges, value, key=lambda r: r[0]) - 1
    return at >= 0 and value < ranges[at][1]


def union(a: Ranges, b: Ranges) -> Ranges:
    """Return the sequences that are in `a` or `b`."""
    if a and b and a[-1][1] == b[0][0] and len(b) == 1:
        # The usual case: a batch continues where the previous one ended.
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
    """Return whether `a` and `b` have a sequence in common."""
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
    """Return ranges as input of PostgreSQL's `int8multirange`: ``{[1,5),[7,9)}``."""
    return "{" + ",".join(f"[{low},{high})" for low, high in ranges) + "}"


def parse(text: str) -> Ranges:
    """Parse the output of PostgreSQL's `int8multirange`, which always has the form ``[low,high)``."""
    inner = text.strip("{}")
    if not inner:
        return []
    pairs = (part.strip("[)").split(",") for part in inner.split("),"))
    return [(int(low), int(high)) for low, high in pairs]
