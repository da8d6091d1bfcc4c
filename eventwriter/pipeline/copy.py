"""
A sealed batch to the database: the stage that decides what a refusal means.

It returns only when every message of the batch is settled. A server that is away
is waited for, for ever; a batch that holds a poisonous row is halved until the
poison is alone; what the ledger knows is not written again.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from eventwriter import clock
from eventwriter.errors import EventwriterError, Fatal, Poison, Retryable
from eventwriter.model import Outcome
from eventwriter.pipeline.batch import Batch, Settled
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.rows import Target
from eventwriter.postgres.catalog import Binding
from eventwriter.postgres.copy_in import AlreadyCommitted, CopyIn, Detours, Load, Rejected
from eventwriter.postgres.ledger import Ledger, next_epoch
from eventwriter.postgres.ranges import difference, overlaps
from eventwriter.postgres.sqlstate import Verdict

log = logging.getLogger(__name__)

T = TypeVar("T")

_WAIT_S_MIN = 0.05
_WAIT_S_MAX = 3.0
"""The longest pause between attempts: work goes on within seconds of the server's return."""
_TRIES_MAX = 5
"""Attempts at what ought to pass soon (a deadlock, an unknown SQLSTATE) before it is treated as lasting."""


class Regressed(EventwriterError):
    """The stream gives sequences out again; a new epoch has begun, and the worker must bind to it."""


