"""Ranges compared with Python's sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from eventwriter.postgres.ledger import ranges

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def as_set(spans: ranges.Ranges) -> set[int]:
    return {n for low, high in spans for n in range(low, high)}


@given(pairs, pairs)
def test_operations_agree_with_sets(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """Union, difference, overlap and membership give the same results as sets of integers."""
    one, two = ranges.normal(a), ranges.normal(b)

    assert as_set(one) | as_set(two) == as_set(ranges.union(one, two))
    assert as_set(one) - as_set(two) == as_set(ranges.difference(one, two))
    assert bool(as_set(one) & as_set(two)) == ranges.overlaps(one, two)
    assert as_set(one) == {n for n in range(61) if ranges.contains(one, n)}


@given(pairs)
def test_normal_form_is_sorted_and_disjoint(a: list[tuple[int, int]]) -> None:
    """A normal form has no ranges that overlap or touch, and parsing its literal returns it."""
    normal = ranges.normal(a)

    assert all(before[1] < after[0] for before, after in pairwise(normal))
    assert normal == ranges.parse(ranges.literal(normal))
