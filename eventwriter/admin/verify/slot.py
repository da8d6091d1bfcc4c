"""
Verification of one slot: query the servers in a safe order and assemble the report.

The order stream, consumer, ledger, rows is safe beside a running daemon: whatever the consumer had
acknowledged is committed by the time the ledger is read.
"""

from dataclasses import dataclass
from itertools import pairwise

from eventwriter.admin.verify import rows
from eventwriter.admin.verify.judge import SEQ_MAX, Facts, JudgedSets, between, committed, judge, size, spread
from eventwriter.admin.verify.report import Gap, Report, RowLookups, UnjustifiedEpoch, some, when
from eventwriter.config.settings import Settings
from eventwriter.errors import EventwriterError, Fatal
from eventwriter.jetstream.api import ApiError, JetStreamApi, StreamState, state_of, stored_us
from eventwriter.jetstream.consumer import DESCRIPTION, ConsumerState, consumer_info
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.model import Message, Origin, SlotName
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.ledger import verify_queries
from eventwriter.postgres.ledger.ranges import Ranges, contains
from eventwriter.postgres.ledger.store import LEDGER_TABLE, filter_hash
from eventwriter.postgres.ledger.verify_queries import LastMessage, LedgerRow
from eventwriter.postgres.read_only import ReadOnlySession
from eventwriter.postgres.schema.catalog import read_columns


@dataclass(frozen=True, slots=True)
class Options:
    """
    Options of a verification.

    Attributes:
        requested: Range of stream sequences: the first, and the one after the last.
        limit: Messages to look up, at most, for gaps and again for rows.
    """

    requested: tuple[int, int] = (1, SEQ_MAX)
    limit: int = 1000


