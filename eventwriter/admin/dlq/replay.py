"""
Dead letters made into rows, by today's code and configuration.

A letter is the message that it was: same stream, incarnation, epoch and sequence, so
the ids and times that are made of those are the same. Its rows and its new state are
one transaction. Where PostgreSQL refuses a page of letters it is halved, until the
refused ones are alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from eventwriter.admin.dlq.sandbox import trial
from eventwriter.clock import epoch_us
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.errors import EventwriterError, Fatal, Poison
from eventwriter.kinds.registry import Kind, kind
from eventwriter.model import Adjustments, Message, Origin, Record
from eventwriter.pipeline.batcher import RowWriter
from eventwriter.pipeline.decode import subject_matches
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.copy import copy_rows, copy_staged
from eventwriter.postgres.dead_letters import store
from eventwriter.postgres.dead_letters.store import DeadLetter
from eventwriter.postgres.encode import ENCODE_ERRORS, encoder, poison_of
from eventwriter.postgres.errors import Rejected, Verdict
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.session import PostgresSession
from eventwriter.tables.table import Build
from eventwriter.worker.table_binding import find_tables

_TRIES_MAX = 5
"""Attempts at what ought to pass soon: a deadlock, a serialization failure."""

WRITTEN, DEAD, REFUSED, KILLER = "written", "still dead", "refused", "still kills"


@dataclass(frozen=True, slots=True)
class Result:
    """
    What became of one letter.

    Attributes:
        outcome: `written`; `still dead`: today's code makes no rows of it; `refused`: PostgreSQL does not take
            its rows; `still kills`: a process that tried to decode it died.
        sentence: Why, where it was not written.
    """

    id: int
    outcome: str
    rows: int = 0
    sentence: str = ""


class DryRun(EventwriterError):
    """All that was to be seen has been seen; the transaction is rolled back."""

    def __init__(self, results: list[Result]) -> None:
        super().__init__("dry run")
        self.results = results


def owner(settings: Settings, letter: DeadLetter) -> StreamSettings:
    """
    Return the entry of the configuration that a letter's message belongs to today.

    Raises:
        Poison: `no_entry`: none takes its subject, or several do and none is the one that it came from.
    """
    subject = letter.subject or ""
    takes = [
        entry
        for entry in settings.streams
        if entry.stream_name == letter.stream
        and any(subject_matches(pattern, subject) for pattern in entry.every_subject)
    ]
    same = [entry for entry in takes if letter.consumer in durables(settings, entry)]
    found = same or takes
    if len(found) == 1:
        return found[0]
    if not found:
        raise Poison("no_entry", f"no entry of streams takes subject {subject!r} of stream {letter.stream!r}")
    names = ", ".join(entry.name for entry in found)
    raise Poison("no_entry", f"entries {names} all take subject {subject!r}, and none has durable {letter.consumer!r}")


def durables(settings: Settings, entry: StreamSettings) -> tuple[str, ...]:
    """Return the names of an entry's durables."""
    names = (entry.durable_name(settings.consumer_name, partition) for partition in range(entry.partitions))
    return tuple(dict.fromkeys(names))


def message_of(letter: DeadLetter) -> Message:
    """Return the message that a letter was; its ack subject and consumer sequence are gone."""
    stored = letter.message_timestamp or letter.created_at
    return Message(
        "", letter.subject or "", letter.payload or b"", letter.headers, letter.stream_seq, 0,
        letter.num_deliveries or 1, epoch_us(stored) * 1000,
    )  # fmt: skip


def origin_of(letter: DeadLetter) -> Origin:
    """Return the stream's life that a letter's sequence belongs to."""
    return Origin(letter.stream, epoch_us(letter.incarnation) * 1000, letter.epoch)


@dataclass(slots=True)
class Writer:
    """One entry, bound to its real tables."""

    entry: StreamSettings
    kind: Kind
    bindings: list[Binding]
    settings: Settings
    tally: Adjustments
    _targets: dict[Origin, list[RowWriter]] = field(default_factory=dict)

    def add(self, letter: DeadLetter, buffers: list[bytearray]) -> int:
        """
        Append a letter's rows to its tables' buffers; return how many.

        Raises:
            Poison: It is still dead; the buffers are as they were.
        """
        message = message_of(letter)
        lengths = [len(buffer) for buffer in buffers]
        try:
            if any(subject_matches(pattern, message.subject) for pattern in self.entry.ignore_subjects):
                return 0
            records = self.kind.decode(message)
            return self._add(message, records, self._targets_of(origin_of(letter)), buffers)
        except (Poison, *ENCODE_ERRORS) as error:
            for buffer, length in zip(buffers, lengths, strict=True):
                del buffer[length:]
            raise (error if isinstance(error, Poison) else poison_of(error)) from error

    @staticmethod
    def _add(message: Message, records: list[Record], targets: list[RowWriter], buffers: list[bytearray]) -> int:
        rows = 0
        for index, record in enumerate(records):
            before = rows
            for target, buffer in zip(targets, buffers, strict=True):
                if (row := target.build(record, message, index)) is not None:
                    target.encode(row, buffer)
                    rows += 1
            if rows == before:
                raise Poison("no_table", f"record {index} has a shape that no table of {len(targets)} stores")
        return rows

    def _targets_of(self, origin: Origin) -> list[RowWriter]:
        """Return the row builders for one life of a stream: ids are made from it."""
        if origin not in self._targets:
            self._targets[origin] = [self._target(binding, origin) for binding in self.bindings]
        return self._targets[origin]

    def _target(self, binding: Binding, origin: Origin) -> RowWriter:
        options = {**self.entry.options, "consumer": "replay", "kind": self.entry.kind}
        redact = frozenset(key.lower() for key in self.settings.redact)
        build = Build(origin, self.tally, binding.present, self.settings.ocsf_version, redact, options)
        return RowWriter(binding.table.builder(build), encoder(binding))


