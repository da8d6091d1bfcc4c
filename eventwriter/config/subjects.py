"""NATS subjects as filters: which are legal, and which of them meet. Pure."""

import re
from collections.abc import Iterable

PARTITION = "{partition}"
"""Stands for the partition's number in the subjects of a stream with several partitions."""

_TOKEN = re.compile(r"[^\s.*>\x00-\x1f\x7f]+")
_LENGTH_MAX = 1024  # characters; NATS's whole control line is limited to 4096 bytes


def is_legal(subject: str) -> bool:
    """
    Say whether a text is a subject that a consumer can filter by.

    Source: NATS documentation, "Subject-Based Messaging".
    """
    tokens = subject.split(".")
    if not 0 < len(subject) <= _LENGTH_MAX or not subject.isprintable():
        return False
    whole = all(token == "*" or _TOKEN.fullmatch(token) for token in tokens[:-1])
    return whole and (tokens[-1] in ("*", ">") or bool(_TOKEN.fullmatch(tokens[-1])))


def covers(wide: str, narrow: str) -> bool:
    """Say whether every subject that `narrow` matches is matched by `wide` too."""
    wides, narrows = wide.split("."), narrow.split(".")
    for at, token in enumerate(wides):
        if token == ">":
            return len(narrows) > at
        if at >= len(narrows) or narrows[at] == ">" or token not in ("*", narrows[at]):
            return False
    return len(wides) == len(narrows)


def overlap(one: str, other: str) -> bool:
    """Say whether some subject is matched by both; NATS refuses a consumer with two such filters."""
    ones, others = one.split("."), other.split(".")
    for a, b in zip(ones, others, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(ones) == len(others)


def without_covered(subjects: Iterable[str]) -> tuple[str, ...]:
    """Leave out what another one covers, so that the rest may stand in one filter; order is kept."""
    unique = tuple(dict.fromkeys(subjects))
    return tuple(s for s in unique if not any(covers(other, s) for other in unique if other != s))
