"""
Putting one worker's line together: look both servers up, agree, connect the stages.

Order matters: the tables before the consumer, so that no message is asked for that
could not be written; the ledger before the consumer, because a consumer that is
missing is made from the ledger's floor.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from eventwriter import clock
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.errors import EventwriterError
from eventwriter.jetstream.acks import ACK, IN_PROGRESS, publish_answers
from eventwriter.jetstream.api import JetStreamApi, StreamState, stream_state
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import ConsumerSpec, ConsumerState, ensure
from eventwriter.jetstream.credit import PullLimits
from eventwriter.jetstream.pull import Pull
from eventwriter.jetstream.reorder import Redelivered
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.jetstream.stream_stats import StreamMonitor
from eventwriter.kinds.registry import kind
from eventwriter.model import Adjustments, Origin, SlotName
from eventwriter.pipeline.batcher import BatchLimits, Rows, Target
from eventwriter.pipeline.copy_stage import Copy, Letters
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.coverage import Tracker
from eventwriter.pipeline.decode import Decode
from eventwriter.pipeline.pipeline import BATCHES_QUEUED_MAX, Pipeline
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.encode import ENCODE_ERRORS, encoder
from eventwriter.postgres.ledger.epochs import open_ledger
from eventwriter.postgres.ledger.store import Ledger, LedgerKey, filter_hash, forget
from eventwriter.postgres.schema.catalog import Binding, read_columns
from eventwriter.postgres.session import PostgresSession
from eventwriter.tables.table import Build, RowBuilder, Table
from eventwriter.worker.consumer_watch import ConsumerWatch, end_of, passed_over
from eventwriter.worker.fault_points import deadly
from eventwriter.worker.ledger_compactor import LedgerCompactor
from eventwriter.worker.partitions import PartitionMaintenance
from eventwriter.worker.quarantine import Case
from eventwriter.worker.redelivery import Reclaim
from eventwriter.worker.status import WorkerStatus
from eventwriter.worker.table_binding import find_table, find_tables, recheck

log = logging.getLogger(__name__)

HELD_BATCHES = 2 + BATCHES_QUEUED_MAX
"""Batches a worker holds at most: one in copy, the queue, the open one."""

LEDGER = "eventwriter_ledger"
_PATIENCE_S_MAX = 0.5
"""The longest an idle line waits before it looks at its heartbeats again."""


@dataclass(slots=True)
class Bound:
    """What a worker agreed on with both servers, and the line that it runs on it."""

    line: Pipeline
    pull: Pull
    ledger: Ledger
    consumer: ConsumerState
    stream: StreamState
    build: Callable[[Binding, Adjustments], RowBuilder]
    bindings: Sequence[Binding]
    tracker: Tracker
    folding: LedgerCompactor

    def builders(self) -> list[tuple[Table, RowBuilder]]:
        """Return builders that make the line's rows once more, for somebody who looks on; they count nothing."""
        return [(binding.table, self.build(binding, Adjustments())) for binding in self.bindings]


