"""
The copy stage: settles a sealed batch in the database, and decides what to do about errors.

It returns only when every message of the batch is settled. If the server is unavailable, it
retries until the server returns. A batch with rejected rows is split until each bad message is
alone. Messages that are in the ledger are not written again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eventwriter import clock
from eventwriter.config.settings import BATCH_MESSAGES_MAX
from eventwriter.errors import EventwriterError, Fatal, Poison, Retryable
from eventwriter.model import Outcome
from eventwriter.pipeline.batch import Batch, Settled
from eventwriter.pipeline.batcher import RowWriter
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.retry import DatabaseRetry
from eventwriter.pipeline.splitter import BatchSizeLimit, BatchSplitter, Piece
from eventwriter.postgres.copy import AlreadyCommitted, BatchWrite, StagedTables, write_batch
from eventwriter.postgres.errors import Rejected, Verdict
from eventwriter.postgres.ledger.epochs import start_epoch
from eventwriter.postgres.ledger.ranges import difference, overlaps
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.session import PostgresSession
from eventwriter.postgres.violations import SQLSTATES, Violation, find_violations

log = logging.getLogger(__name__)

_ATTEMPTS_MAX = 5
"""Attempts after an error that normally passes (a deadlock, an unknown SQLSTATE) before it counts as permanent."""
_SEARCHED_MIN = 8
"""Messages in a piece from which on a search for all violations costs less than splitting."""
_INSUFFICIENT_RESOURCES = "53"
"""SQLSTATE class for a lack of disk space, memory or connections; retried, as one message cannot be the cause."""


class StreamRegressed(EventwriterError):
    """A new epoch has begun because the stream assigns known sequences to new messages; the worker must bind again."""

    default_code = "stream_regressed"


@dataclass(frozen=True, slots=True)
class DeadLetterTarget:
    """Table of dead letters, which are written like the rows of any other table."""

    binding: Binding
    writer: RowWriter


class CopyStage:
    """
    Settles sealed batches, one at a time.

    Args:
        bindings: Tables of the slot, in the order of a batch's buffers.
        set_outage: Called with the reason while the database is unavailable, and with None after success.
    """

    def __init__(
        self,
        postgres: PostgresSession,
        ledger: Ledger,
        bindings: Sequence[Binding],
        dead_letters: DeadLetterTarget,
        counters: Counters,
        set_outage: Callable[[str | None], None],
    ) -> None:
        self._postgres = postgres
        self._ledger = ledger
        self._bindings = tuple(bindings)
        self._dead_letters = dead_letters
        self._counters = counters
        self._retry = DatabaseRetry(postgres.circuit_breaker, counters, set_outage)
        self._size_limit = BatchSizeLimit(BATCH_MESSAGES_MAX)
        self._stale_reads = 0
        """How often in a row the ledger rejected sequences that its row did not contain."""

    async def __call__(self, batch: Batch) -> Settled:
        """
        Settle every message of `batch`.

        Raises:
            Fatal: An operator must act; the remaining messages were not written.
            StreamRegressed: The stream went backwards; bind again.
            EventwriterError: A table has changed; bind again.
        """
        self._require_confirmed_stream(batch)
        outcomes: list[Outcome | None] = [None] * len(batch)
        already_written = duplicates = rows_already_written = 0
        pieces = BatchSplitter(len(batch), self._size_limit.messages)
        while (piece := pieces.take()) is not None:
            new = await self._not_in_ledger(batch, piece)
            if len(new) < len(piece):
                await self._confirm_ledger()
                for position in set(piece).difference(new):
                    outcomes[position] = Outcome.WRITTEN
                    rows_already_written += batch.rows[position]
                already_written += len(piece) - len(new)
            if not new:
                continue
            if not batch.known.isdisjoint(new):
                # These messages were not decoded; writing them now would settle them without rows.
                raise Retryable("the ledger has lost sequences that it had; their messages must be decoded first")
            skipped = await self._write(batch, new, pieces)
            if skipped is not None:
                duplicates += skipped
                for position in new:
                    outcomes[position] = _outcome(batch, position)
        self._size_limit.batch_settled()
        _log_rejected(batch, pieces.rejected)
        settled = [outcome for outcome in outcomes if outcome is not None]
        return Settled(batch, settled, already_written, duplicates, rows_already_written)

    def _require_confirmed_stream(self, batch: Batch) -> None:
        """Raise StreamRegressed if the stream must be checked again before messages beyond the ledger are written."""
        ledger = self._ledger
        if ledger.is_suspect and batch.newest().stream_seq > ledger.last_seq:
            raise StreamRegressed(
                f"stream {ledger.key.origin.stream} seemed to end before sequence {ledger.last_seq} of the ledger, and"
                " has later messages now; it is checked again before they are written",
                code="stream_unconfirmed",
            )

    async def _confirm_ledger(self) -> None:
        """Wait until the synchronous standby, if there is one, has what the ledger had when it was read."""
        if self._ledger.confirmed:
            return

        async def touch() -> None:
            async with self._postgres.transaction() as conn:
                await self._ledger.touch(conn)

        await self._retry.run(touch)
        self._ledger.confirmed = True

    async def _not_in_ledger(self, batch: Batch, positions: Piece) -> Piece:
        """Return the positions of the messages that are not in the ledger."""
        ledger = self._ledger
        end_seq = ledger.end_seq()
        if all(batch.messages[p].stream_seq >= end_seq for p in positions):
            return positions
        known = {p for p in positions if ledger.has_message(batch.messages[p])}
        if any(ledger.shows_regression(batch.messages[p]) for p in known):
            await self._begin_epoch()
        return [p for p in positions if p not in known]

    async def _begin_epoch(self) -> None:
        """
        Begin a new epoch; always raises StreamRegressed.

        The ledger is not read again before. If workers share the durable, the table may be ahead of this worker's
        copy, with a later timestamp that would hide that the stream went backwards. The copy has every sequence
        with its own timestamp, which is sufficient.
        """

        async def begin() -> None:
            async with self._postgres.transaction() as conn:
                await start_epoch(conn, self._ledger)

        await self._retry.run(begin)
        origin = self._ledger.key.origin
        raise StreamRegressed(
            f"stream {origin.stream} assigns sequences again that are in the ledger, because it lost its end or was"
            f" restored; epoch {origin.epoch + 1} begins, and messages are written as new from here on"
        )

    async def _write(self, batch: Batch, piece: Piece, pieces: BatchSplitter) -> int | None:
        """Write a piece; return the number of rows skipped by conflict rules, or None if other pieces must be tried."""
        part = batch if len(piece) == len(batch) else batch.select(piece)
        write = self._batch_write(part)
        started_s = clock.monotonic_s()
        try:
            skipped = await self._write_with_retry(write)
        except AlreadyCommitted:
            await self._refresh_ledger()
            pieces.put_back(piece)
            return None
        except Rejected as rejected:
            await self._split(batch, piece, pieces, rejected)
            return None
        self._stale_reads = 0
        pieces.mark_written(piece)
        self._counters.commits_s.append(clock.monotonic_s() - started_s)
        self._counters.last_commit_at_ns = clock.now_ns()
        self._counters.times.stage_s["commit"].observe(self._postgres.commit_s)
        self._retry.succeeded()
        return skipped

    def _batch_write(self, part: Batch) -> BatchWrite:
        rows: list[tuple[Binding, bytes | bytearray]] = list(zip(self._bindings, part.buffers, strict=True))
        if part.dead:
            rows.append((self._dead_letters.binding, self._encode_dead_letters(part)))
        covered = part.covered()
        if overlaps(covered, self._ledger.committed):
            covered = difference(covered, self._ledger.committed)
        return BatchWrite(rows, covered, part.newest())

    def _encode_dead_letters(self, part: Batch) -> bytearray:
        buffer, writer = bytearray(), self._dead_letters.writer
        for position in sorted(part.dead):
            row = writer.build({"poison": part.dead[position]}, part.messages[position], 0)
            assert row is not None, "the builder of dead letters declines no record"
            writer.encode(row, buffer)
        return buffer

    async def _write_with_retry(self, write: BatchWrite) -> int:
        """
        Write once; retry while the state of the server prevents it.

        Returns:
            The number of rows skipped by conflict rules.
        """
        failures = 0
        staged: dict[int, str | None] = {}

        async def attempt() -> int:
            return await write_batch(self._postgres, write, self._ledger, staged)

        while True:
            try:
                return await self._retry.run(attempt)
            except Rejected as rejected:
                if (table := _table_to_stage(write, rejected, staged)) is not None:
                    staged[table] = rejected.constraint
                    self._counters.staged_merges_total += 1
                    log.info("duplicate key; writing the batch through a staging table", extra={"error": str(rejected)})
                    continue
                if not _is_transient(rejected, failures):
                    raise
                await self._retry.wait(rejected, failures)
                failures += 1

    async def _refresh_ledger(self) -> None:
        """Read the row of the ledger, which has sequences that this worker's copy of it lacks."""
        self._stale_reads += 1
        if self._stale_reads > _ATTEMPTS_MAX:
            raise Fatal(
                f"updates of the ledger {self._ledger.table} have no effect",
                code="ledger_not_updated",
                hint="look for a rule, a trigger or a row-level security policy on it that prevents updates",
            )

        async def refresh() -> None:
            async with self._postgres.transaction() as conn:
                await self._ledger.refresh(conn)

        await self._retry.run(refresh)
        if self._ledger.is_closed:
            origin = self._ledger.key.origin
            raise StreamRegressed(
                f"another worker has started a newer epoch of stream {origin.stream} than {origin.epoch}",
                code="epoch_closed",
            )

    async def _split(self, batch: Batch, piece: Piece, pieces: BatchSplitter, rejected: Rejected) -> None:
        """Decide what to try after PostgreSQL rejected a piece: smaller pieces, or one message as a dead letter."""
        verdict, target = rejected.verdict, self._postgres.target
        # A duplicate key that no conflict rule may resolve is located like any other bad value.
        if verdict not in (Verdict.BISECT, Verdict.HALVE, Verdict.DUPLICATE):
            raise Fatal(f"PostgreSQL at {target} rejects the rows of the slot: {rejected}", code="rows_rejected")
        if verdict is Verdict.HALVE:
            await self._reduce(piece, pieces, rejected)
        elif rejected.at == len(self._bindings):
            raise Fatal(
                f"PostgreSQL at {target} rejects dead letters: {rejected}",
                code="dead_letters_rejected",
                hint=f"correct table {self._dead_letters.binding.target}",
            )
        elif (found := await self._find_violations(batch, piece, pieces, rejected)) is not None:
            batch.reject(found)
            pieces.reject(*found)
            if rest := [position for position in piece if position not in found]:
                pieces.put_back(rest)
        elif len(piece) > 1:
            pieces.split(piece, _named_position(batch, piece, rejected))
        elif piece[0] in batch.dead:
            raise self._cannot_write_one(rejected)
        else:
            batch.reject({piece[0]: Poison("rejected", rejected.detail, rejected.sqlstate)})
            pieces.reject(piece[0])

    async def _find_violations(
        self, batch: Batch, piece: Piece, pieces: BatchSplitter, rejected: Rejected
    ) -> dict[int, Poison] | None:
        """
        Find all messages of a piece that violate constraints of the rejecting table, if it has many of them.

        Returns:
            Poison by position; None if splitting must find the messages.
        """
        at = rejected.at
        if at is None or rejected.sqlstate not in SQLSTATES or not pieces.searchable or len(piece) < _SEARCHED_MIN:
            return None
        if rejected.line is not None and not pieces.rejected:
            return None  # the first of them costs less to find by its line
        part = batch if len(piece) == len(batch) else batch.select(piece)
        written = {binding.target for binding in self._bindings}

        async def search() -> dict[int, Violation]:
            return await find_violations(self._postgres, self._bindings[at], part.buffers[at], written)

        violations = await self._retry.run(search)
        lines = batch.messages_of_rows(at, violations, piece)
        found: dict[int, Poison] = {}
        for line, position in lines.items():
            found.setdefault(position, Poison("rejected", violations[line].detail, violations[line].sqlstate))
        pieces.searchable = bool(found)
        return found or None

    async def _reduce(self, piece: Piece, pieces: BatchSplitter, rejected: Rejected) -> None:
        """Write fewer messages per transaction, because the piece exceeds a limit of the server."""
        self._size_limit.lower(len(piece))
        if len(piece) > 1:
            pieces.halve(piece)
        elif rejected.sqlstate.startswith(_INSUFFICIENT_RESOURCES):
            await self._retry.wait(rejected, _ATTEMPTS_MAX)
            pieces.put_back(piece)
        else:
            raise self._cannot_write_one(rejected)

    def _cannot_write_one(self, rejected: Rejected) -> Fatal:
        return Fatal(
            f"PostgreSQL at {self._postgres.target} cannot write even a single message: {rejected}",
            code="message_not_writable",
        )


