"""
Patterns of NATS subjects, and how they lie to each other; pure.

NATS refuses a consumer whose filters overlap, and two consumers whose filters
overlap both get what both match. So patterns are compared before anything runs.

Source: NATS documentation, "Subject-Based Messaging" (tokens, `*`, `>`).
"""

from collections.abc import Iterable, Sequence
from itertools import combinations


def wrong(subject: str) -> str | None:
    """Say what is wrong with a pattern, None where it is one."""
    tokens = subject.split(".")
    if not all(tokens):
        return "a token between the dots is empty"
    if any(character.isspace() for character in subject):
        return "a subject has no white space"
    if ">" in tokens[:-1]:
        return "`>` stands for everything that follows, so it comes last"
    return None


def overlap(one: str, other: str) -> bool:
    """Say whether there is a subject that both patterns match."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    # `a.>` matches what has a token more than `a`, never `a` itself.
    return len(left) == len(right)


def covers(wide: str, narrow: str) -> bool:
    """Say whether `wide` matches everything that `narrow` matches."""
    left, right = wide.split("."), narrow.split(".")
    for a, b in zip(left, right, strict=False):
        if a == ">":
            return True
        if b == ">" or (a != b and a != "*"):
            return False
    return len(left) == len(right)


def overlaps(subjects: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of patterns that overlap."""
    return [(one, other) for one, other in combinations(subjects, 2) if overlap(one, other)]


def reduced(subjects: Iterable[str]) -> list[str]:
    """Return the patterns without those that another one covers, in their order."""
    different = list(dict.fromkeys(subjects))
    return [s for s in different if not any(other != s and covers(other, s) for other in different)]
