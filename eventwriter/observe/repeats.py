"""
Log lines that repeat: the first few are written, then one an interval, which says how many it stands for. Pure.

What repeats for hours (a server that is away, a publisher that sends garbage) must
not fill a disk, and must not fall silent either.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

BURST = 5
"""Lines of one event and slot that are written within an interval before they are only counted."""
INTERVAL_S = 10.0
"""How often what is only counted is told."""
EVENTS_MAX = 1000
"""Events remembered at once; there are some fifty in the program, for each slot that the supervisor speaks of."""

Key = tuple[int, str, object]
"""Level, event, slot."""


@dataclass(slots=True)
class Seen:
    """One event's interval."""

    began_s: float
    written: int = 0
    held_back: int = 0
    last: logging.LogRecord | None = None
    """The newest that was held back."""


class Repeats:
    """Written by one process's log handler, under its lock."""

    def __init__(self) -> None:
        self._seen: dict[Key, Seen] = {}

    def admits(self, record: logging.LogRecord) -> bool:
        """Say whether to write a record now; of the others the newest comes out of `due`, with their number."""
        if record.levelno <= logging.DEBUG:
            return True  # who asks for everything gets everything
        key = (record.levelno, str(record.msg), vars(record).get("slot"))
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= EVENTS_MAX:
                self._seen.clear()
            seen = self._seen[key] = Seen(record.created)
        if seen.written < BURST:
            seen.written += 1
            return True
        seen.held_back, seen.last = seen.held_back + 1, record
        return False

    def due(self, now_s: float) -> Iterator[logging.LogRecord]:
        """
        Yield what is to be told at the end of its interval, with the field `repeated`.

        Args:
            now_s: On the clock of the records: seconds since 1970.
        """
        for key, seen in list(self._seen.items()):
            if now_s - seen.began_s < INTERVAL_S and now_s >= seen.began_s:
                continue
            if seen.last is None:
                del self._seen[key]
                continue
            yield with_fields(seen.last, {"repeated": seen.held_back})
            # It goes on: from now on only the counts are written.
            seen.began_s, seen.held_back, seen.last = now_s, 0, None


def with_fields(record: logging.LogRecord, more: Mapping[str, object]) -> logging.LogRecord:
    """Return a copy of a record with fields added."""
    return logging.makeLogRecord({**vars(record), **more})
