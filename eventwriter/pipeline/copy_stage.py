"""
A sealed batch to the database: the stage that decides what a refusal means.

It returns only when every message of the batch is settled. A server that is away
is waited for, for ever; a batch that holds a poisonous row is taken apart until the
poison is alone; what the ledger knows is not written again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eventwriter import clock
from eventwriter.config.settings import BATCH_MESSAGES_MAX
from eventwriter.errors import EventwriterError, Fatal, Poison, Retryable
from eventwriter.model import Outcome
from eventwriter.pipeline.batch import Batch, Settled
from eventwriter.pipeline.batcher import Target
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.retry import DatabaseRetry
from eventwriter.pipeline.retry import pause_s as pause_s
from eventwriter.pipeline.splitter import BatchSizeLimit, BatchSplitter, Piece
from eventwriter.postgres.copy import AlreadyCommitted, BatchWrite, StagedTables, write_batch
from eventwriter.postgres.errors import Rejected, Verdict
from eventwriter.postgres.ledger.epochs import next_epoch
from eventwriter.postgres.ledger.ranges import difference, overlaps
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.session import PostgresSession

log = logging.getLogger(__name__)

_TRIES_MAX = 5
"""Attempts at what ought to pass soon (a deadlock, an unknown SQLSTATE) before it is treated as lasting."""
_SERVER_FULL = "53"
"""The class by which the server lacks something: more of it is waited for, as one message cannot be too much."""


class StreamRegressed(EventwriterError):
    """The stream gives sequences out again; a new epoch has begun, and the worker must bind to it."""


@dataclass(frozen=True, slots=True)
class Letters:
    """How dead letters are written: like any other table's rows."""

    binding: Binding
    target: Target


