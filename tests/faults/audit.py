"""Audit of rows and dead letters against the published messages. Pure, apart from `audit_database`."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from faults.environment import Environment
from faults.publisher import is_garbage

SHOWN_MAX = 5

Row = tuple[int, float | None]
"""Number in a row's metadata, and its value, which must be equal."""
DeadLetter = tuple[bytes, str]
"""Payload and reason of a dead letter."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Result of an audit; `problems` is empty if every message was written exactly once."""

    lost: list[int]
    duplicated: list[int]
    dead: int
    problems: list[str]


def audit_database(env: Environment) -> Findings:
    """Audit the current contents of the database."""
    rows = env.sql("SELECT (metadata->>'n')::bigint, value::float8 FROM timeseries_metrics")
    dead_letters = [
        (bytes(payload), reason) for payload, reason in env.sql("SELECT payload, reason FROM eventwriter_dead_letters")
    ]
    return audit(rows, dead_letters, env.publisher.stored, env.publisher.optional)  # type: ignore[arg-type]


def audit(
    rows: Iterable[Row], dead_letters: Iterable[DeadLetter], stored: Mapping[int, int], optional: set[int]
) -> Findings:
    """
    Compare rows and dead letters with the published messages.

    Args:
        stored: Stream sequence of each published number.
        optional: Numbers that may be missing.
    """
    values = list(rows)
    written = Counter(n for n, _ in values)
    dead: Counter[int] = Counter()
    unexpected = []
    for payload, reason in dead_letters:
        if (n := garbage_number(payload)) is not None:
            dead[n] += 1
        else:
            unexpected.append(f"{reason}: {payload[:60]!r}")
    found = written + dead
    lost = sorted(stored.keys() - found.keys() - optional)
    duplicated = sorted(n for n, count in found.items() if count > 1)
    candidates = {
        f"{len(lost)} of {len(stored)} lost, stream sequences": [stored[n] for n in lost],
        f"{len(duplicated)} duplicated, stream sequences": [stored.get(n) for n in duplicated],
        "dead letters of valid messages": unexpected,
        "rows of messages that were not published": sorted(found.keys() - stored.keys()),
        "rows of garbage": sorted(n for n in written if is_garbage(n)),
        "dead letters of numbers that are not garbage": sorted(n for n in dead if not is_garbage(n)),
        "rows with the value of another message": [(n, value) for n, value in values if n != value],
    }
    problems = [f"{what}: {some[:SHOWN_MAX]}" for what, some in candidates.items() if some]
    return Findings(lost, duplicated, dead.total(), problems)


def garbage_number(payload: bytes) -> int | None:
    """Return the number of a message that should become a dead letter; None for any other message."""
    if payload.startswith(b"garbage"):
        return int(payload.rpartition(b" ")[2])
    try:
        metadata = json.loads(payload)["metadata"]
    except (ValueError, KeyError):
        return None
    return int(metadata["n"]) if metadata.get("rejected") else None
