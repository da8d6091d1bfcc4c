"""What rows and dead letters say of the book, number by number. Pure, but for `look`."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from faults.bed import Bed
from faults.book import is_garbage

SHOWN_MAX = 5

Row = tuple[int, float | None]
"""The number in a row's metadata, and its value, which is to be the same."""
Letter = tuple[bytes, str]
"""A dead letter's payload and reason."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an audit has found; it is well where `wrong` is empty."""

    lost: list[int]
    twice: list[int]
    dead: int
    wrong: list[str]


def look(bed: Bed) -> Found:
    """Audit what is in the database now."""
    rows = bed.sql("SELECT (metadata->>'n')::bigint, value::float8 FROM timeseries_metrics")
    letters = bed.sql("SELECT payload, reason FROM eventwriter_dead_letters")
    publisher = bed.publisher
    return audit(rows, [(bytes(payload), reason) for payload, reason in letters], publisher.stored, publisher.excused)  # type: ignore[misc]


def audit(rows: Iterable[Row], letters: Iterable[Letter], stored: Mapping[int, int], excused: set[int]) -> Found:
    """
    Hold rows and dead letters against the book.

    Args:
        stored: The stream sequence of each published number.
        excused: Numbers that may be missing.
    """
    values = list(rows)
    written = Counter(n for n, _ in values)
    dead: Counter[int] = Counter()
    other = []
    for payload, reason in letters:
        if (n := garbage_number(payload)) is not None:
            dead[n] += 1
        else:
            other.append(f"{reason}: {payload[:60]!r}")
    found = written + dead
    lost = sorted(stored.keys() - found.keys() - excused)
    twice = sorted(n for n, count in found.items() if count > 1)
    sayings = {
        f"{len(lost)} of {len(stored)} lost, stream sequences": [stored[n] for n in lost],
        f"{len(twice)} twice, stream sequences": [stored.get(n) for n in twice],
        "dead letters that are no garbage": other,
        "rows of what was never published": sorted(found.keys() - stored.keys()),
        "rows of garbage": sorted(n for n in written if is_garbage(n)),
        "dead letters of no garbage": sorted(n for n in dead if not is_garbage(n)),
        "rows whose value is not their number's": [(n, value) for n, value in values if n != value],
    }
    wrong = [f"{what}: {some[:SHOWN_MAX]}" for what, some in sayings.items() if some]
    return Found(lost, twice, dead.total(), wrong)


def garbage_number(payload: bytes) -> int | None:
    """Return the number of a message that was to become a dead letter; None of any other."""
    if payload.startswith(b"garbage"):
        return int(payload.rpartition(b" ")[2])
    try:
        metadata = json.loads(payload)["metadata"]
    except (ValueError, KeyError):
        return None
    return int(metadata["n"]) if metadata.get("refused") else None