class Verifier:
    """Verifies one slot once."""

    def __init__(
        self, settings: Settings, slot: SlotName, api: JetStreamApi, reader: ReadOnlySession, options: Options
    ) -> None:
        self._settings, self._api, self._reader, self._options = settings, api, reader, options
        self._stream = settings.stream(slot.stream)
        self._durable = self._stream.durable_name(settings.consumer_name, slot.partition)
        self._filters = self._stream.filters(slot.partition)
        self._lookup = StreamReader(api, self._stream.stream_name, self._filters)
        self._last_messages: list[LastMessage] = []
        self.report = Report(str(slot), self._stream.stream_name, self._durable)

    async def run(self) -> Report:
        """
        Return the report.

        Raises:
            Retryable: A server is unreachable.
            Fatal: A server rejected a query, or the ledger is missing.
        """
        report = self.report
        answer = await self._api.request(f"STREAM.INFO.{self._stream.stream_name}")
        if isinstance(answer, ApiError):
            report.trouble = f"JetStream has no stream {self._stream.stream_name!r} ({answer.description})"
            return report
        facts = await self._facts(state_of(self._stream.stream_name, answer))
        cutoffs = await self._cutoffs(facts)
        report.facts, report.judged = facts, judge(facts, cutoffs)
        await self._find_unjustified_epochs(report.judged, facts)
        await self._find_gaps(report.judged, facts, cutoffs)
        await self._prove_rows(report.judged, facts, cutoffs)
        await self._count_dead_letters(facts)
        report.unprovable += _unprovable(facts, report.judged, report.rows, self._options.limit)
        return report

    async def _facts(self, state: StreamState) -> Facts:
        info = await consumer_info(self._api, self._stream.stream_name, self._durable)
        async with self._reader.transaction() as conn:
            self._ledger, _ = await read_columns(conn, self._stream.schema_name, LEDGER_TABLE)
            self._dead_letters, _ = await read_columns(conn, self._stream.schema_name, DEAD_LETTERS.name)
            found = await verify_queries.ledger_rows(conn, self._ledger, state.name, self._durable)
            self._last_messages = await verify_queries.last_messages(
                conn, self._ledger, state.name, state.incarnation_ns
            )
        # Messages published in the meantime may be in the ledger already, so the stream is read again.
        answer = await self._api.request(f"STREAM.INFO.{state.name}")
        if isinstance(answer, ApiError):
            raise Fatal(f"stream {state.name!r} was deleted during the verification; run it again")
        state = state_of(state.name, answer)
        ours = info is not None and info["config"].get("description") == DESCRIPTION
        consumer = ConsumerState.of(info) if info is not None else None
        hashed = filter_hash(self._filters)
        return Facts(state, consumer, ours, found, hashed, self._options.requested)

    async def _cutoffs(self, facts: Facts) -> dict[int, int]:
        """Return, for each epoch that is closed or must be, the first sequence that was reused since."""
        state, found = facts.stream, dict[int, int]()
        for row in facts.current:
            closed = row.epoch < facts.epoch
            if not closed and not await self._is_younger(row, state):
                continue
            if not closed:
                self.report.unprovable.append(
                    f"the stream went backwards: the message with sequence {row.last_seq} is not the one in the ledger;"
                    " the daemon begins a new epoch when it detects this, and writes the new messages"
                )
            cut = await self._lookup.first_after(row.last_us, state.first_seq, state.last_seq + 1)
            found[row.epoch] = min(cut, found.get(row.epoch, cut))
        return found

    async def _is_younger(self, row: LedgerRow, state: StreamState) -> bool:
        """Return whether the message at the row's last sequence is newer than the row."""
        if not state.first_seq <= row.last_seq <= state.last_seq:
            return False
        message = await self._lookup.next(row.last_seq)
        return (
            message is not None
            and message.stream_seq == row.last_seq
            and message.timestamp_ns // 1000 > row.last_us
        )  # fmt: skip

    async def _find_unjustified_epochs(self, judged: JudgedSets, facts: Facts) -> None:
        """Find epochs that were closed although the stream still has the last message of each of their rows."""
        epochs = sorted({last.epoch for last in self._last_messages} | {facts.epoch})
        for previous, epoch in pairwise(epochs):
            closed = [last for last in self._last_messages if last.epoch == previous]
            times = [await stored_us(self._api, facts.stream.name, last.last_seq) for last in closed]
            if times != [last.last_us for last in closed]:
                continue
            newest = closed[-1]
            self.report.unjustified_epochs.append(
                UnjustifiedEpoch(epoch, previous, newest.last_seq, newest.last_us, size(judged.ambiguous))
            )

    async def _find_gaps(self, judged: JudgedSets, facts: Facts, cutoffs: dict[int, int]) -> None:
        remaining = self._options.limit
        for low, high in judged.acknowledged:
            scan = await self._lookup.scan([(low, high)], remaining)
            remaining -= len(scan.messages)
            if scan.messages:
                why = (
                    "acknowledged, but not in the ledger"
                    if facts.consumer
                    else "not in the ledger, and before the start of a recreated consumer"
                )
                await self._gap(scan.messages, scan.complete, why, facts)
            if not scan.complete:
                break
        if judged.predating and not (await self._lookup.scan(judged.predating, 1)).messages:
            judged.predating.clear()
        if facts.consumer is not None and judged.delivered:
            await self._find_excess(judged.delivered, facts, facts.consumer)

    async def _find_excess(self, delivered: Ranges, facts: Facts, consumer: ConsumerState) -> None:
        """Find delivered messages that are missing from the ledger although the consumer does not wait for them."""
        if consumer.ack_pending >= self._options.limit:
            self.report.unprovable.append(
                f"{consumer.ack_pending:,} delivered messages are unacknowledged, too many to search for"
                " acknowledged ones among them; raise the limit with --look"
            )
            return
        scan = await self._lookup.scan(delivered, self._options.limit)
        excess = len(scan.messages) - consumer.ack_pending
        if excess > 0:
            why = f"{excess} of these are acknowledged, but none is in the ledger ({consumer.ack_pending} are pending)"
            await self._gap(scan.messages, scan.complete, why, facts)

    async def _gap(self, messages: tuple[Message, ...], complete: bool, why: str, facts: Facts) -> None:
        lookups = await self._look_up(list(messages), facts, {})
        found = "neither rows nor dead letters exist"
        if existing := lookups.written + lookups.dead + len(lookups.duplicated):
            found = f"rows or a dead letter exist for {existing}"
        if lookups.empty == len(messages):
            found = "they contain nothing to write"
        elif lookups.inconclusive:
            found += f", {sum(lookups.inconclusive.values())} are inconclusive"
        subjects = some([message.subject for message in messages])
        first, last = messages[0].stream_seq, messages[-1].stream_seq
        self.report.gaps.append(Gap(first, last, len(messages), complete, subjects, f"{why}; {found}"))

    async def _look_up(self, messages: list[Message], facts: Facts, epochs: dict[int, int]) -> RowLookups:
        lookups = RowLookups()
        origin = Origin(facts.stream.name, facts.stream.incarnation_ns, facts.epoch)
        async with self._reader.transaction() as conn:
            try:
                targets = await rows.find_targets(conn, self._stream)
            except Fatal as error:
                self.report.unprovable.append(f"rows cannot be looked up: {error}")
                return lookups
        context = rows.LookupContext(self._settings, self._stream, self._durable, origin, targets, self._dead_letters)
        known = {message.stream_seq: epochs.get(message.stream_seq, facts.epoch) for message in messages}
        await rows.look_up(self._reader, context, messages, known, lookups)
        return lookups

    async def _prove_rows(self, judged: JudgedSets, facts: Facts, cutoffs: dict[int, int]) -> None:
        messages = await self._lookup.sample(spread(judged.known, self._options.limit))
        messages = [message for message in messages if contains(judged.known, message.stream_seq)]
        epochs = {message.stream_seq: _epoch_of(message.stream_seq, facts, cutoffs) for message in messages}
        lookups = await self._look_up(messages, facts, epochs)
        lookups.of = size(judged.known)
        self.report.rows = lookups
        self._gaps_of_rows(
            lookups.missing, messages, "in the ledger, but neither their rows nor a dead letter are in the database"
        )
        self._gaps_of_rows(lookups.duplicated, messages, "their rows are in the database more than once")

    def _gaps_of_rows(self, seqs: list[int], messages: list[Message], what: str) -> None:
        """Report missing or duplicated rows of the messages that were looked up."""
        by_seq = {message.stream_seq: message for message in messages}
        for first, last, count in runs(seqs, list(by_seq)):
            subjects = some([by_seq[seq].subject for seq in seqs if first <= seq <= last])
            self.report.gaps.append(Gap(first, last, count, True, subjects, what))

    async def _count_dead_letters(self, facts: Facts) -> None:
        origin = Origin(facts.stream.name, facts.stream.incarnation_ns, facts.epoch)
        known = committed(facts.current, {})
        async with self._reader.transaction() as conn:
            # The ledger was read earlier; dead letters of later batches are above its last sequence.
            top = known[-1][1] if known else 0
            window = (facts.requested[0], min(facts.requested[1], top))
            found = await verify_queries.count_dead_letters(
                conn, self._dead_letters, origin, self._durable, known, window
            )
        self.report.dead_letters = (found.letters, found.messages)
        if found.unknown and found.unknown_first is not None:
            what = "have dead letters, but are not in the ledger"
            self.report.gaps.append(Gap(found.unknown_first, found.unknown_first, found.unknown, True, (), what))


