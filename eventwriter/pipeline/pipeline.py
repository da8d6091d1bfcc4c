"""
The line: the whole path of a message, on one screen.

Two tasks share one seam, a queue of sealed batches. `fill` pulls, decodes, builds
rows and seals; `flush` copies and acknowledges, oldest first. While PostgreSQL
works on one batch, the next is decoded. A full queue stops the pull, so a backlog
stays in NATS, where it is durable: there is no other buffer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from eventwriter import clock
from eventwriter.errors import Poison
from eventwriter.model import HELD_BATCHES_MAX, Message, Trigger
from eventwriter.pipeline.batch import Batch, Settled
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.decode import Decode, Decoded
from eventwriter.pipeline.held import HeldMessages
from eventwriter.pipeline.quarantine import Group, Quarantine

log = logging.getLogger(__name__)

_CANCEL_S = 10.0
"""Before a cancellation is repeated: longer than psycopg takes to cancel a statement at a server that is away."""
_BATCHES_QUEUED_MAX = HELD_BATCHES_MAX - 2
"""Sealed batches that wait for the copy: one keeps PostgreSQL busy; more only hold memory."""

Answer = Callable[[list[str]], Awaitable[bool]]
"""Acknowledge these deliveries; False where the connection is down."""


class MessageSource(Protocol):
    """Where messages come from; `jetstream.pull.Pull` is one."""

    pending: int
    excused: bool
    """To be set where handling a list takes what has nothing to do with its size."""

    def lists(self) -> AsyncIterator[list[Message]]:
        """Yield lists of messages; an empty one is a clock tick."""

    def wake(self) -> None:
        """Tick now."""

    def replies(self) -> list[str]:
        """Return the ack subjects of what has arrived and was not handed on yet."""


class Tap(Protocol):
    """Somebody who looks on; must be quick, and must not raise. `worker.tap.Taps` is one."""

    def arrived(self, messages: list[Message]) -> None:
        """See a list as it came."""

    def settled(self, settled: Settled) -> None:
        """See a batch that was settled."""


class Pipeline:
    """One worker's pipeline. Written by the worker's event loop only."""

    def __init__(
        self,
        pull: MessageSource,
        decode: Decode,
        held: HeldMessages,
        copy: Callable[[Batch], Awaitable[Settled]],
        ack: Answer,
        counters: Counters,
    ) -> None:
        self.pull = pull
        self.decode = decode
        self.held = held
        self.rows = held.batcher
        self.copy = copy
        self.ack = ack
        self.counters = counters
        self.quarantine: Quarantine | None = None
        """Where it is missing, a message that kills the worker kills it for ever."""
        self.tap: Tap | None = None
        """Somebody who looks on."""
        self.sealed: asyncio.Queue[Batch | None] = asyncio.Queue(_BATCHES_QUEUED_MAX)
        self._settled = asyncio.Event()
        """A batch was settled; for whom it concerns."""

    async def run(self) -> None:
        """
        Move messages until the pull is drained and everything is settled.

        Raises:
            EventwriterError: What stopped it; whatever is unsettled stays unacknowledged.
        """
        fill = asyncio.ensure_future(self.fill())
        flush = asyncio.ensure_future(self.flush())
        try:
            await asyncio.wait({fill, flush}, return_when=asyncio.FIRST_EXCEPTION)
            # The first to fail has the reason; the other one is only left alone.
            for task in (fill, flush):
                if task.done() and not task.cancelled() and (error := task.exception()):
                    raise error
        finally:
            await ended(fill, flush)

    async def fill(self) -> None:
        """Pull until drained; an empty pull is a clock tick."""
        done_s = clock.monotonic_s()
        async for messages in self.pull.lists():
            self.held.decoding = messages
            if self.tap is not None:
                self.tap.arrived(messages)
            began_s = clock.monotonic_s()
            self.counters.times.pull_wait_us_total += round((began_s - done_s) * 1e6)
            if self.quarantine is not None and self.quarantine.applies_to(messages):
                await self.fill_quarantined(self.quarantine, messages)
                self.counters.times.quarantine_us_total += round((clock.monotonic_s() - began_s) * 1e6)
            else:
                await self.fill_with(messages, began_s)
            self.held.decoding = []
            done_s = clock.monotonic_s()
        if self.rows.open.messages:
            await self.hand_over(self.rows.seal(Trigger.DRAIN))
        await self.sealed.put(None)

    async def fill_with(self, messages: list[Message], began_s: float) -> None:
        """Add messages; hand over the batches that became full."""
        opened, decoded = self.rows.open, self.decode(messages)
        decoded_s = clock.monotonic_s()
        batches = list(self.rows.add(decoded, self.held.copy_is_idle(), self.pull.pending, decoded_s))
        built_s = clock.monotonic_s()
        # A list that fills a batch and begins another is counted for the first.
        opened.decode_s += decoded_s - began_s
        opened.rows_s += built_s - decoded_s
        for batch in batches:
            await self.hand_over(batch)
        if batches:
            self.counters.times.queue_wait_us_total += round((clock.monotonic_s() - built_s) * 1e6)

    async def fill_quarantined(self, quarantine: Quarantine, messages: list[Message]) -> None:
        """Add messages of which one may kill the worker; see `quarantine`."""
        self.pull.excused = True
        for group in quarantine.groups(messages):
            if group.isolated:
                await self.settle()
            for batch in await self.decode_group(quarantine, group):
                await self.hand_over(batch)
            if group.isolated:
                await self.settle()

    async def decode_group(self, quarantine: Quarantine, group: Group) -> list[Batch]:
        """Decode a group under a note of it, and add its rows; return the batches that became full."""
        if group.override is not None:
            return self.add_decoded([(message, group.override) for message in group.messages])
        await quarantine.note(group)
        # No `await` from here on until the rows are built: that is what the note speaks of.
        batches = self.add_decoded(self.decode(group.messages))
        await quarantine.clear_note()
        return batches

    def add_decoded(self, decoded: list[Decoded]) -> list[Batch]:
        """Add decoded messages; return the batches that became full."""
        return list(self.rows.add(decoded, self.held.copy_is_idle(), self.pull.pending, clock.monotonic_s()))

    async def settle(self) -> None:
        """Have everything that was added settled, so that nothing else is in hand."""
        if self.rows.open.messages:
            await self.hand_over(self.rows.seal(Trigger.QUARANTINE))
        while self.held.in_flight:
            self._settled.clear()
            await self._settled.wait()

    async def flush(self) -> None:
        """Copy, then acknowledge; oldest batch first, one at a time."""
        while (batch := await self.sealed.get()) is not None:
            began_s = clock.monotonic_s()
            settled = await self.copy(batch)
            copied_s = clock.monotonic_s()
            await self.acknowledge(settled)
            self.held.in_flight.popleft()
            self.count(settled)
            self.counters.times.observe_settled(batch, copied_s - began_s, clock.monotonic_s() - copied_s)
            if settled.already < len(batch) and self.counters.last_commit_at_ns is not None:
                self.counters.times.observe_latency(batch, self.counters.last_commit_at_ns)
            if self.tap is not None:
                self.tap.settled(settled)
            tell(settled)
            self._settled.set()
            self.pull.wake()

    async def hand_over(self, batch: Batch) -> None:
        """Put a sealed batch before the copy stage; waits while that has enough."""
        self.held.in_flight.append(batch)
        await self.sealed.put(batch)

    async def acknowledge(self, settled: Settled) -> None:
        """Answer for every message of a settled batch, and for its repeats."""
        replies = [m.reply for m in settled.batch.messages] + settled.batch.repeats
        if await self.ack(replies):
            self.counters.acks_total += len(replies)
        else:
            self.counters.acks_lost_total += len(replies)

    def count(self, settled: Settled) -> None:
        """Add a settled batch to the counters."""
        batch, counters = settled.batch, self.counters
        counters.batches_total += 1
        counters.messages_total += len(batch)
        counters.rows_total += sum(batch.rows) - settled.duplicates - settled.rows_before
        counters.duplicates_total += settled.duplicates
        buried = settled.buried()
        counters.dead_letters_total += len(buried)
        counters.dead_letter_ratio.add(clock.monotonic_s(), len(batch), len(buried))
        counters.dead_letters_by_reason.update(poison.reason for poison in buried)
        counters.ignored_total += len(batch.ignored)
        counters.already_written_total += settled.already
        counters.redelivered_total += len(batch.repeats) + sum(1 for m in batch.messages if m.num_delivered > 1)
        counters.bytes_total += batch.payload_bytes
        counters.batch_messages_last, counters.batch_trigger_last = len(batch), batch.trigger
        if batch.trigger:
            counters.batches_by_trigger[batch.trigger.value] += 1


async def ended(*tasks: asyncio.Future[None], again_s: float = _CANCEL_S) -> None:
    """
    Cancel tasks until they have ended.

    Once is not enough: `asyncio.wait_for` before Python 3.12, which drivers use, swallows a cancellation
    that comes in the moment of success. The line would then wait for ever for batches that nobody makes.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again_s)
    await asyncio.gather(*tasks, return_exceptions=True)


def tell(settled: Settled) -> None:
    """Log a settled batch: at debug what it was, as a warning what of it became dead letters."""
    batch = settled.batch
    if log.isEnabledFor(logging.DEBUG):
        seq, rows = batch.newest().stream_seq, sum(batch.rows)
        about = {"messages": len(batch), "rows": rows, "last_seq": seq, "trigger": batch.trigger}
        log.debug("batch written", extra=about)
    # What PostgreSQL refused was told by the copy stage.
    undecoded = [position for position, poison in batch.dead.items() if poison.reason != "rejected"]
    if undecoded:
        first = min(undecoded)
        words = letter_words(batch.messages[first], batch.dead[first], len(undecoded))
        log.warning("dead letters written", extra=words)


def letter_words(first: Message, poison: Poison, count: int) -> dict[str, object]:
    """Return the first of `count` dead letters in words, for the log."""
    return {
        "messages": count,
        "subject": first.subject,
        "stream_seq": first.stream_seq,
        "reason": poison.reason,
        "error": poison.detail,
    }