class Copy:
    """
    The stage: a batch in, a settled batch out.

    Args:
        bindings: The slot's tables, in the order of the batch's buffers.
        report: Told a sentence while the database is waited for, None when it works again.
    """

    def __init__(
        self,
        postgres: PostgresSession,
        ledger: Ledger,
        bindings: Sequence[Binding],
        letters: Letters,
        counters: Counters,
        report: Callable[[str | None], None],
    ) -> None:
        self._postgres = postgres
        self._ledger = ledger
        self._bindings = tuple(bindings)
        self._letters = letters
        self._counters = counters
        self._patience = DatabaseRetry(postgres.circuit_breaker, counters, report)
        self._most = BatchSizeLimit(BATCH_MESSAGES_MAX)
        self._stale = 0
        """How often in a row the ledger had something that its row did not show."""

    async def __call__(self, batch: Batch) -> Settled:
        """
        Settle every message of `batch`.

        Raises:
            Fatal: An operator must act; nothing of what is left was written.
            Regressed: The stream went backwards; bind again.
            EventwriterError: A table has changed; bind again.
        """
        outcomes: list[Outcome | None] = [None] * len(batch)
        already = duplicates = rows_before = 0
        pieces = BatchSplitter(len(batch), self._most.messages)
        while (piece := pieces.take()) is not None:
            fresh = await self._unknown(batch, piece)
            if len(fresh) < len(piece):
                for position in set(piece).difference(fresh):
                    outcomes[position] = Outcome.WRITTEN
                    rows_before += batch.rows[position]
                already += len(piece) - len(fresh)
            if not fresh:
                continue
            if not batch.known.isdisjoint(fresh):
                # Written now, they would be messages without rows.
                raise Retryable("the ledger no longer has what it had: what it does not have is decoded after all")
            left_out = await self._write(batch, fresh, pieces)
            if left_out is not None:
                duplicates += left_out
                for position in fresh:
                    outcomes[position] = _outcome(batch, position)
        self._most.settled()
        _tell_rejected(batch, pieces.buried)
        settled = [outcome for outcome in outcomes if outcome is not None]
        return Settled(batch, settled, already, duplicates, rows_before)

    async def _unknown(self, batch: Batch, positions: Piece) -> Piece:
        """Return the positions whose messages the ledger does not have."""
        ledger = self._ledger
        newest_known = ledger.end_seq()
        if all(batch.messages[p].stream_seq >= newest_known for p in positions):
            return positions
        known = {p for p in positions if ledger.has_message(batch.messages[p])}
        if any(ledger.shows_regression(batch.messages[p]) for p in known):
            await self._regress()
        return [p for p in positions if p not in known]

    async def _regress(self) -> None:
        """
        Begin a new epoch; raises Regressed.

        Our picture is behind the table where others are on the durable, but what it has it has with its timestamps: it
        is enough. The table, read again, might have a later timestamp of another worker's, and hide what is new.
        """

        async def begin() -> None:
            async with self._postgres.transaction() as conn:
                await next_epoch(conn, self._ledger)

        await self._patience.through(begin)
        origin = self._ledger.key.origin
        raise StreamRegressed(
            f"stream {origin.stream} gives out sequences again that the ledger knows (it lost its end, or was"
            f" restored): epoch {origin.epoch + 1} begins, what is delivered from here on is written as new"
        )

    async def _write(self, batch: Batch, piece: Piece, pieces: BatchSplitter) -> int | None:
        """Write a piece; return how many rows conflict rules left out, or None where other pieces are to be tried."""
        part = batch if len(piece) == len(batch) else batch.select(piece)
        load = self._load(part)
        started_s = clock.monotonic_s()
        try:
            left_out = await self._attempt(load)
        except AlreadyCommitted:
            await self._look_again()
            pieces.put_back(piece)
            return None
        except Rejected as rejected:
            await self._take_apart(batch, piece, pieces, rejected)
            return None
        self._stale = 0
        pieces.written(piece)
        self._counters.commits_s.append(clock.monotonic_s() - started_s)
        self._counters.last_commit_at_ns = clock.now_ns()
        self._counters.times.stage_s["commit"].observe(self._postgres.commit_s)
        self._patience.over()
        return left_out

    def _load(self, part: Batch) -> BatchWrite:
        rows: list[tuple[Binding, bytes | bytearray]] = list(zip(self._bindings, part.buffers, strict=True))
        if part.dead:
            letters = bytearray()
            target = self._letters.target
            for position in sorted(part.dead):
                letter = target.build({"poison": part.dead[position]}, part.messages[position], 0)
                assert letter is not None
                target.encode(letter, letters)
            rows.append((self._letters.binding, letters))
        covered = part.covered()
        if overlaps(covered, self._ledger.committed):
            covered = difference(covered, self._ledger.committed)
        return BatchWrite(rows, covered, part.newest())

    async def _attempt(self, load: BatchWrite) -> int:
        """
        Write once what the server's own state cannot stop; wait for the server as long as it takes.

        Returns:
            How many rows conflict rules left out.
        """
        failures = 0
        detours: dict[int, str | None] = {}

        async def write() -> int:
            return await write_batch(self._postgres, load, self._ledger, detours)

        while True:
            try:
                return await self._patience.through(write)
            except Rejected as rejected:
                if (at := _detour(load, rejected, detours)) is not None:
                    detours[at] = rejected.constraint
                    self._counters.staged_merges_total += 1
                    log.info("duplicate key; the batch goes through a staging table", extra={"error": str(rejected)})
                    continue
                if not _passes(rejected, failures):
                    raise
                await self._patience.rest(rejected, failures)
                failures += 1

    async def _look_again(self) -> None:
        """Read the ledger's row, which has something that our picture of it lacks."""
        self._stale += 1
        if self._stale > _TRIES_MAX:
            raise Fatal(
                f"the ledger {self._ledger.table} refuses what it does not have: look for a rule, a trigger or a"
                " policy on it that keeps rows from being updated"
            )

        async def look() -> None:
            async with self._postgres.transaction() as conn:
                await self._ledger.refresh(conn)

        await self._patience.through(look)

    async def _take_apart(self, batch: Batch, piece: Piece, pieces: BatchSplitter, rejected: Rejected) -> None:
        """Decide what to try after a refusal: smaller pieces, or the one message as a dead letter."""
        verdict, target = rejected.verdict, self._postgres.target
        # A duplicate gets here where no rule of its table may decide it: its messages are found like a bad value's.
        if verdict not in (Verdict.BISECT, Verdict.HALVE, Verdict.DUPLICATE):
            raise Fatal(f"PostgreSQL at {target} refuses the slot's rows: {rejected}")
        if verdict is Verdict.HALVE:
            self._most.lower(len(piece))
            if len(piece) > 1:
                pieces.halve(piece)
            elif rejected.sqlstate.startswith(_SERVER_FULL):
                await self._patience.rest(rejected, _TRIES_MAX)
                pieces.put_back(piece)
            else:
                raise Fatal(f"PostgreSQL at {target} cannot write even one message: {rejected}")
        elif rejected.at == len(self._bindings):
            raise Fatal(f"PostgreSQL at {target} refuses dead letters: {rejected}; mend {self._letters.binding.target}")
        elif len(piece) > 1:
            pieces.part(piece, _named(batch, piece, rejected))
        elif piece[0] in batch.dead:
            raise Fatal(f"PostgreSQL at {target} cannot write even one message: {rejected}")
        else:
            batch.bury(piece[0], Poison("rejected", rejected.detail, rejected.sqlstate))
            pieces.bury(piece[0])


def _passes(rejected: Rejected, failures: int) -> bool:
    """Say whether to try the same again after so many failures: a deadlock for ever, what nobody knows a few times."""
    return rejected.verdict is Verdict.AGAIN or (rejected.verdict is Verdict.UNKNOWN and failures < _TRIES_MAX)


def _named(batch: Batch, piece: Piece, rejected: Rejected) -> int | None:
    """Return the message whose row PostgreSQL named, None where it named none."""
    if rejected.at is None or rejected.line is None:
        return None
    return batch.owner_of_row(rejected.at, rejected.line, piece)


def _detour(load: BatchWrite, rejected: Rejected, detours: StagedTables) -> int | None:
    """Return the table whose conflict rule can decide about a duplicate and was not asked yet; None where none can."""
    if rejected.verdict is not Verdict.DUPLICATE or rejected.at is None or rejected.at in detours:
        return None
    return rejected.at if load.rows[rejected.at][0].table.conflict != "append" else None


def _outcome(batch: Batch, position: int) -> Outcome:
    if position in batch.dead:
        return Outcome.DEAD
    return Outcome.IGNORED if position in batch.ignored else Outcome.WRITTEN


def _tell_rejected(batch: Batch, count: int) -> None:
    """Log what PostgreSQL refused: one line for a batch, with the first of them."""
    if not count:
        return
    first = min(position for position, poison in batch.dead.items() if poison.reason == "rejected")
    poison = batch.dead[first]
    seq = batch.messages[first].stream_seq
    about = {"messages": count, "first_stream_seq": seq, "sqlstate": poison.sqlstate, "error": poison.detail}
    log.warning("messages rejected", extra=about)