def runs(seqs: list[int], order: list[int]) -> list[tuple[int, int, int]]:
    """Join sequences that are adjacent in `order`; return first, last and length of each run."""
    places = {seq: at for at, seq in enumerate(order)}
    found: list[tuple[int, int, int]] = []
    for seq in seqs:
        if found and places[seq] == places[found[-1][1]] + 1:
            found[-1] = (found[-1][0], seq, found[-1][2] + 1)
        else:
            found.append((seq, seq, 1))
    return found


def _epoch_of(seq: int, facts: Facts, cutoffs: dict[int, int]) -> int:
    """Return the newest epoch whose ledger rows contain a sequence."""
    return max(
        row.epoch for row in facts.current if contains(between(row.committed, 0, cutoffs.get(row.epoch, SEQ_MAX)), seq)
    )


def _unprovable(facts: Facts, judged: JudgedSets, lookups: RowLookups, limit: int) -> list[str]:
    """Return what cannot be proven, and why."""
    found = [f"{count} of the messages looked up: {why}" for why, count in lookups.inconclusive.items()]
    state = facts.stream
    if facts.rows and not facts.current:
        created = when(state.incarnation_ns // 1000)
        found.append(f"the stream was recreated at {created}; the ledger has nothing about its current messages yet")
    if state.last_seq < facts.last_seq_known:
        found.append(
            f"the stream went backwards: it ends at {state.last_seq}, the ledger at {facts.last_seq_known};"
            " the daemon begins a new epoch at its next start"
        )
    if judged.removed:
        found.append(gone_message(judged.removed))
    if judged.ambiguous:
        low, high = judged.ambiguous[0][0], judged.ambiguous[-1][1] - 1
        found.append(
            f"{size(judged.ambiguous):,} sequences from {low} to {high} are in the ledger under several epochs:"
            " they are duplicates, or different messages"
        )
    if judged.predating:
        found.append(
            f"{size(judged.predating):,} sequences up to {judged.predating[-1][1] - 1} are older than this ledger and"
            " were acknowledged or skipped by a consumer that eventwriter did not create: written by another writer, or"
            " lost"
        )
    if lookups.of > limit and lookups.messages:
        found.append(
            f"rows are verified for a sample of {lookups.messages:,} messages from {lookups.of:,} sequences; select"
            " others with --range and --look"
        )
    return found


def gone_message(removed: Ranges) -> str:
    """Return the sentence about sequences that are neither in the ledger nor in the stream."""
    low, high = removed[0][0], removed[-1][1] - 1
    return (
        f"{size(removed):,} sequences from {low} to {high} are not in the ledger and no longer in the stream: their"
        " subjects do not match the filter, or they were dropped (limits, purge, delete) before they were written"
    )


def failed(slot: SlotName, settings: Settings, error: EventwriterError) -> Report:
    """Return the report of a slot that cannot be verified."""
    stream = settings.stream(slot.stream)
    durable = stream.durable_name(settings.consumer_name, slot.partition)
    return Report(str(slot), stream.stream_name, durable, trouble=str(error))
