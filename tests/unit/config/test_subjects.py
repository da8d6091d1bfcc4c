"""Relations between patterns of subjects."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventwriter.config.subjects import covers, overlap, overlapping_pairs, problem, without_covered


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a.>", "a.b", True),
        ("a.>", "a", False),
        ("a.>", "a.b.c.>", True),
        ("a.*", "*.b", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.>", True),
        (">", "a", True),
        ("otel.metrics.>", "otel.metrics.raw", True),
        ("otel.metrics", "otel.metrics.>", False),
    ],
)
def test_overlap_is_detected(one: str, other: str, expected: bool) -> None:
    """Two patterns overlap if one subject can match both; the wildcard > requires at least one token."""
    assert (expected, expected) == (overlap(one, other), overlap(other, one))


def matches(pattern: str, subject: str) -> bool:
    """Return whether a pattern matches a literal subject, token by token, as NATS defines it."""
    expected, tokens = pattern.split("."), subject.split(".")
    if expected[-1] == ">":
        expected = expected[:-1] + ["*"] * max(1, len(tokens) - len(expected) + 1)
    return len(expected) == len(tokens) and all(e in ("*", t) for e, t in zip(expected, tokens, strict=True))


SUBJECTS = [".".join(tokens) for length in (1, 2, 3, 4) for tokens in itertools.product("ab", repeat=length)]
PATTERNS = st.builds(
    lambda tokens, trailer: ".".join([*tokens, *trailer]),
    st.lists(st.sampled_from("ab*"), min_size=1, max_size=3),
    st.sampled_from([[], [">"]]),
)


@given(PATTERNS, PATTERNS)
def test_random_patterns_agree_with_the_definition(one: str, other: str) -> None:
    """`overlap` and `covers` return what a comparison of all matched subjects returns."""
    left = {s for s in SUBJECTS if matches(one, s)}
    right = {s for s in SUBJECTS if matches(other, s)}

    assert (bool(left & right), left >= right) == (overlap(one, other), covers(one, other))


def test_covered_and_duplicate_patterns_are_removed() -> None:
    """`without_covered` removes covered patterns and duplicates, and keeps the order."""
    subjects = ["otel.metrics", "otel.metrics.>", "otel.metrics.raw", "a", "a"]

    assert ["otel.metrics", "otel.metrics.>", "a"] == without_covered(subjects)


def test_overlapping_pairs_are_returned() -> None:
    """Each pair that overlaps is returned, and no other."""
    assert [("a.>", "a.b")] == overlapping_pairs(["a.>", "b", "a.b"])


@pytest.mark.parametrize("subject", ["a..b", "", "a b", "a.>.b"])
def test_invalid_pattern_has_a_problem(subject: str) -> None:
    """Empty tokens, white space and a misplaced > are reported."""
    assert problem(subject) is not None


@pytest.mark.parametrize("subject", ["a", "a.*.b", "a.>", ">"])
def test_valid_pattern_has_no_problem(subject: str) -> None:
    """Subjects and patterns with wildcards at valid places are accepted."""
    assert problem(subject) is None
