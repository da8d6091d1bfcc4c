"""
What the line counts: once per batch, never per message.

Written by the line in the worker's event loop, read there by the heartbeat; no
locks, because there is one thread.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from eventwriter.model import Trigger
from eventwriter.observe.histogram import LATENCY_S, MESSAGES, STAGE_S, Histogram, Plain
from eventwriter.pipeline.batch import Batch

WINDOW_S = 60.0
"""Long enough that one bad batch is no alarm, short enough to see the end of it."""
MESSAGES_MIN = 100
"""Of fewer messages a share says nothing."""
_SLICE_S = 5.0
"""The window moves in steps of this."""


class DeadLetterRatio:
    """The messages of the last minute and how many of them died; once per batch, in the worker's event loop."""

    def __init__(self) -> None:
        self._slices: deque[list[float]] = deque()
        """[when it began, messages, dead ones], oldest first."""

    def add(self, now_s: float, messages: int, dead: int) -> None:
        """
        Count a settled batch.

        Args:
            now_s: Monotonic seconds.
        """
        if not self._slices or now_s - self._slices[-1][0] >= _SLICE_S:
            self._slices.append([now_s, 0, 0])
        self._slices[-1][1] += messages
        self._slices[-1][2] += dead
        self._forget(now_s)

    def counts(self, now_s: float) -> tuple[int, int]:
        """Return the window's messages, and the dead ones among them."""
        self._forget(now_s)
        return int(sum(s[1] for s in self._slices)), int(sum(s[2] for s in self._slices))

    def sentence(self, now_s: float, share_max: float, stream: str) -> str | None:
        """
        Say that too many die, None where it is not so.

        Args:
            share_max: From 0 to 1: what is not too many.
            stream: The entry's name, as `eventwriter-ctl dlq` wants it.
        """
        messages, dead = self.counts(now_s)
        if messages < MESSAGES_MIN or dead <= share_max * messages:
            return None
        return (
            f"{dead / messages:.1%} of the messages of the last {WINDOW_S:g} s ({dead:,} of {messages:,}) became"
            f" dead letters, more than dead_letter_share_max ({share_max:.3g}); see eventwriter-ctl dlq list"
            f" --stream {stream}"
        )

    def _forget(self, now_s: float) -> None:
        while self._slices and now_s - self._slices[0][0] > WINDOW_S:
            self._slices.popleft()


_COMMITS_REMEMBERED = 512
"""Commit times kept for the percentiles: minutes of a quiet stream, seconds of a busy one."""

STAGES = ("decode", "rows", "copy", "commit", "ack")
"""The stages whose seconds are counted for each batch; `copy` is the whole transaction, with its waiting for the server
and with the commit, `commit` only that."""


@dataclass(slots=True)
class Times:
    """
    Where the time of batches goes: a few observations for each batch, none for a message.

    What the two tasks of the line wait for is counted beside it: with its waiting,
    the time of each task is fully accounted for.
    """

    stages: dict[str, Histogram] = field(default_factory=lambda: {stage: Histogram(STAGE_S) for stage in STAGES})
    latency: Histogram = field(default_factory=lambda: Histogram(LATENCY_S))
    """From JetStream's timestamp of a batch's oldest message to its commit, counted for each message of the batch."""
    sizes: dict[Trigger, Histogram] = field(default_factory=lambda: {one: Histogram(MESSAGES) for one in Trigger})
    pull_wait_s: float = 0.0
    """How long there was nothing to decode."""
    queue_wait_s: float = 0.0
    """How long a sealed batch waited for the copy stage, and with it all pulling."""
    careful_s: float = 0.0
    """How long messages were decoded one by one, with notes and waiting, because one of them may kill the worker."""

    def settled(self, batch: Batch, copy_s: float, ack_s: float) -> None:
        """Count a batch that was settled."""
        seconds = {"decode": batch.decode_s, "rows": batch.rows_s, "copy": copy_s, "ack": ack_s}
        for stage, used_s in seconds.items():
            self.stages[stage].observe(used_s)
        if batch.trigger:
            self.sizes[batch.trigger].observe(len(batch))

    def committed(self, batch: Batch, at_ns: int) -> None:
        """Count how old a batch's messages were when they were committed."""
        self.latency.observe(max(0.0, (at_ns - batch.messages[0].timestamp_ns) / 1e9), len(batch))

    def plain(self) -> dict[str, dict[str, Plain]]:
        """Return the histograms as a heartbeat has them, without those that nothing was counted into."""
        return {
            "stage_s": {name: one.plain() for name, one in self.stages.items() if one.total},
            "latency_s": {"": self.latency.plain()},
            "batch_messages": {str(trigger): one.plain() for trigger, one in self.sizes.items() if one.total},
        }


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
    dead_letter_ratio: DeadLetterRatio = field(default_factory=DeadLetterRatio)
    """Of the last minute."""
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
    times: Times = field(default_factory=Times)
    commits_s: deque[float] = field(default_factory=lambda: deque(maxlen=_COMMITS_REMEMBERED))

    def commit_ms(self, share: float) -> float | None:
        """Return the percentile `share` (0…1) of the recent batches' transaction times; milliseconds."""
        if not self.commits_s:
            return None
        ordered = sorted(self.commits_s)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)
