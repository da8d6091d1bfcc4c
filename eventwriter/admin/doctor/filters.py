"""Subjects of an entry compared with those of its stream, and features of NATS server versions. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.config.subjects import covers, overlap

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """
    Subjects of the messages in a stream.

    Attributes:
        subjects: Patterns of the stored subjects.
        published: Patterns before a subject transform of the stream; the same without one.
        elsewhere: Whether messages also come from other streams, whose subjects are unknown here.
    """

    subjects: tuple[str, ...]
    published: tuple[str, ...]
    elsewhere: bool


def stored(config: Mapping[str, Any]) -> Stored:
    """Return the stored subjects from the configuration in STREAM.INFO."""
    published = tuple(config.get("subjects") or ())
    elsewhere = bool(config.get("mirror") or config.get("sources"))
    transform = config.get("subject_transform") or {}
    source, target = transform.get("src") or ">", transform.get("dest")
    if not target:
        return Stored(published, published, elsewhere)
    untouched = tuple(subject for subject in published if not covers(source, subject))
    return Stored((_pattern(target), *untouched), published, elsewhere)


def _pattern(target: str) -> str:
    """Return the pattern of transformed subjects: each function and each `$1` produces one token."""
    tokens = re.sub(r"\{\{[^}]*\}\}", "$", target).split(".")
    return ".".join("*" if "$" in token else token for token in tokens)


def uncovered(filters: Sequence[str], subjects: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the filters that match no stored subject, and those that match only partly stored subjects."""
    nothing = [filter_ for filter_ in filters if not any(overlap(filter_, subject) for subject in subjects)]
    part = [
        filter_
        for filter_ in filters
        if filter_ not in nothing and not any(covers(subject, filter_) for subject in subjects)
    ]
    return nothing, part


FEATURES: tuple[tuple[Version, str], ...] = (
    ((2, 9), "reading single messages by subject (verify, doctor)"),
    ((2, 10), "consumers with several filter subjects, subject transforms, an answer to a pull on a deleted "
              "consumer"),
    ((2, 12), "partition(n) of a whole subject and random(n), for partitions of streams without a key in the subject"),
)  # fmt: skip
"""Features by the first nats-server version that has them, determined by experiment."""

MULTIPLE_FILTERS: Version = (2, 10)


def lacking(version: Version) -> list[str]:
    """Return the features that a server version lacks."""
    return [f"{feature} ({since[0]}.{since[1]})" for since, feature in FEATURES if version < since]
