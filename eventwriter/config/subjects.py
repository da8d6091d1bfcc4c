"""
Patterns of NATS subjects, and whether they overlap. Pure.

NATS refuses a consumer whose filters overlap, and two consumers with overlapping filters both
receive the messages that both match. Therefore patterns are compared before anything runs.

Source: NATS documentation, "Subject-Based Messaging" (tokens, `*`, `>`).
"""

from collections.abc import Iterable, Sequence
from itertools import combinations


def problem(subject: str) -> str | None:
    """Return why a text is not a valid pattern, None if it is one."""
    tokens = subject.split(".")
    if not all(tokens):
        return "a token between two dots is empty"
    if any(character.isspace() for character in subject):
        return "white space is not allowed"
    if ">" in tokens[:-1]:
        return "the wildcard > must be the last token"
    return None


def overlap(one: str, other: str) -> bool:
    """Return whether some subject matches both patterns."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    # `a.>` requires at least one token after `a`, so it does not match `a` itself.
    return len(left) == len(right)


def covers(wide: str, narrow: str) -> bool:
    """Return whether `wide` matches every subject that `narrow` matches."""
    left, right = wide.split("."), narrow.split(".")
    for a, b in zip(left, right, strict=False):
        if a == ">":
            return True
        if b == ">" or (a != b and a != "*"):
            return False
    return len(left) == len(right)


def overlapping_pairs(subjects: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of patterns that overlap."""
    return [(one, other) for one, other in combinations(subjects, 2) if overlap(one, other)]


def without_covered(subjects: Iterable[str]) -> list[str]:
    """Return the patterns that no other pattern covers, without duplicates, in their order."""
    distinct = list(dict.fromkeys(subjects))
    return [s for s in distinct if not any(other != s and covers(other, s) for other in distinct)]
