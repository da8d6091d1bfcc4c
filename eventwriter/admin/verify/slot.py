"""
The books of one slot: ask the servers in the right order, look where a look is needed, put it together.

The order makes it safe beside a running daemon: stream, then consumer, then ledger,
then rows. Acknowledged then is committed by the time the ledger is read.
"""

from dataclasses import dataclass

from eventwriter.admin.verify import rows
from eventwriter.admin.verify.judge import SEQ_MAX, Facts, JudgedSets, between, committed, judge, size, spread
from eventwriter.admin.verify.report import Gap, Report, RowsLooked, some, when
from eventwriter.config.settings import Settings
from eventwriter.errors import EventwriterError, Fatal
from eventwriter.jetstream.api import ApiError, JetStreamApi, StreamState, state_of
from eventwriter.jetstream.consumer import DESCRIPTION, ConsumerState, consumer_info
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.model import Message, Origin, SlotName
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.ledger import verify_queries
from eventwriter.postgres.ledger.ranges import Ranges, contains
from eventwriter.postgres.ledger.store import LEDGER_TABLE, filter_hash
from eventwriter.postgres.ledger.verify_queries import LedgerRow
from eventwriter.postgres.read_only import ReadOnlySession
from eventwriter.postgres.schema.catalog import read_columns


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What is asked.

    Attributes:
        asked: The range of stream sequences: the first, and the one after the last.
        limit: How many messages are looked at, at most, for gaps and again for rows.
    """

    asked: tuple[int, int] = (1, SEQ_MAX)
    limit: int = 1000


class Verifier:
    """Looks into the books of one slot, once."""

    def __init__(
        self, settings: Settings, slot: SlotName, api: JetStreamApi, reader: ReadOnlySession, wish: Wish
    ) -> None:
        self._settings, self._api, self._reader, self._wish = settings, api, reader, wish
        self._stream = settings.stream(slot.stream)
        self._durable = self._stream.durable_name(settings.consumer_name, slot.partition)
        self._filters = self._stream.filters(slot.partition)
        self._lookup = StreamReader(api, self._stream.stream_name, self._filters)
        self.report = Report(str(slot), self._stream.stream_name, self._durable)

    async def run(self) -> Report:
        """
        Return the books.

        Raises:
            Retryable: A server does not answer.
            Fatal: A server refuses a question, the ledger is not there.
        """
        report = self.report
        answer = await self._api.request(f"STREAM.INFO.{self._stream.stream_name}")
        if isinstance(answer, ApiError):
            report.trouble = f"JetStream has no stream {self._stream.stream_name!r} ({answer.description})"
            return report
        facts = await self._facts(state_of(self._stream.stream_name, answer))
        cutoffs = await self._cutoffs(facts)
        report.facts, report.judged = facts, judge(facts, cutoffs)
        await self._find_gaps(report.judged, facts, cutoffs)
        await self._prove_rows(report.judged, facts, cutoffs)
        await self._count_letters(facts)
        report.unprovable += _unprovable(facts, report.judged, report.rows, self._wish.limit)
        return report

    async def _facts(self, state: StreamState) -> Facts:
        info = await consumer_info(self._api, self._stream.stream_name, self._durable)
        async with self._reader.transaction() as conn:
            self._ledger, _ = await read_columns(conn, self._stream.schema_name, LEDGER_TABLE)
            self._letters, _ = await read_columns(conn, self._stream.schema_name, DEAD_LETTERS.name)
            found = await verify_queries.ledger_rows(conn, self._ledger, state.name, self._durable)
        # What was published meanwhile may be in the ledger already: the stream's end is asked for again.
        answer = await self._api.request(f"STREAM.INFO.{state.name}")
        if isinstance(answer, ApiError):
            raise Fatal(f"stream {state.name!r} was removed while its books were being read; verify again")
        state = state_of(state.name, answer)
        ours = info is not None and info["config"].get("description") == DESCRIPTION
        consumer = ConsumerState.of(info) if info is not None else None
        hashed = filter_hash(self._filters)
        return Facts(state, consumer, ours, found, hashed, self._wish.asked)

    async def _cutoffs(self, facts: Facts) -> dict[int, int]:
        """Return, for each epoch that is over or must be, the first sequence that has been given out again since."""
        state, found = facts.stream, dict[int, int]()
        for row in facts.current:
            over = row.epoch < facts.epoch
            if not over and not await self._is_younger(row, state):
                continue
            if not over:
                self.report.unprovable.append(
                    f"the stream went backwards: sequence {row.last_seq} is another message than the ledger's;"
                    " the daemon begins a new epoch when it is delivered or the daemon starts, and writes it as new"
                )
            cut = await self._lookup.first_after(row.last_us, state.first_seq, state.last_seq + 1)
            found[row.epoch] = min(cut, found.get(row.epoch, cut))
        return found

    async def _is_younger(self, row: LedgerRow, state: StreamState) -> bool:
        """Say whether the message at the row's last sequence is younger than all that the row knows."""
        if not state.first_seq <= row.last_seq <= state.last_seq:
            return False
        message = await self._lookup.next(row.last_seq)
        return (
            message is not None
            and message.stream_seq == row.last_seq
            and message.timestamp_ns // 1000 > row.last_us
        )  # fmt: skip

    async def _find_gaps(self, judged: JudgedSets, facts: Facts, cutoffs: dict[int, int]) -> None:
        left = self._wish.limit
        for low, high in judged.below:
            walked = await self._lookup.scan([(low, high)], left)
            left -= len(walked.messages)
            if walked.messages:
                why = (
                    "acknowledged, and not in the ledger"
                    if facts.consumer
                    else "not in the ledger, and before where a consumer made anew would begin"
                )
                await self._gap(walked.messages, walked.complete, why, facts)
            if not walked.complete:
                break
        if judged.before and not (await self._lookup.scan(judged.before, 1)).messages:
            judged.before.clear()
        if facts.consumer is not None and judged.between:
            await self._find_excess(judged.between, facts, facts.consumer)

    async def _find_excess(self, delivered: Ranges, facts: Facts, consumer: ConsumerState) -> None:
        """Find more messages that are delivered and not in the ledger than the consumer waits for."""
        if consumer.ack_pending >= self._wish.limit:
            self.report.unprovable.append(
                f"{consumer.ack_pending:,} delivered messages are unacknowledged: too many to look for"
                " acknowledged ones among them; --look raises what is looked at"
            )
            return
        walked = await self._lookup.scan(delivered, self._wish.limit)
        excess = len(walked.messages) - consumer.ack_pending
        if excess > 0:
            why = (
                f"{excess} of these are acknowledged, and none is in the ledger ({consumer.ack_pending} are waited for)"
            )
            await self._gap(walked.messages, walked.complete, why, facts)

    async def _gap(self, messages: tuple[Message, ...], complete: bool, why: str, facts: Facts) -> None:
        looked = await self._looked(list(messages), facts, {})
        found = "neither rows nor dead letters were found of them"
        if there := looked.written + looked.dead + len(looked.twice):
            found = f"rows or a dead letter were found of {there}"
        if looked.empty == len(messages):
            found = "there is nothing in them to write"
        elif looked.doubted:
            found += f", of {sum(looked.doubted.values())} it cannot be told"
        subjects = some([message.subject for message in messages])
        first, last = messages[0].stream_seq, messages[-1].stream_seq
        self.report.gaps.append(Gap(first, last, len(messages), complete, subjects, f"{why}; {found}"))

    async def _looked(self, messages: list[Message], facts: Facts, epochs: dict[int, int]) -> RowsLooked:
        looked = RowsLooked()
        origin = Origin(facts.stream.name, facts.stream.incarnation_ns, facts.epoch)
        async with self._reader.transaction() as conn:
            try:
                targets = await rows.find_targets(conn, self._stream)
            except Fatal as error:
                self.report.unprovable.append(f"rows cannot be looked for: {error}")
                return looked
            desk = rows.Desk(self._settings, self._stream, self._durable, origin, targets, self._letters)
            known = {message.stream_seq: epochs.get(message.stream_seq, facts.epoch) for message in messages}
            await rows.look(conn, desk, messages, known, looked)
        return looked

    async def _prove_rows(self, judged: JudgedSets, facts: Facts, cutoffs: dict[int, int]) -> None:
        messages = await self._lookup.sample(spread(judged.known, self._wish.limit))
        messages = [message for message in messages if contains(judged.known, message.stream_seq)]
        epochs = {message.stream_seq: _epoch_of(message.stream_seq, facts, cutoffs) for message in messages}
        looked = await self._looked(messages, facts, epochs)
        looked.of = size(judged.known)
        self.report.rows = looked
        self._gaps_of_rows(
            looked.missing, messages, "in the ledger, and neither their rows nor a dead letter are in the database"
        )
        self._gaps_of_rows(looked.twice, messages, "rows of theirs are in the database twice or more often")

    def _gaps_of_rows(self, seqs: list[int], messages: list[Message], what: str) -> None:
        """Name what is wrong with the rows of some of the messages that were looked at."""
        by_seq = {message.stream_seq: message for message in messages}
        for first, last, count in runs(seqs, list(by_seq)):
            subjects = some([by_seq[seq].subject for seq in seqs if first <= seq <= last])
            self.report.gaps.append(Gap(first, last, count, True, subjects, what))

    async def _count_letters(self, facts: Facts) -> None:
        origin = Origin(facts.stream.name, facts.stream.incarnation_ns, facts.epoch)
        known = committed(facts.current, {})
        async with self._reader.transaction() as conn:
            # The ledger was read before: a letter of a batch since is above all that it knows.
            top = known[-1][1] if known else 0
            window = (facts.asked[0], min(facts.asked[1], top))
            found = await verify_queries.count_dead_letters(conn, self._letters, origin, self._durable, known, window)
        self.report.letters = (found.letters, found.messages)
        if found.unknown and found.unknown_first is not None:
            what = "have dead letters, and are not in the ledger"
            self.report.gaps.append(Gap(found.unknown_first, found.unknown_first, found.unknown, True, (), what))


