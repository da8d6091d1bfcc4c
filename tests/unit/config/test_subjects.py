"""How patterns of subjects lie to each other."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventwriter.config.subjects import covers, overlap, overlaps, reduced, wrong


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
def test_overlap_is_seen(one: str, other: str, expected: bool) -> None:
    """Two patterns overlap when one subject can match both; the trailer stands for at least one token."""
    assert (expected, expected) == (overlap(one, other), overlap(other, one))


def matches(pattern: str, subject: str) -> bool:
    """Say whether a pattern matches a literal subject, token by token: the plain definition."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1] + ["*"] * max(1, len(tokens) - len(wanted) + 1)
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))


SUBJECTS = [".".join(tokens) for length in (1, 2, 3, 4) for tokens in itertools.product("ab", repeat=length)]
PATTERNS = st.builds(
    lambda tokens, trailer: ".".join([*tokens, *trailer]),
    st.lists(st.sampled_from("ab*"), min_size=1, max_size=3),
    st.sampled_from([[], [">"]]),
)


@given(PATTERNS, PATTERNS)
def test_patterns_agree_with_the_definition(one: str, other: str) -> None:
    """Overlap and cover say what counting the matched subjects says."""
    left = {s for s in SUBJECTS if matches(one, s)}
    right = {s for s in SUBJECTS if matches(other, s)}

    assert (bool(left & right), left >= right) == (overlap(one, other), covers(one, other))


def test_reduced_leaves_no_covered_pattern() -> None:
    """What another pattern covers, or says twice, goes; the order stays."""
    given_subjects = ["otel.metrics", "otel.metrics.>", "otel.metrics.raw", "a", "a"]

    assert ["otel.metrics", "otel.metrics.>", "a"] == reduced(given_subjects)


def test_overlapping_pairs_are_named() -> None:
    """Each pair that overlaps is returned, others are not."""
    assert [("a.>", "a.b")] == overlaps(["a.>", "b", "a.b"])


@pytest.mark.parametrize(
    ("subject", "word"), [("a..b", "empty"), ("", "empty"), ("a b", "white space"), ("a.>.b", "last")]
)
def test_what_is_no_pattern_is_explained(subject: str, word: str) -> None:
    """The sentence says what is wrong."""
    assert word in (wrong(subject) or "")
