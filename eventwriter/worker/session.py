"""
A session: one worker bound to its stream and its tables, with the pipeline between them.

The builder keeps an order. Tables come before the consumer, so that no message is pulled that cannot be written. The
ledger comes before the consumer, because a missing consumer is created at the ledger's floor.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eventwriter.errors import EventwriterError
from eventwriter.jetstream.api import StreamState, stream_state
from eventwriter.jetstream.consumer import ConsumerState, ensure
from eventwriter.jetstream.credit import PullLimits
from eventwriter.jetstream.pull import Pull
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.model import Adjustments, Origin
from eventwriter.pipeline.batcher import Batcher, BatchLimits, RowWriter
from eventwriter.pipeline.copy_stage import CopyStage, DeadLetterTarget
from eventwriter.pipeline.coverage import CoverageTracker
from eventwriter.pipeline.decode import DecodeStage
from eventwriter.pipeline.held import HeldMessages
from eventwriter.pipeline.pipeline import Pipeline
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.encode import ENCODE_ERRORS, encoder
from eventwriter.postgres.ledger.epochs import close_older_epochs, find_ledger_table, open_ledger, start_epoch
from eventwriter.postgres.ledger.ranges import difference
from eventwriter.postgres.ledger.store import Ledger, LedgerKey, filter_hash
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.tables.table import Build, RowBuilder, Table
from eventwriter.worker.consumer_watch import skipped_messages
from eventwriter.worker.context import WorkerContext
from eventwriter.worker.flow_control import FlowControl
from eventwriter.worker.ledger_compactor import LedgerCompactor
from eventwriter.worker.reconnect_check import ReconnectCheck
from eventwriter.worker.redelivery import Redelivery
from eventwriter.worker.regression import RegressionCheck, Verdict
from eventwriter.worker.table_binding import RealTable, Rebind, find_table, find_tables, recheck

log = logging.getLogger(__name__)

MakeBuilder = Callable[[Binding, Adjustments], RowBuilder]


@dataclass(slots=True)
class Session:
    """
    One worker bound to both servers.

    Attributes:
        consumer: The consumer as it was when the session began.
        make_builder: Makes a row builder that counts its adjustments.
        tracker: Follows the consumer's deliveries.
    """

    pipeline: Pipeline
    pull: Pull
    flow: FlowControl
    held: HeldMessages
    ledger: Ledger
    compactor: LedgerCompactor
    consumer: ConsumerState
    tracker: CoverageTracker
    bindings: Sequence[Binding]
    make_builder: MakeBuilder

    async def run(self) -> None:
        """
        Run the pipeline until it is drained.

        Raises: as `Pipeline.run`.
        """
        try:
            await self.pipeline.run()
        finally:
            await self.pull.close()

    async def send_in_progress(self) -> None:
        """Reset the ack wait of every delivery that the session holds."""
        await self.flow.send_in_progress(self.pull.replies())

    def tap_builders(self) -> list[tuple[Table, RowBuilder]]:
        """Return row builders that repeat the pipeline's rows for a tap, without counting adjustments."""
        return [(binding.table, self.make_builder(binding, Adjustments())) for binding in self.bindings]


class _Database(NamedTuple):
    """What the database has for a slot."""

    tables: list[RealTable]
    dead_letters: RealTable
    ledger_table: str