def runs(seqs: list[int], order: list[int]) -> list[tuple[int, int, int]]:
    """Join sequences that follow each other in `order`: (first, last, how many) of each run."""
    places = {seq: at for at, seq in enumerate(order)}
    found: list[tuple[int, int, int]] = []
    for seq in seqs:
        if found and places[seq] == places[found[-1][1]] + 1:
            found[-1] = (found[-1][0], seq, found[-1][2] + 1)
        else:
            found.append((seq, seq, 1))
    return found


def _epoch_of(seq: int, facts: Facts, cutoffs: dict[int, int]) -> int:
    """Return the newest epoch whose rows have a sequence."""
    return max(
        row.epoch for row in facts.current if contains(between(row.committed, 0, cutoffs.get(row.epoch, SEQ_MAX)), seq)
    )


def _unprovable(facts: Facts, judged: JudgedSets, looked: RowsLooked, limit: int) -> list[str]:
    """Say what cannot be proven, and why."""
    found = [f"of {count} of the messages looked at: {why}" for why, count in looked.doubted.items()]
    state = facts.stream
    if facts.rows and not facts.current:
        born = when(state.incarnation_ns // 1000)
        found.append(f"the stream was made anew at {born}: nothing is known yet of its present messages")
    if state.last_seq < facts.last_seq_known:
        found.append(
            f"the stream went backwards: it ends at {state.last_seq}, the ledger at {facts.last_seq_known};"
            " the daemon begins a new epoch at its next start"
        )
    if judged.gone:
        low, high = judged.gone[0][0], judged.gone[-1][1] - 1
        found.append(
            f"{size(judged.gone):,} sequences from {low} to {high} are not in the ledger and no longer in the stream:"
            " they were of subjects that the filter does not want, or dropped (limits, purge, delete) before they"
            " were written"
        )
    if judged.doubled:
        low, high = judged.doubled[0][0], judged.doubled[-1][1] - 1
        found.append(
            f"doubtful: {size(judged.doubled):,} sequences from {low} to {high} are in the ledger under several epochs:"
            " these may be there twice, or are other messages"
        )
    if judged.before:
        found.append(
            f"{size(judged.before):,} sequences up to {judged.before[-1][1] - 1} are older than this ledger and were"
            " acknowledged on a consumer that eventwriter did not make, or skipped by it: another writer's, or lost"
        )
    if looked.of > limit and looked.looked:
        found.append(
            f"rows are proven by {looked.looked:,} messages, evenly spread over {looked.of:,} sequences; --range and"
            " --look prove others"
        )
    return found


def failed(slot: SlotName, settings: Settings, error: EventwriterError) -> Report:
    """Return the report of a slot whose books cannot be looked into."""
    stream = settings.stream(slot.stream)
    durable = stream.durable_name(settings.consumer_name, slot.partition)
    return Report(str(slot), stream.stream_name, durable, trouble=str(error))
