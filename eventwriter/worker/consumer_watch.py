"""
Detects external changes to the consumer, and finds the messages that it skipped meanwhile.

A consumer with another filter skips messages. Its next delivery then seems to cover them (see `pipeline.coverage`), and
the ledger records them as settled although they were never written. The watch therefore remembers the first gap
between deliveries since the consumer was last verified. If the filter turns out to be different, the messages in and
after that gap are scanned, and the ledger is corrected before the next session.
"""

import logging
from dataclasses import dataclass
from typing import Any

from eventwriter import clock
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.api import JetStreamApi
from eventwriter.jetstream.consumer import ConsumerSpec, ConsumerState, consumer_info, differences, subjects_of
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.pipeline.coverage import CoverageTracker
from eventwriter.pipeline.decode import subject_matches
from eventwriter.postgres.ledger.ranges import Ranges, normal

log = logging.getLogger(__name__)

_SCANNED_MAX = 20_000
"""Messages scanned for skipped ones. Beyond them the ledger forgets everything, and written messages are duplicated."""
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.5, 10.0
"""Bounds of the pause between attempts; the first is short, because many problems are fixed quickly."""


@dataclass(frozen=True, slots=True)
class UnverifiedRange:
    """First sequence that the consumer may have skipped, and the filter that it had then."""

    from_seq: int
    filters: tuple[str, ...]


def next_pause_s(previous_s: float, ran_s: float) -> float:
    """
    Return the pause before the next attempt, in seconds: doubled each time, reset after a long run.

    Args:
        previous_s: The previous pause; 0 for the first attempt.
        ran_s: How long the last attempt ran before it failed.
    """
    return _PAUSE_S_MIN if not previous_s or ran_s > _PAUSE_S_MAX else min(2 * previous_s, _PAUSE_S_MAX)


def consumer_gone(durable: str) -> str:
    """Return the message for a consumer that was deleted."""
    return f"consumer {durable} was deleted"


def consumer_recreated(durable: str) -> str:
    """Return the message for a consumer that was deleted and created again."""
    return f"consumer {durable} was deleted and recreated"


def change_of(spec: ConsumerSpec, created: str, info: dict[str, Any] | None) -> str | None:
    """
    Return how the consumer differs from the one that a session is bound to, or None if it does not; pure.

    Args:
        created: Creation time of the consumer that the session is bound to, as in CONSUMER.INFO.
        info: The answer to CONSUMER.INFO; None if the consumer does not exist.
    """
    if info is None:
        return consumer_gone(spec.durable)
    if info["created"] != created:
        return consumer_recreated(spec.durable)
    if changed := differences(spec.config(), info["config"]):
        return f"consumer {spec.durable} was changed by another client: {', '.join(changed)}"
    return None


def pause_reason(spec: ConsumerSpec, consumer: ConsumerState) -> str | None:
    """Return a sentence about a consumer that is paused in JetStream, with the command that resumes it, else None."""
    if consumer.paused_until is None:
        return None
    return (
        f"consumer {spec.durable} is paused in JetStream until {consumer.paused_until};"
        f" run `nats consumer resume {spec.stream} {spec.durable}`"
    )


class ConsumerWatch:
    """
    Compares the consumer with its specification. Written by the worker's event loop only.

    Attributes:
        unverified: Range that the next session must verify before it uses the ledger.
    """

    def __init__(self) -> None:
        self.unverified: UnverifiedRange | None = None
        self._reported_at_s = self._pause_s = 0.0

    def suppress(self) -> None:
        """Report no change for a while, because the worker is about to change the consumer itself."""
        self._reported_at_s, self._pause_s = clock.monotonic_s(), _PAUSE_S_MAX

    async def check(
        self, api: JetStreamApi, spec: ConsumerSpec, created: str, tracker: CoverageTracker
    ) -> tuple[dict[str, Any] | None, str | None]:
        """
        Request CONSUMER.INFO and compare it with the specification.

        Repeated changes are reported at growing intervals, so that two writers with different settings do not keep
        each other from working.

        Returns:
            The answer, and the change for which the worker must bind again, or None.

        Raises:
            Retryable, Fatal: As `consumer_info`.
        """
        # Everything delivered before this request was delivered by the consumer as the answer describes it, or earlier.
        gap, tracker.gap_from = tracker.gap_from, None
        try:
            info = await consumer_info(api, spec.stream, spec.durable)
        except (Retryable, Fatal):
            tracker.gap_from = gap or tracker.gap_from
            raise
        change = change_of(spec, created, info)
        if change is None:
            return info, None
        tracker.gap_from = gap or tracker.gap_from
        since_s = clock.monotonic_s() - self._reported_at_s
        if since_s < self._pause_s:
            return info, None
        self._reported_at_s, self._pause_s = clock.monotonic_s(), next_pause_s(self._pause_s, since_s)
        filters = () if info is None else tuple(subjects_of(info["config"]))
        if tracker.gap_from is not None and filters and set(filters) != set(spec.filter_subjects):
            self.unverified = UnverifiedRange(tracker.gap_from, filters)
        return info, change


async def skipped_messages(api: JetStreamApi, spec: ConsumerSpec, unverified: UnverifiedRange, end_seq: int) -> Ranges:
    """
    Return the sequences below `end_seq` that match the specification's filter but not the one the consumer had.

    Raises:
        Retryable, Fatal: As `StreamReader.scan`.
    """
    reader = StreamReader(api, spec.stream, spec.filter_subjects)
    scan = await reader.scan([(unverified.from_seq, end_seq)], _SCANNED_MAX)
    seqs = [
        message.stream_seq
        for message in scan.messages
        if not any(subject_matches(pattern, message.subject) for pattern in unverified.filters)
    ]
    skipped = [(seq, seq + 1) for seq in seqs]
    if not scan.complete:
        skipped.append((scan.messages[-1].stream_seq + 1, end_seq))
    log.error(
        "the consumer skipped messages while it had another filter; they are delivered again",
        extra={"stream": spec.stream, "durable": spec.durable, "messages": len(seqs), "all_scanned": scan.complete},
    )
    return normal(skipped)