class SessionBuilder:
    """Builds the sessions of one worker, one after the other, over the same two connections."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    async def build(self) -> Session:
        """
        Look up stream, tables, ledger and consumer, and connect the stages.

        Raises:
            Fatal: An operator must act.
            Retryable: A server is unavailable.
        """
        context = self._context
        stream = await stream_state(context.api, context.stream.stream_name)
        database = await self._read_tables()
        check = RegressionCheck(context.api, stream.name, context.durable, stream.incarnation_ns)
        ledger, verdict = await self._open_ledger(database.ledger_table, stream, check)
        bindings = [table.bind(context.adjustments) for table in database.tables]
        self._warn(database.tables, bindings)
        context.postgres.on_connect = check_connection([*database.tables, database.dead_letters], ledger)
        await self._repair_ledger(ledger)
        consumer = await ensure(context.api, context.consumer_spec, start_seq(ledger, verdict))
        await self._record_first_seq(ledger, consumer)
        return self._connect_stages(bindings, database.dead_letters.bind(), ledger, check, consumer)

    async def _read_tables(self) -> _Database:
        context = self._context
        schema = context.stream.schema_name
        context.postgres.on_connect = None
        async with context.postgres.transaction() as conn:
            tables = await find_tables(conn, context.stream, context.kind)
            dead_letters = await find_table(conn, schema, DEAD_LETTERS)
            return _Database(tables, dead_letters, await find_ledger_table(conn, schema))

    async def _open_ledger(self, table: str, stream: StreamState, check: RegressionCheck) -> tuple[Ledger, Verdict]:
        """Open the ledger, in a new epoch if the stream went backwards."""
        context = self._context
        key = LedgerKey(Origin(stream.name, stream.incarnation_ns, 0), context.durable, filter_hash(context.filters))
        async with context.postgres.transaction() as conn:
            ledger = await open_ledger(conn, table, key)
        # Not within a transaction, because the check may take some seconds.
        verdict, stream = await check.verdict(ledger)
        async with context.postgres.transaction() as conn:
            if verdict is Verdict.REGRESSED:
                ledger = await start_epoch(conn, ledger)
            ledger.closed_epochs = await close_older_epochs(conn, ledger, stream.now_ns // 1000)
            await context.quarantine.read(conn, ledger)
        return ledger, verdict

    def _warn(self, tables: Sequence[RealTable], bindings: Sequence[Binding]) -> None:
        """Log the differences between tables and definitions that were not logged for the session before."""
        context = self._context
        warnings = tuple(
            warning
            for table, binding in zip(tables, bindings, strict=True)
            for warning in (*binding.warnings, *table.warnings(binding))
        )
        for warning in warnings:
            if warning not in context.warnings:
                log.warning("table differs", extra={"warning": warning})
        context.warnings = warnings
        context.tables = tuple(dict.fromkeys(table.table.name for table in tables))

    async def _repair_ledger(self, ledger: Ledger) -> None:
        """Remove from the ledger the messages that the consumer skipped while it had another filter."""
        context = self._context
        unverified, context.consumer_watch.unverified = context.consumer_watch.unverified, None
        if unverified is None:
            return
        try:
            skipped = await skipped_messages(context.api, context.consumer_spec, unverified, ledger.last_seq + 1)
            async with context.postgres.transaction() as conn:
                await ledger.remove(conn, skipped)
        except EventwriterError:
            context.consumer_watch.unverified = unverified
            raise

    async def _record_first_seq(self, ledger: Ledger, consumer: ConsumerState) -> None:
        """Record where the consumer starts, before the first batch in this epoch is written."""
        if ledger.first_seq is not None and (ledger.committed or ledger.key.origin.epoch):
            return
        async with self._context.postgres.transaction() as conn:
            await ledger.set_first_seq(conn, consumer.ack_floor_stream_seq + 1)

    def _connect_stages(
        self,
        bindings: Sequence[Binding],
        dead_letters: Binding,
        ledger: Ledger,
        check: RegressionCheck,
        consumer: ConsumerState,
    ) -> Session:
        context = self._context
        make_builder = self._make_builder(ledger)
        tracker = CoverageTracker(consumer.delivered_consumer_seq, consumer.delivered_stream_seq)
        held = HeldMessages(self._batcher(bindings, make_builder, tracker))
        flow = FlowControl(context.nats.client, held, context.stream)
        pull = self._pull(flow, held, ledger, check, consumer.created)
        flow.check.held = lambda: held.messages() + pull.received()
        letters = DeadLetterTarget(dead_letters, self._target(dead_letters, make_builder))
        copy = CopyStage(context.postgres, ledger, bindings, letters, context.counters, context.status.set_outage)
        stream = context.stream
        decode = DecodeStage(context.kind.decode, stream.ignore_subjects, stream.max_payload_bytes, context.adjustments)
        pipeline = Pipeline(pull, decode, held, copy, flow.ack, context.counters)
        pipeline.quarantine = context.quarantine.open(
            ledger, consumer.delivered_stream_seq if consumer.ack_pending else 0
        )
        reader = StreamReader(context.api, context.stream.stream_name, context.filters)
        compactor = LedgerCompactor(context.postgres, ledger, reader, context.durable)
        return Session(pipeline, pull, flow, held, ledger, compactor, consumer, tracker, bindings, make_builder)

    def _make_builder(self, ledger: Ledger) -> MakeBuilder:
        context = self._context
        stream = context.stream
        options = {**stream.options, "consumer": context.durable, "kind": stream.kind}

        def make_builder(binding: Binding, adjustments: Adjustments) -> RowBuilder:
            build = Build(
                origin=ledger.key.origin,
                adjustments=adjustments,
                columns=binding.present,
                ocsf_version=context.settings.ocsf_version,
                redact=context.redact,
                options=options,
            )
            return binding.table.builder(build)

        return make_builder

    def _target(self, binding: Binding, make_builder: MakeBuilder) -> RowWriter:
        return RowWriter(make_builder(binding, self._context.adjustments), encoder(binding))

    def _batcher(self, bindings: Sequence[Binding], make_builder: MakeBuilder, tracker: CoverageTracker) -> Batcher:
        stream = self._context.stream
        limits = BatchLimits(stream.batch_size, stream.max_batch_size, stream.max_batch_bytes, stream.batch_timeout_s)
        return Batcher([self._target(binding, make_builder) for binding in bindings], limits, tracker, ENCODE_ERRORS)

    def _pull(
        self, flow: FlowControl, held: HeldMessages, ledger: Ledger, check: RegressionCheck, created: str
    ) -> Pull:
        context = self._context
        stream = context.stream

        async def check_stream() -> Verdict:
            if stream.is_shared:
                # Other workers write too, and the messages that they have written must not be missing in the stream.
                async with context.postgres.transaction() as conn:
                    await ledger.refresh(conn)
            return (await check.verdict(ledger))[0]

        nats, spec = context.nats.client, context.consumer_spec
        flow.check = ReconnectCheck(nats, context.api, spec, created, check_stream, held.messages)
        redelivery = Redelivery(nats, context.api, spec, flow.check, held)
        return Pull(
            context.nats.client,
            f"{context.api.prefix}.CONSUMER.MSG.NEXT.{stream.stream_name}.{context.durable}",
            PullLimits(stream.max_batch_size, stream.max_batch_size, stream.max_batch_bytes),
            flow.room,
            flow.idle_wait_s,
            on_renew=lambda: redelivery.request(shared=context.stream.is_shared),
        )


def start_seq(ledger: Ledger, verdict: Verdict) -> int | None:
    """
    Return where a missing consumer starts: at the first sequence that the ledger lacks; None for the specified start.

    A stream that seems to have lost its end may have assigned any sequence of the ledger again. The consumer then
    starts where the ledger starts, and the timestamps of the messages tell which of them are new.
    """
    resume_seq = ledger.resume_seq()
    if resume_seq is None or verdict is Verdict.CONSISTENT:
        return resume_seq
    return ledger.first_seq or 1


def check_connection(tables: Sequence[RealTable], ledger: Ledger) -> Callable[[Connection], Awaitable[None]]:
    """
    Return a check for new connections: tables and ledger must be those that the session is bound to.

    After a failover to a standby that lacked transactions, the ledger has lost sequences. The session must not treat
    their messages as written.
    """
    check_tables = recheck(tables)

    async def check(conn: Connection) -> None:
        await check_tables(conn)
        committed = ledger.committed
        await ledger.refresh(conn)
        if lost := difference(committed, ledger.committed):
            first, messages = lost[0][0], sum(high - low for low, high in lost)
            log.error(
                "the database has lost committed messages, as after a failover to a standby that lacked them",
                extra={"stream": ledger.key.origin.stream, "first_seq": first, "sequences": messages},
            )
            raise Rebind(f"the ledger has lost sequence {first} and others", code="ledger_lost_sequences")

    return check