def _is_transient(rejected: Rejected, failures: int) -> bool:
    """Return whether to retry unchanged: always after a deadlock, a few times after an unknown error."""
    return rejected.verdict is Verdict.AGAIN or (rejected.verdict is Verdict.UNKNOWN and failures < _ATTEMPTS_MAX)


def _named_position(batch: Batch, piece: Piece, rejected: Rejected) -> int | None:
    """Return the position of the message whose row PostgreSQL named, None if it named none."""
    if rejected.at is None or rejected.line is None:
        return None
    return batch.message_of_row(rejected.at, rejected.line, piece)


def _table_to_stage(write: BatchWrite, rejected: Rejected, staged: StagedTables) -> int | None:
    """Return the table whose conflict rule resolves a duplicate key and was not applied yet, None if there is none."""
    if rejected.verdict is not Verdict.DUPLICATE or rejected.at is None or rejected.at in staged:
        return None
    return rejected.at if write.rows[rejected.at][0].table.conflict != "append" else None


def _outcome(batch: Batch, position: int) -> Outcome:
    if position in batch.dead:
        return Outcome.DEAD
    return Outcome.IGNORED if position in batch.ignored else Outcome.WRITTEN


def _log_rejected(batch: Batch, count: int) -> None:
    """Log the messages that PostgreSQL rejected: one line per batch, with the first of them."""
    if not count:
        return
    first = min(position for position, poison in batch.dead.items() if poison.reason == "rejected")
    poison = batch.dead[first]
    seq = batch.messages[first].stream_seq
    extra = {"messages": count, "first_stream_seq": seq, "sqlstate": poison.sqlstate, "error": poison.detail}
    log.warning("messages rejected", extra=extra)