class SessionBuilder:
    """
    Binds one slot, as often as needed, over the same two connections.

    Written by the worker's event loop only.
    """

    def __init__(self, settings: Settings, slot: SlotName, link: NatsLink, postgres: PostgresSession) -> None:
        self.settings = settings
        self.stream = settings.stream(slot.stream)
        self.durable = self.stream.durable_name(settings.consumer_name, slot.partition)
        self.filters = self.stream.filters(slot.partition)
        self.kind = kind(self.stream.kind)
        self.link = link
        self.postgres = postgres
        self.storage = PartitionMaintenance(settings, self.stream, self.kind, postgres)
        self.api = JetStreamApi(link.client, settings.nats.domain)
        self.tally = Adjustments()
        self.counters = Counters()
        self.condition = WorkerStatus()
        self.watch = StreamMonitor()
        self.drift = ConsumerWatch()
        self.case = Case(slot, self.stream.schema_name, settings.control.socket)
        self.tell: Callable[[], None] = lambda: None
        """Called before the worker does what it may die of."""
        self.warnings: tuple[str, ...] = ()

    def use(self, link: NatsLink) -> None:
        """Go on over another connection to NATS."""
        self.link = link
        self.api = JetStreamApi(link.client, self.settings.nats.domain)

    async def bind(self) -> Bound:
        """
        Look everything up and put the line together.

        Raises:
            Fatal: An operator must act; the sentence says how.
            Retryable: A server is away.
        """
        state = await stream_state(self.api, self.stream.stream_name)
        self.postgres.on_connect = None
        async with self.postgres.transaction() as conn:
            tables = await find_tables(conn, self.stream, self.kind)
            letters = await find_table(conn, self.stream.schema_name, DEAD_LETTERS)
            ledger_table, _ = await read_columns(conn, self.stream.schema_name, LEDGER)
            origin = Origin(state.name, state.incarnation_ns, 0)
            key = LedgerKey(origin, self.durable, filter_hash(self.filters))
            ledger = await open_ledger(conn, ledger_table, key, partial(end_of, self.api, state))
            await self.case.look(conn, ledger)
        bindings = [found.bound(self.tally) for found in tables]
        letters_binding = letters.bound()
        self._warn([w for found, b in zip(tables, bindings, strict=True) for w in (*b.warnings, *found.warnings(b))])
        self.postgres.on_connect = recheck([*tables, letters])
        await self._mend(ledger)
        consumer = await ensure(self.api, self.wish, ledger.floor())
        tracker = Tracker(consumer.delivered_consumer_seq, consumer.delivered_stream_seq)
        line, pull = self._line(ledger, bindings, letters_binding, tracker, consumer.created)
        line.quarantine = self.case.open(self.postgres, ledger, self.counters, consumer)
        if line.quarantine is not None:
            line.quarantine.report, line.quarantine.tell = self.condition.outage, self.tell
        lookup = StreamReader(self.api, self.stream.stream_name, self.filters)
        folding = LedgerCompactor(self.postgres, ledger, lookup, self.durable)
        return Bound(line, pull, ledger, consumer, state, self._builder(ledger), bindings, tracker, folding)

    @property
    def wish(self) -> ConsumerSpec:
        """What the consumer is to be."""
        return consumer_wish(self.stream, self.durable, self.filters)

    async def _mend(self, ledger: Ledger) -> None:
        """Have the ledger forget what a consumer that somebody changed has passed over."""
        doubt, self.drift.doubt = self.drift.doubt, None
        if doubt is None:
            return
        try:
            found = await passed_over(self.api, self.wish, doubt, ledger.last_seq + 1)
            async with self.postgres.transaction() as conn:
                await forget(conn, ledger, found)
        except EventwriterError:
            self.drift.doubt = doubt
            raise

    @property
    def redact(self) -> frozenset[str]:
        """Keys, lower case, that are neither stored nor shown."""
        return frozenset(key.lower() for key in self.settings.redact)

    def share(self, workers: int) -> bool:
        """Know how many workers share the durable; returns whether that is news."""
        if not self.stream.is_shared or self.stream.partitions == workers:
            return False
        self.stream = self.stream.model_copy(update={"partitions": workers})
        return True

    async def widen(self, bound: Bound) -> None:
        """
        Have the consumer be as it must be for its present number of workers.

        Raises:
            Fatal, Retryable: As `bind`.
        """
        await ensure(self.api, self.wish, bound.ledger.floor())

    def _builder(self, ledger: Ledger) -> Callable[[Binding, Adjustments], RowBuilder]:
        stream = self.stream
        options = {**stream.options, "consumer": self.durable, "kind": stream.kind}

        def made(binding: Binding, tally: Adjustments) -> RowBuilder:
            build = Build(
                origin=ledger.key.origin,
                adjustments=tally,
                columns=binding.present,
                ocsf_version=self.settings.ocsf_version,
                redact=self.redact,
                options=options,
            )
            return binding.table.builder(build)

        return made

    def _line(
        self, ledger: Ledger, bindings: list[Binding], letters_binding: Binding, tracker: Tracker, created: str
    ) -> tuple[Pipeline, Pull]:
        stream, build = self.stream, self._builder(ledger)

        def target(binding: Binding) -> Target:
            return Target(build(binding, self.tally), encoder(binding))

        limits = BatchLimits(stream.batch_size, stream.max_batch_size, stream.max_batch_bytes, stream.batch_timeout_s)
        rows = Rows([target(b) for b in bindings], limits, tracker, ENCODE_ERRORS)
        letters = Letters(letters_binding, target(letters_binding))
        copy = Copy(self.postgres, ledger, bindings, letters, self.counters, self.condition.outage)
        pull = Pull(
            self.link.client,
            f"{self.api.prefix}.CONSUMER.MSG.NEXT.{stream.stream_name}.{self.durable}",
            PullLimits(stream.max_batch_size, stream.max_batch_size, stream.max_batch_bytes),
            room=lambda: self._room(line),
            patience_s=lambda: self._patience_s(line),
            on_renew=lambda: self.reclaim(line, ledger, created),
        )
        decode = Decode(deadly(os.environ, self.kind.decode), stream.ignore_subjects, stream.max_payload_bytes)
        line = Pipeline(pull, decode, rows, copy, self.ack, self.counters)
        return line, pull

    def _room(self, line: Pipeline) -> int:
        """How many more messages may be asked for: bounded in messages and in bytes."""
        if line.held_bytes() >= HELD_BATCHES * self.stream.max_batch_bytes:
            return 0
        return HELD_BATCHES * self.stream.max_batch_size - line.held_count()

    def _patience_s(self, line: Pipeline) -> float:
        due_s = line.rows.due_in_s(clock.monotonic_s())
        if due_s is None or not line.free():
            return _PATIENCE_S_MAX
        return min(_PATIENCE_S_MAX, max(0.001, due_s))

    async def ack(self, replies: list[str]) -> bool:
        """Acknowledge deliveries."""
        return await publish_answers(self.link.client, replies, ACK)

    async def keep(self, line: Pipeline) -> None:
        """Tell JetStream that what is held is being worked on, so that it does not deliver it again."""
        replies = [message.reply for message in line.held()] + line.pull.replies()
        await publish_answers(self.link.client, replies, IN_PROGRESS)

    async def reclaim(self, line: Pipeline, ledger: Ledger, created: str) -> Redelivered:
        """Have JetStream give back what nobody holds; returns and raises as `Reclaim.look`."""
        out = Reclaim(self.link.client, self.api, self.wish, created, ledger, line.held)
        return await out.look(self.stream.is_shared)

    def _warn(self, warnings: Sequence[str]) -> None:
        for warning in warnings:
            if warning not in self.warnings:
                log.warning("table differs", extra={"warning": warning})
        self.warnings = tuple(warnings)


def consumer_wish(stream: StreamSettings, durable: str, filters: tuple[str, ...]) -> ConsumerSpec:
    """Return what a worker of the entry wants its durable, over the subjects `filters`, to be."""
    workers = stream.partitions if stream.is_shared else 1
    # All that its workers may hold, what is on its way to them, and a margin for redeliveries.
    most = workers * (HELD_BATCHES + 1) * stream.max_batch_size + 1000
    return ConsumerSpec(stream.stream_name, durable, filters, stream.ack_wait_s, most, stream.start)