class Replay:
    """
    Replays letters of one table.

    Args:
        table: Its qualified, quoted name.
        dry: Try everything in transactions that are rolled back.
    """

    def __init__(self, settings: Settings, postgres: PostgresSession, table: str, dry: bool) -> None:
        self._settings, self._postgres, self._table, self._dry = settings, postgres, table, dry
        self._writers: dict[str, Writer] = {}
        self.tally = Adjustments()
        self.left_out = 0
        """Rows that conflict rules left out: their key was there."""

    async def page(self, ids: Sequence[int]) -> list[Result]:
        """
        Replay these letters, as far as they are new and no other replay has them.

        Raises:
            Fatal: An operator must act; nothing of this page was written.
            Retryable: The server's state; nothing of this page was written.
        """
        try:
            return await self._transaction(ids)
        except DryRun as seen:
            return seen.results
        except Rejected as rejected:
            if rejected.verdict in (Verdict.PARK, Verdict.UNKNOWN, Verdict.AGAIN):
                raise Fatal(f"PostgreSQL at {self._postgres.target} refuses the rows: {rejected}") from rejected
            if len(ids) == 1:
                return [await self._refused(ids[0], rejected)]
        middle = len(ids) // 2
        return [*await self.page(ids[:middle]), *await self.page(ids[middle:])]

    async def _transaction(self, ids: Sequence[int]) -> list[Result]:
        for attempt in range(_TRIES_MAX):
            try:
                return await self._once(ids)
            except Rejected as rejected:
                if rejected.verdict is not Verdict.AGAIN or attempt == _TRIES_MAX - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, ids: Sequence[int]) -> list[Result]:
        async with self._postgres.transaction() as conn:
            claimed = await store.lock_new(conn, self._table, ids)
            results, left_out = await self._write(conn, claimed)
            failed = {r.id: f"{r.outcome}: {r.sentence}" for r in results if r.outcome != WRITTEN}
            await store.record_replay(conn, self._table, [r.id for r in results if r.outcome == WRITTEN], failed)
            if self._dry:
                # What would come up only at COMMIT comes up now.
                await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
                raise DryRun(results)
        self.left_out += left_out
        return results

    async def _write(self, conn: Connection, claimed: Sequence[DeadLetter]) -> tuple[list[Result], int]:
        results: list[Result] = []
        buffers: dict[str, list[bytearray]] = {}
        for letter in claimed:
            try:
                writer = await self._writer(conn, owner(self._settings, letter))
                into = buffers.setdefault(writer.entry.name, [bytearray() for _ in writer.bindings])
                if letter.reason == "crash_loop" and (death := self._kills(writer, letter)):
                    results.append(Result(letter.id, KILLER, sentence=death))
                    continue
                results.append(Result(letter.id, WRITTEN, writer.add(letter, into)))
            except Poison as poison:
                results.append(Result(letter.id, DEAD, sentence=str(poison)))
        left_out = 0
        for name, each in buffers.items():
            for binding, rows in zip(self._writers[name].bindings, each, strict=True):
                left_out += await _copy(conn, binding, rows) if rows else 0
        return results, left_out

    @staticmethod
    def _kills(writer: Writer, letter: DeadLetter) -> str | None:
        """Say how a process dies that decodes the letter; None where it lives."""

        def decode() -> bytes:
            try:
                writer.add(letter, [bytearray() for _ in writer.bindings])
            except Poison:
                pass
            return b""

        _, death = trial(decode)
        return f"decoding it was tried in a process of its own: {death}" if death else None

    async def _writer(self, conn: Connection, entry: StreamSettings) -> Writer:
        if entry.name not in self._writers:
            of_kind = kind(entry.kind)
            bindings = [found.bind(self.tally) for found in await find_tables(conn, entry, of_kind)]
            self._writers[entry.name] = Writer(entry, of_kind, bindings, self._settings, self.tally)
        return self._writers[entry.name]

    async def _refused(self, number: int, rejected: Rejected) -> Result:
        if not self._dry:
            async with self._postgres.transaction() as conn:
                await store.record_replay(conn, self._table, [], {number: f"{REFUSED}: {rejected}"})
        return Result(number, REFUSED, sentence=str(rejected))


async def _copy(conn: Connection, binding: Binding, rows: bytearray) -> int:
    """Write rows, by their table's conflict rule where a key is there; return how many it left out."""
    await conn.execute("SAVEPOINT replay")
    try:
        await copy_rows(conn, binding.copy_sql, rows)
    except psycopg.errors.UniqueViolation as error:
        if binding.table.conflict == "append":
            raise
        await conn.execute("ROLLBACK TO SAVEPOINT replay")
        return await copy_staged(conn, binding, rows, error.diag.constraint_name)
    return 0
