"""
A consumer that somebody changes under a running worker: noticed, and what it did meanwhile mended.

A consumer with another filter passes over messages. What is delivered next then seems to account for them (see
`pipeline.coverage`), and the ledger has them as settled though nobody wrote them. So the first gap between
deliveries since the consumer was last seen as it ought to be is kept; if its filter turns out to be another, what
lies beyond is looked through, and the ledger forgets what was passed over.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from eventwriter import clock
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.api import JetStreamApi, StreamState, stored_us, stream_state
from eventwriter.jetstream.consumer import ConsumerSpec, consumer_info, differences, subjects_of
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.pipeline.coverage import Tracker
from eventwriter.pipeline.decode import matches
from eventwriter.postgres.ledger.epochs import StreamEnd
from eventwriter.postgres.ledger.ranges import Ranges, normal

log = logging.getLogger(__name__)

_LOOKED_MAX = 20_000
"""Messages looked through; of more the ledger forgets everything, and what was written of it is written twice."""
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.5, 10.0
"""Between the times that something is tried again: the first soon, because many a thing is mended at once."""


@dataclass(frozen=True, slots=True)
class UnverifiedRange:
    """From which sequence on the ledger may have what was passed over, and the filter that the consumer had."""

    from_seq: int
    filters: tuple[str, ...]


def next_pause_s(before_s: float, well_s: float) -> float:
    """
    Return how long to wait before the same thing is tried once more; seconds.

    Args:
        before_s: How long it was the last time; 0 for never.
        well_s: How long it went well since then.
    """
    return _PAUSE_S_MIN if not before_s or well_s > _PAUSE_S_MAX else min(2 * before_s, _PAUSE_S_MAX)


def change(wish: ConsumerSpec, created: str, info: dict[str, Any] | None) -> str | None:
    """
    Say how a consumer is not any more what a worker is bound to; None where it is. Pure.

    Args:
        created: When the consumer was made that the worker is bound to, as CONSUMER.INFO has it.
        info: CONSUMER.INFO's answer; None where there is no such consumer.
    """
    if info is None:
        return f"consumer {wish.durable} is gone"
    if info["created"] != created:
        return f"consumer {wish.durable} was made anew by somebody"
    if different := differences(wish.config(), info["config"]):
        return f"consumer {wish.durable} was changed by somebody: {', '.join(different)}"
    return None


class ConsumerWatch:
    """
    What a worker knows of changes to its consumer. Written by the worker's event loop only.

    Attributes:
        doubt: To be mended when binding again.
    """

    def __init__(self) -> None:
        self.doubt: UnverifiedRange | None = None
        self._at_s = self._pause_s = 0.0

    def look_away(self) -> None:
        """Notice nothing for a while: the consumer is about to be changed by ourselves."""
        self._at_s, self._pause_s = clock.monotonic_s(), _PAUSE_S_MAX

    async def look(
        self, api: JetStreamApi, wish: ConsumerSpec, created: str, tracker: Tracker
    ) -> tuple[dict[str, Any] | None, str | None]:
        """
        Ask how the consumer is.

        What two writers with different settings do to each other is not noticed each time.

        Returns:
            CONSUMER.INFO's answer, and in words what is to make the worker bind again.

        Raises:
            Retryable, Fatal: As `consumer_info`.
        """
        # What was delivered before the question was delivered by a consumer as the answer describes it, or before.
        gap, tracker.gap_from = tracker.gap_from, None
        try:
            info = await consumer_info(api, wish.stream, wish.durable)
        except (Retryable, Fatal):
            tracker.gap_from = gap or tracker.gap_from
            raise
        changed = change(wish, created, info)
        if changed is None:
            return info, None
        tracker.gap_from = gap or tracker.gap_from
        since_s = clock.monotonic_s() - self._at_s
        if since_s < self._pause_s:
            return info, None
        self._at_s, self._pause_s = clock.monotonic_s(), next_pause_s(self._pause_s, since_s)
        found = () if info is None else tuple(subjects_of(info["config"]))
        if tracker.gap_from is not None and found and set(found) != set(wish.filter_subjects):
            self.doubt = UnverifiedRange(tracker.gap_from, found)
        return info, changed


def stream_end(api: JetStreamApi, stream: StreamState) -> StreamEnd:
    """Return what tells the ledger whether a stream went backwards."""
    return StreamEnd(stream.last_seq, partial(stored_us, api, stream.name), stream.now_ns)


async def end_of(api: JetStreamApi, stream: StreamState) -> StreamEnd:
    """
    Ask the stream for its end as it is by now.

    Raises:
        Retryable: It was made anew since `stream` was asked for, or does not answer.
        Fatal: There is no such stream.
    """
    now = await stream_state(api, stream.name)
    if now.incarnation_ns != stream.incarnation_ns:
        raise Retryable(f"stream {stream.name} was made anew at this moment")
    return stream_end(api, now)


async def passed_over(api: JetStreamApi, wish: ConsumerSpec, doubt: UnverifiedRange, upto: int) -> Ranges:
    """
    Return the sequences below `upto` that the consumer passed over though the wish wants them.

    Raises:
        Retryable, Fatal: As `StreamReader.walk`.
    """
    lookup = StreamReader(api, wish.stream, wish.filter_subjects)
    walked = await lookup.walk([(doubt.from_seq, upto)], _LOOKED_MAX)
    seqs = [m.stream_seq for m in walked.messages if not any(matches(one, m.subject) for one in doubt.filters)]
    found = [(seq, seq + 1) for seq in seqs]
    if not walked.complete:
        found.append((walked.messages[-1].stream_seq + 1, upto))
    log.error(
        "messages were passed over while the consumer had another filter; they are delivered again",
        extra={"stream": wish.stream, "durable": wish.durable, "messages": len(seqs), "all_seen": walked.complete},
    )
    return normal(found)
