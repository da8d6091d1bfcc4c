"""Sets of sequences behave as sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from eventwriter.postgres.ledger import ranges

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def as_set(spans: ranges.Ranges) -> set[int]:
    return {n for low, high in spans for n in range(low, high)}


@given(pairs, pairs)
def test_union_and_difference_are_those_of_sets(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """Union, difference, overlap and membership agree with Python's sets."""
    one, two = ranges.normal(a), ranges.normal(b)

    assert as_set(one) | as_set(two) == as_set(ranges.union(one, two))
    assert as_set(one) - as_set(two) == as_set(ranges.difference(one, two))
    assert bool(as_set(one) & as_set(two)) == ranges.overlaps(one, two)
    assert as_set(one) == {n for n in range(61) if ranges.contains(one, n)}


@given(pairs)
def test_normal_form_is_sorted_disjoint_and_not_touching(a: list[tuple[int, int]]) -> None:
    """A normal form has no two ranges that could be one, and survives being written and read."""
    normal = ranges.normal(a)

    assert all(before[1] < after[0] for before, after in pairwise(normal))
    assert normal == ranges.parse(ranges.literal(normal))