def pause_s(attempt: int, share: float) -> float:
    """
    Return how long to wait before the next attempt: exponential, with full jitter; seconds.

    Args:
        attempt: 0 for the first failure.
        share: A random number in 0…1.
    """
    return max(_WAIT_S_MIN, share * min(_WAIT_S_MAX, _WAIT_S_MIN * 2.0 ** min(attempt, 16)))


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
        copy_in: CopyIn,
        ledger: Ledger,
        bindings: Sequence[Binding],
        letters: Letters,
        counters: Counters,
        report: Callable[[str | None], None],
    ) -> None:
        self._copy_in = copy_in
        self._ledger = ledger
        self._bindings = tuple(bindings)
        self._letters = letters
        self._counters = counters
        self._report = report

    async def __call__(self, batch: Batch) -> Settled:
        """
        Settle every message of `batch`.

        Raises:
            Fatal: An operator must act; nothing of what is left was written.
            Regressed: The stream went backwards; bind again.
        """
        outcomes: list[Outcome | None] = [None] * len(batch)
        already = duplicates = 0
        parts = [list(range(len(batch)))]
        while parts:
            positions = parts.pop()
            fresh = await self._unknown(batch, positions)
            if len(fresh) < len(positions):
                for position in set(positions).difference(fresh):
                    outcomes[position] = Outcome.WRITTEN
                already += len(positions) - len(fresh)
            if not fresh:
                continue
            written = await self._write(batch, fresh)
            if isinstance(written, int):
                duplicates += written
                for position in fresh:
                    outcomes[position] = _outcome(batch, position)
            else:
                parts.extend(written)
        return Settled(batch, [outcome for outcome in outcomes if outcome is not None], already, duplicates)

    async def _unknown(self, batch: Batch, positions: list[int]) -> list[int]:
        """Return the positions whose messages the ledger does not have."""
        ledger = self._ledger
        newest_known = ledger.committed[-1][1] if ledger.committed else 0
        if all(batch.messages[p].stream_seq >= newest_known for p in positions):
            return positions
        known = {p for p in positions if ledger.knows(batch.messages[p])}
        if any(ledger.regressed(batch.messages[p]) for p in known):
            await self._regress()
        return [p for p in positions if p not in known]

    async def _regress(self) -> None:
        # The picture may be behind the table where two workers share a durable: look before believing.
        async def begin() -> None:
            async with self._copy_in.borrowed() as conn:
                await next_epoch(conn, self._ledger)

        await self._patiently(begin)
        origin = self._ledger.key.origin
        raise Regressed(
            f"stream {origin.stream} gives out sequences again that the ledger knows (it lost its end, or was"
            f" restored): epoch {origin.epoch + 1} begins, what is delivered from here on is written as new"
        )

    async def _write(self, batch: Batch, positions: list[int]) -> int | list[list[int]]:
        """Write these messages; return how many rows conflict rules left out, or the parts to try instead."""
        part = batch if len(positions) == len(batch) else batch.select(positions)
        load = self._load(part)
        started_s = clock.monotonic_s()
        try:
            duplicates = await self._attempt(load)
        except AlreadyCommitted:
            await self._patiently(self._refresh)
            return [positions]
        except Rejected as rejected:
            return self._smaller(batch, positions, rejected)
        self._counters.commits_s.append(clock.monotonic_s() - started_s)
        self._counters.last_commit_at_ns = clock.now_ns()
        self._counters.times.stages["commit"].observe(self._copy_in.commit_s)
        self._report(None)
        return duplicates

    def _load(self, part: Batch) -> Load:
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
        return Load(rows, covered, part.newest())

    async def _attempt(self, load: Load) -> int:
        """
        Write once what the server's own state cannot stop; wait for the server as long as it takes.

        Returns:
            How many rows conflict rules left out.
        """
        again = 0
        detours: dict[int, str | None] = {}

        async def write() -> int:
            return await self._copy_in.write(load, self._ledger, detours)

        while True:
            try:
                return await self._patiently(write)
            except Rejected as rejected:
                if (at := _detour(load, rejected, detours)) is not None:
                    detours[at] = rejected.constraint
                    self._counters.detours += 1
                    log.info("duplicate key; the batch goes through a staging table", extra={"error": str(rejected)})
                    continue
                if rejected.verdict not in (Verdict.AGAIN, Verdict.UNKNOWN) or again >= _TRIES_MAX:
                    raise
                await asyncio.sleep(pause_s(again, random.random()))  # noqa: S311
                again += 1

    async def _patiently(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do `act`, and again while the database is away, saying so."""
        attempt = 0
        while True:
            try:
                return await act()
            except Retryable as error:
                self._report(str(error))
                self._counters.retries += 1
                await asyncio.sleep(pause_s(attempt, random.random()))  # noqa: S311
                attempt += 1

    async def _refresh(self) -> None:
        async with self._copy_in.borrowed() as conn:
            await self._ledger.refresh(conn)

    def _smaller(self, batch: Batch, positions: list[int], rejected: Rejected) -> list[list[int]]:
        """Return what to try after a refusal: halves, or the one message as a dead letter."""
        verdict = rejected.verdict
        # A duplicate gets here where no rule of its table may decide it: its messages are found like a bad value's.
        if verdict not in (Verdict.BISECT, Verdict.HALVE, Verdict.DUPLICATE):
            raise Fatal(f"PostgreSQL at {self._copy_in.target} refuses the slot's rows: {rejected}")
        if len(positions) > 1:
            middle = len(positions) // 2
            return [positions[middle:], positions[:middle]]
        only = positions[0]
        if verdict is Verdict.HALVE or only in batch.dead:
            raise Fatal(f"PostgreSQL at {self._copy_in.target} cannot write even one message: {rejected}")
        log.warning(
            "message rejected",
            extra={
                "stream_seq": batch.messages[only].stream_seq,
                "sqlstate": rejected.sqlstate,
                "error": rejected.detail,
            },
        )
        batch.bury(only, Poison("rejected", rejected.detail, rejected.sqlstate))
        return [[only]]


def _detour(load: Load, rejected: Rejected, detours: Detours) -> int | None:
    """Return the table whose conflict rule can decide about a duplicate and was not asked yet; None where none can."""
    if rejected.verdict is not Verdict.DUPLICATE or rejected.at is None or rejected.at in detours:
        return None
    return rejected.at if load.rows[rejected.at][0].table.conflict != "append" else None


def _outcome(batch: Batch, position: int) -> Outcome:
    if position in batch.dead:
        return Outcome.DEAD
    return Outcome.IGNORED if position in batch.ignored else Outcome.WRITTEN
