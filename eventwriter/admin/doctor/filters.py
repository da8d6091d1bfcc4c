"""An entry's subjects against what its stream stores, and a server's version against what is needed; pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.config.subjects import covers, overlap

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """
    Which subjects a stream's messages have.

    Attributes:
        subjects: Patterns, as messages carry them once stored.
        published: Patterns before a transformation of the stream's; the same where there is none.
        elsewhere: Whether messages also come from other streams, whose subjects are not known here.
    """

    subjects: tuple[str, ...]
    published: tuple[str, ...]
    elsewhere: bool


def stored(config: Mapping[str, Any]) -> Stored:
    """Read a stream's configuration, as STREAM.INFO has it."""
    published = tuple(config.get("subjects") or ())
    elsewhere = bool(config.get("mirror") or config.get("sources"))
    transform = config.get("subject_transform") or {}
    source, target = transform.get("src") or ">", transform.get("dest")
    if not target:
        return Stored(published, published, elsewhere)
    untouched = tuple(subject for subject in published if not covers(source, subject))
    return Stored((_pattern(target), *untouched), published, elsewhere)


def _pattern(target: str) -> str:
    """Return the pattern of what a transformation makes: each of its functions, and each `$1`, makes one token."""
    tokens = re.sub(r"\{\{[^}]*\}\}", "$", target).split(".")
    return ".".join("*" if "$" in token else token for token in tokens)


def uncovered(filters: Sequence[str], subjects: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the filters that match nothing the stream stores, and those of which it stores only a part."""
    nothing = [one for one in filters if not any(overlap(one, subject) for subject in subjects)]
    part = [one for one in filters if one not in nothing and not any(covers(subject, one) for subject in subjects)]
    return nothing, part


FEATURES: tuple[tuple[Version, str], ...] = (
    ((2, 9), "looking at single messages by subject (verify, doctor)"),
    ((2, 10), "consumers with several filter subjects, transformation of subjects, an answer to a pull on a consumer "
              "that is gone"),
    ((2, 12), "partition(n) of a whole subject and random(n), for partitions of streams without a key in the subject"),
)  # fmt: skip
"""From which version of nats-server on there is what; found by trying."""

MULTIPLE_FILTERS: Version = (2, 10)


def lacking(version: Version) -> list[str]:
    """Return what a server of this version lacks."""
    return [f"{what} ({since[0]}.{since[1]})" for since, what in FEATURES if version < since]
