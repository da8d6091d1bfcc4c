"""
What the line counts: once per batch, never per message.

Written by the line in the worker's event loop, read there by the heartbeat; no
locks, because there is one thread.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from eventwriter.model import Trigger

_COMMITS_REMEMBERED = 512
"""Commit times kept for the percentiles: minutes of a quiet stream, seconds of a busy one."""


@dataclass(slots=True)
class Counters:
    """Totals since the worker started, and the newest batch."""

    messages: int = 0
    rows: int = 0
    """Inserted or replaced."""
    duplicates: int = 0
    """Rows that a conflict rule left out: their key was there, or a later row of the batch had it."""
    detours: int = 0
    """Batches, or parts of one, that went through a staging table."""
    dead_letters: int = 0
    dead_by_reason: Counter[str] = field(default_factory=Counter)
    ignored: int = 0
    already_written: int = 0
    redelivered: int = 0
    batches: int = 0
    payload_bytes: int = 0
    retries: int = 0
    acks: int = 0
    acks_lost: int = 0
    by_trigger: Counter[Trigger] = field(default_factory=Counter)
    batch_messages_last: int = 0
    batch_trigger_last: Trigger | None = None
    last_commit_at_ns: int | None = None
    suspects: int = 0
    """Messages in hand, at this moment, that may kill the worker; no total."""
    expired: int = 0
    """Dead letters that retention deleted."""
    commits_s: deque[float] = field(default_factory=lambda: deque(maxlen=_COMMITS_REMEMBERED))

    def commit_ms(self, share: float) -> float | None:
        """Return the percentile `share` (0…1) of the recent batches' transaction times; milliseconds."""
        if not self.commits_s:
            return None
        ordered = sorted(self.commits_s)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)
