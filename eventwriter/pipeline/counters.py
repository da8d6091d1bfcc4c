"""
What one pipeline counts: the declared counters of the heartbeat, and what they are derived from.

The pipeline updates them once per batch, never per message, in the event loop of the worker;
the heartbeat reads them there.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from eventwriter.model import Trigger
from eventwriter.observe.heartbeat import StageTimes, WorkerCounters
from eventwriter.pipeline.batch import Batch, Settled

WINDOW_S = 60.0
"""Window of the dead-letter ratio: long enough that one bad batch raises no alarm, short enough to show recovery."""
MESSAGES_MIN = 100
"""Messages below which chance decides: the ratio must then be above its limit with 97.5 % confidence."""
DEAD_LETTERS_MIN = 3
"""Dead letters below which there is no warning, however few messages there are."""
_Z = 1.96
"""Standard normal quantile of that confidence."""
_SLICE_S = 5.0
"""Resolution of the window."""


class DeadLetterRatio:
    """Ratio of dead letters to messages over the last minute. Written once per batch by the worker's event loop."""

    def __init__(self) -> None:
        self._slices: deque[list[float]] = deque()
        """[start, messages, dead letters], oldest first; monotonic seconds."""

    def add(self, now_s: float, messages: int, dead: int) -> None:
        """
        Count a settled batch.

        Args:
            now_s: Monotonic seconds.
            messages: Number of messages in the batch.
            dead: Number of messages that became dead letters.
        """
        if not self._slices or now_s - self._slices[-1][0] >= _SLICE_S:
            self._slices.append([now_s, 0, 0])
        self._slices[-1][1] += messages
        self._slices[-1][2] += dead
        self._expire(now_s)

    def counts(self, now_s: float) -> tuple[int, int]:
        """Return the number of messages in the window, and how many of them became dead letters."""
        self._expire(now_s)
        return int(sum(s[1] for s in self._slices)), int(sum(s[2] for s in self._slices))

    def warning(self, now_s: float, ratio_max: float, stream: str) -> str | None:
        """
        Return a message if the ratio is above its limit, else None.

        Args:
            now_s: Monotonic seconds.
            ratio_max: Highest acceptable ratio, 0…1.
            stream: Name of the stream entry, for the command in the message.
        """
        messages, dead = self.counts(now_s)
        if dead < DEAD_LETTERS_MIN or lowest_ratio(dead, messages) <= ratio_max:
            return None
        return (
            f"{dead / messages:.1%} of the messages of the last {WINDOW_S:g} s ({dead:,} of {messages:,}) became"
            f" dead letters, more than dead_letter_share_max ({ratio_max:.3g}); see eventwriter-ctl dlq list"
            f" --stream {stream}"
        )

    def _expire(self, now_s: float) -> None:
        while self._slices and now_s - self._slices[0][0] > WINDOW_S:
            self._slices.popleft()


def lowest_ratio(dead: int, messages: int) -> float:
    """
    Return the ratio of dead letters that the messages of the window prove.

    From `MESSAGES_MIN` messages on that is their own ratio. For fewer messages it is the lower bound of the
    Wilson score interval: 22 of 33 dead letters prove 50 %, 3 of 33 prove 3 %.
    """
    ratio = dead / messages
    if messages >= MESSAGES_MIN:
        return ratio
    spread = _Z * math.sqrt(ratio * (1 - ratio) / messages + _Z**2 / (4 * messages**2))
    return (ratio + _Z**2 / (2 * messages) - spread) / (1 + _Z**2 / messages)


_COMMITS_KEPT = 512
"""Transaction times kept for percentiles: those of minutes on a quiet stream, of seconds on a busy one."""


@dataclass(slots=True)
class BatchTimes(StageTimes):
    """
    Stage times with the observations of a settled batch.

    Attributes:
        started_s: Start of each running stage or wait; monotonic seconds.
    """

    started_s: dict[str, float] = field(default_factory=dict)

    def running_s(self, now_s: float) -> dict[str, float]:
        """Return the seconds that each running stage or wait has taken so far."""
        return {name: now_s - started_s for name, started_s in self.started_s.items()}

    def observe_settled(self, batch: Batch, copy_s: float, ack_s: float) -> None:
        """Observe the stages and the size of a settled batch."""
        seconds = {"decode": batch.decode_s, "rows": batch.rows_s, "copy": copy_s, "ack": ack_s}
        for stage, used_s in seconds.items():
            self.stage_s[stage].observe(used_s)
        if batch.trigger:
            self.batch_messages[batch.trigger].observe(len(batch))

    def observe_latency(self, batch: Batch, committed_at_ns: int) -> None:
        """Observe the age of the oldest message at the commit, once for each message of the batch."""
        self.latency_s.observe(max(0.0, (committed_at_ns - batch.messages[0].timestamp_ns) / 1e9), len(batch))


@dataclass(slots=True)
class Counters(WorkerCounters):
    """Counters of one worker, with the values that are not plain sums."""

    times: BatchTimes = field(default_factory=BatchTimes)
    dead_letter_ratio: DeadLetterRatio = field(default_factory=DeadLetterRatio)
    batch_messages_last: int = 0
    batch_trigger_last: Trigger | None = None
    last_commit_at_ns: int | None = None
    suspects: int = 0
    """Messages being decoded now of which one may kill the worker; a gauge."""
    commits_s: deque[float] = field(default_factory=lambda: deque(maxlen=_COMMITS_KEPT))
    """Durations of recent transactions."""

    def add_settled(self, settled: Settled, now_s: float) -> None:
        """Count a settled batch; monotonic seconds."""
        batch, dead = settled.batch, settled.new_dead_letters()
        self.batches_total += 1
        self.messages_total += len(batch)
        self.rows_total += sum(batch.rows) - settled.duplicates - settled.rows_already_written
        self.duplicates_total += settled.duplicates
        self.dead_letters_total += len(dead)
        self.dead_letters_by_reason.update(poison.reason for poison in dead)
        self.dead_letter_ratio.add(now_s, len(batch), len(dead))
        self.ignored_total += len(batch.ignored)
        self.already_written_total += settled.already_written
        self.redelivered_total += len(batch.repeat_replies) + sum(1 for m in batch.messages if m.num_delivered > 1)
        self.bytes_total += batch.payload_bytes - batch.dead_bytes
        self.batch_messages_last, self.batch_trigger_last = len(batch), batch.trigger
        if batch.trigger:
            self.batches_by_trigger[batch.trigger.value] += 1

    def commit_ms(self, quantile: float) -> float | None:
        """Return a quantile (0…1) of the recent transaction times in milliseconds; None before the first commit."""
        if not self.commits_s:
            return None
        ordered = sorted(self.commits_s)
        return round(ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] * 1000, 3)
