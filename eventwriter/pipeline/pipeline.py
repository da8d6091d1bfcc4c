"""
The pipeline of one worker: the whole path of a message from the pull to the acknowledgement.

Two tasks are connected by a queue of sealed batches. `fill` pulls, decodes, builds rows and
seals batches; `flush` copies them into the database and acknowledges their messages, oldest
first. While PostgreSQL writes one batch, the next one is decoded. A full queue stops the pull,
so a backlog stays in NATS, where it is durable; there is no other buffer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from eventwriter import clock
from eventwriter.model import HELD_BATCHES_MAX, Message, Trigger
from eventwriter.pipeline.batch import Batch, Settled
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.decode import Decoded, DecodeStage
from eventwriter.pipeline.held import HeldMessages
from eventwriter.pipeline.quarantine import Group, Quarantine

log = logging.getLogger(__name__)

_CANCEL_REPEAT_S = 10.0
"""Time before a cancellation is repeated: longer than psycopg takes to cancel a statement at a hung server."""
_BATCHES_QUEUED_MAX = HELD_BATCHES_MAX - 2
"""Sealed batches waiting for the copy stage; more than one would only use memory."""

AckFn = Callable[[list[str]], Awaitable[bool]]
"""Acknowledges deliveries by their ack subjects; returns False if the connection is down."""


class MessageSource(Protocol):
    """Source of messages; `jetstream.pull.Pull` implements it."""

    pending: int
    """Number of messages that the consumer has not delivered yet."""
    excused: bool
    """Set by the pipeline if the time spent on a list says nothing about how long decoding takes."""

    def lists(self) -> AsyncIterator[list[Message]]:
        """Yield lists of messages; an empty list is a clock tick."""

    def wake(self) -> None:
        """Cause a clock tick now."""


class PipelineObserver(Protocol):
    """Observer of pipeline events; must be fast and must not raise. `worker.tap.Taps` implements it."""

    def on_received(self, messages: list[Message]) -> None:
        """Handle a list of messages that was pulled."""

    def on_settled(self, settled: Settled) -> None:
        """Handle a settled batch."""


class Pipeline:
    """
    One worker's pipeline. Written by the worker's event loop only.

    Attributes:
        quarantine: Finds messages that kill the worker; None if it is not available.
        observer: Observer of events; None most of the time.
    """

    def __init__(
        self,
        source: MessageSource,
        decode: DecodeStage,
        held: HeldMessages,
        copy: Callable[[Batch], Awaitable[Settled]],
        ack: AckFn,
        counters: Counters,
    ) -> None:
        self._source = source
        self._decode = decode
        self._held = held
        self._batcher = held.batcher
        self._copy = copy
        self._ack = ack
        self._counters = counters
        self.quarantine: Quarantine | None = None
        self.observer: PipelineObserver | None = None
        self._sealed: asyncio.Queue[Batch | None] = asyncio.Queue(_BATCHES_QUEUED_MAX)
        """Batches waiting for the copy stage; None after the last one."""
        self._batch_settled = asyncio.Event()

    async def run(self) -> None:
        """
        Process messages until the source is drained and everything is settled.

        Raises:
            EventwriterError: The first error of either task; unsettled messages stay unacknowledged.
        """
        fill = asyncio.ensure_future(self._fill())
        flush = asyncio.ensure_future(self._flush())
        try:
            await asyncio.wait({fill, flush}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (fill, flush):
                if task.done() and not task.cancelled() and (error := task.exception()):
                    raise error
        finally:
            await cancel_and_wait(fill, flush)
            self._counters.times.started_s.clear()

    async def _fill(self) -> None:
        """Pull, decode and batch messages until the source is drained."""
        times, finished_s = self._counters.times, clock.monotonic_s()
        async for messages in self._source.lists():
            self._held.decoding = messages
            if self.observer is not None:
                self.observer.on_received(messages)
            started_s = clock.monotonic_s()
            times.pull_wait_us_total += round((started_s - finished_s) * 1e6)
            if self.quarantine is not None and self.quarantine.applies_to(messages):
                times.started_s["quarantine"] = started_s
                await self._fill_quarantined(self.quarantine, messages)
                del times.started_s["quarantine"]
                times.quarantine_us_total += round((clock.monotonic_s() - started_s) * 1e6)
            else:
                await self._add(messages, started_s)
            self._held.decoding = []
            finished_s = clock.monotonic_s()
        if self._batcher.open.messages:
            await self._enqueue(self._batcher.seal(Trigger.DRAIN))
        await self._sealed.put(None)

    async def _add(self, messages: list[Message], started_s: float) -> None:
        """DecodeStage messages, add them to the open batch, and enqueue the batches that are sealed."""
        open_batch, decoded = self._batcher.open, self._decode(messages)
        decoded_s = clock.monotonic_s()
        batches = list(self._batcher.add(decoded, self._held.copy_is_idle(), self._source.pending, decoded_s))
        added_s = clock.monotonic_s()
        # The time for a list that seals one batch and opens another counts for the first.
        open_batch.decode_s += decoded_s - started_s
        open_batch.rows_s += added_s - decoded_s
        if batches:
            times = self._counters.times
            times.started_s["queue_wait"] = added_s
            for batch in batches:
                await self._enqueue(batch)
            del times.started_s["queue_wait"]
            times.queue_wait_us_total += round((clock.monotonic_s() - added_s) * 1e6)

    async def _fill_quarantined(self, quarantine: Quarantine, messages: list[Message]) -> None:
        """Add messages in groups, because one of them may kill the worker."""
        self._source.excused = True
        for group in quarantine.groups(messages):
            if group.isolated:
                await self._settle_held()
            for batch in await self._decode_group(quarantine, group):
                await self._enqueue(batch)
            if group.isolated:
                await self._settle_held()

    async def _decode_group(self, quarantine: Quarantine, group: Group) -> list[Batch]:
        """DecodeStage a group protected by a note, and return the batches that are sealed."""
        if group.override is not None:
            return self._add_decoded([(message, group.override) for message in group.messages])
        await quarantine.note(group)
        # No `await` until the rows are built, because the note is about exactly this work.
        batches = self._add_decoded(self._decode(group.messages))
        await quarantine.clear_note()
        return batches

    def _add_decoded(self, decoded: list[Decoded]) -> list[Batch]:
        return list(self._batcher.add(decoded, self._held.copy_is_idle(), self._source.pending, clock.monotonic_s()))

    async def _settle_held(self) -> None:
        """Seal the open batch and wait until every batch is settled."""
        if self._batcher.open.messages:
            await self._enqueue(self._batcher.seal(Trigger.QUARANTINE))
        while self._held.in_flight:
            self._batch_settled.clear()
            await self._batch_settled.wait()

    async def _enqueue(self, batch: Batch) -> None:
        """Queue a sealed batch for the copy stage, waiting while the queue is full."""
        self._held.in_flight.append(batch)
        await self._sealed.put(batch)

    async def _flush(self) -> None:
        """Copy and acknowledge batches, one at a time, oldest first."""
        times = self._counters.times
        while (batch := await self._sealed.get()) is not None:
            times.started_s["copy"] = started_s = clock.monotonic_s()
            settled = await self._copy(batch)
            del times.started_s["copy"]
            times.started_s["ack"] = copied_s = clock.monotonic_s()
            await self._acknowledge(settled)
            del times.started_s["ack"]
            self._held.in_flight.popleft()
            self._counters.add_settled(settled, clock.monotonic_s())
            times.observe_settled(batch, copied_s - started_s, clock.monotonic_s() - copied_s)
            if settled.already_written < len(batch) and self._counters.last_commit_at_ns is not None:
                times.observe_latency(batch, self._counters.last_commit_at_ns)
            if self.observer is not None:
                self.observer.on_settled(settled)
            log_settled(settled)
            self._batch_settled.set()
            self._source.wake()

    async def _acknowledge(self, settled: Settled) -> None:
        """Acknowledge every delivery of a settled batch, including repeated ones."""
        replies = [m.reply for m in settled.batch.messages] + settled.batch.repeat_replies
        if await self._ack(replies):
            self._counters.acks_total += len(replies)
        else:
            self._counters.acks_lost_total += len(replies)


async def cancel_and_wait(*tasks: asyncio.Future[None], repeat_s: float = _CANCEL_REPEAT_S) -> None:
    """
    Cancel tasks until they have ended.

    One cancellation is not enough: before Python 3.12 `asyncio.wait_for`, which drivers use, swallows a
    cancellation that arrives at the moment of success. The task would then wait forever.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=repeat_s)
    await asyncio.gather(*tasks, return_exceptions=True)


def log_settled(settled: Settled) -> None:
    """Log a settled batch at debug level, and its dead letters as a warning."""
    batch = settled.batch
    if log.isEnabledFor(logging.DEBUG):
        seq, rows = batch.newest().stream_seq, sum(batch.rows)
        extra = {"messages": len(batch), "rows": rows, "last_seq": seq, "trigger": batch.trigger}
        log.debug("batch written", extra=extra)
    # The copy stage logs messages that PostgreSQL rejected.
    undecoded = [position for position, poison in batch.dead.items() if poison.reason != "rejected"]
    if undecoded:
        first, poison = batch.messages[min(undecoded)], batch.dead[min(undecoded)]
        log.warning(
            "dead letters written",
            extra={
                "messages": len(undecoded),
                "subject": first.subject,
                "stream_seq": first.stream_seq,
                "reason": poison.reason,
                "error": poison.detail,
            },
        )
