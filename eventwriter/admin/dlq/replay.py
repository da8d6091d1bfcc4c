"""
Replays dead letters: writes their rows with the current code and configuration.

A dead letter keeps the stream, incarnation, epoch and sequence of its message, so derived ids
and times are the same. Its rows and its new state are committed in one transaction. If PostgreSQL
rejects a page of dead letters, the page is halved until the rejected ones are isolated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg

from eventwriter.admin.dlq.sandbox import run_in_child
from eventwriter.clock import epoch_us
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.errors import EventwriterError, Fatal, Poison
from eventwriter.kinds.registry import Kind, kind
from eventwriter.model import Adjustments, Message, Origin, Record
from eventwriter.pipeline.batcher import RowWriter
from eventwriter.pipeline.decode import decode_message, subject_matches
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
"""Attempts after deadlocks and serialization failures."""

WRITTEN, DEAD, REFUSED, KILLER = "written", "still dead", "refused", "still kills"


@dataclass(frozen=True, slots=True)
class Result:
    """
    Result of one dead letter.

    Attributes:
        id: Id of the dead letter.
        outcome: `written`; `still dead` (it still cannot become rows); `refused` (PostgreSQL rejects its rows);
            `still kills` (a process that decoded it died).
        rows: Number of rows.
        sentence: Reason, if it was not written.
    """

    id: int
    outcome: str
    rows: int = 0
    sentence: str = ""


class DryRun(EventwriterError):
    """Raised at the end of a dry run to roll back the transaction."""

    def __init__(self, results: list[Result]) -> None:
        super().__init__("dry run")
        self.results = results


def owner(settings: Settings, letter: DeadLetter) -> StreamSettings:
    """
    Return the stream entry that the message of a dead letter belongs to.

    Raises:
        Poison: `no_entry`: no entry matches its subject, or several do and none has its durable.
    """
    subject = letter.subject or ""
    matching = [
        entry
        for entry in settings.streams
        if entry.stream_name == letter.stream
        and any(subject_matches(pattern, subject) for pattern in entry.every_subject)
    ]
    same = [entry for entry in matching if letter.consumer in durables(settings, entry)]
    found = same or matching
    if len(found) == 1:
        return found[0]
    if not found:
        raise Poison("no_entry", f"no stream entry matches subject {subject!r} of stream {letter.stream!r}")
    names = ", ".join(entry.name for entry in found)
    raise Poison("no_entry", f"entries {names} all match subject {subject!r}, but none has durable {letter.consumer!r}")


def durables(settings: Settings, entry: StreamSettings) -> tuple[str, ...]:
    """Return the durables of an entry."""
    names = (entry.durable_name(settings.consumer_name, partition) for partition in range(entry.partitions))
    return tuple(dict.fromkeys(names))


def message_of(letter: DeadLetter) -> Message:
    """Return the message of a dead letter, without its ack subject and consumer sequence."""
    stored = letter.message_timestamp or letter.created_at
    return Message(
        "", letter.subject or "", letter.payload or b"", letter.headers, letter.stream_seq, 0,
        letter.num_deliveries or 1, epoch_us(stored) * 1000,
    )  # fmt: skip


def origin_of(letter: DeadLetter) -> Origin:
    """Return the origin of the message of a dead letter."""
    return Origin(letter.stream, epoch_us(letter.incarnation) * 1000, letter.epoch)


@dataclass(slots=True)
class Writer:
    """One stream entry bound to its real tables."""

    entry: StreamSettings
    kind: Kind
    bindings: list[Binding]
    settings: Settings
    tally: Adjustments
    _targets: dict[Origin, list[RowWriter]] = field(default_factory=dict)

    def add(self, letter: DeadLetter, buffers: list[bytearray]) -> int:
        """
        Append the rows of a dead letter to the buffers of its tables; return their number.

        Raises:
            Poison: It still cannot become rows; the buffers are unchanged.
        """
        message = message_of(letter)
        lengths = [len(buffer) for buffer in buffers]
        try:
            if any(subject_matches(pattern, message.subject) for pattern in self.entry.ignore_subjects):
                return 0
            message, records = decode_message(self.kind.decode, message, self.entry.max_payload_bytes)
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
                if row := target.build(record, message, index):
                    target.encode(row, buffer)
                    rows += 1
                elif row is not None:
                    before = -1  # ignored by a documented rule of the table
            if rows == before:
                raise Poison("no_table", f"record {index} has a shape that none of the {len(targets)} tables stores")
        return rows

    def _targets_of(self, origin: Origin) -> list[RowWriter]:
        """Return the row builders for one origin, from which ids are derived."""
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
    Replays dead letters of one table.

    Args:
        settings: Settings of the daemon.
        postgres: Session to write with.
        table: Dead-letter table, qualified and quoted.
        dry: Roll back every transaction.
        on_replacing: Called once for each table whose conflict rule replaces rows, before its first row is written.

    Attributes:
        replacing: These tables.
    """

    def __init__(
        self,
        settings: Settings,
        postgres: PostgresSession,
        table: str,
        dry: bool,
        on_replacing: Callable[[str], None] = lambda _table: None,
    ) -> None:
        self._settings, self._postgres, self._table, self._dry = settings, postgres, table, dry
        self._on_replacing = on_replacing
        self.replacing: set[str] = set()
        self._writers: dict[str, Writer] = {}
        self.tally = Adjustments()
        self.left_out = 0
        """Rows skipped by conflict rules because their key existed."""

    async def page(self, ids: Sequence[int]) -> list[Result]:
        """
        Replay these dead letters, except those that are not new or locked by another replay.

        Raises:
            Fatal: An operator must act; nothing of this page was written.
            Retryable: The server is unavailable; nothing of this page was written.
        """
        try:
            return await self._transaction(ids)
        except DryRun as dry_run:
            return dry_run.results
        except Rejected as rejected:
            if rejected.verdict in (Verdict.PARK, Verdict.UNKNOWN, Verdict.AGAIN):
                raise Fatal(f"PostgreSQL at {self._postgres.target} rejected the rows: {rejected}") from rejected
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
            locked = await store.lock_new(conn, self._table, ids)
            results, left_out = await self._write(conn, locked)
            failed = {r.id: f"{r.outcome}: {r.sentence}" for r in results if r.outcome != WRITTEN}
            await store.record_replay(conn, self._table, [r.id for r in results if r.outcome == WRITTEN], failed)
            if self._dry:
                # Check deferred constraints now, which otherwise happens at COMMIT.
                await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
                raise DryRun(results)
        self.left_out += left_out
        return results

    async def _write(self, conn: Connection, locked: Sequence[DeadLetter]) -> tuple[list[Result], int]:
        results: list[Result] = []
        buffers: dict[str, list[bytearray]] = {}
        for letter in locked:
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
        """Return how a process that decodes the dead letter dies; None if it survives."""

        def decode() -> bytes:
            try:
                writer.add(letter, [bytearray() for _ in writer.bindings])
            except Poison:
                pass
            return b""

        _, death = run_in_child(decode)
        return f"decoding it in a separate process failed: {death}" if death else None

    async def _writer(self, conn: Connection, entry: StreamSettings) -> Writer:
        if entry.name not in self._writers:
            of_kind = kind(entry.kind)
            bindings = [found.bind(self.tally) for found in await find_tables(conn, entry, of_kind)]
            self._writers[entry.name] = Writer(entry, of_kind, bindings, self._settings, self.tally)
            self._warn_of_replacing(bindings)
        return self._writers[entry.name]

    def _warn_of_replacing(self, bindings: Sequence[Binding]) -> None:
        for binding in bindings:
            if binding.table.conflict == "replace" and binding.table.name not in self.replacing:
                self.replacing.add(binding.table.name)
                self._on_replacing(binding.table.name)

    async def _refused(self, number: int, rejected: Rejected) -> Result:
        if not self._dry:
            async with self._postgres.transaction() as conn:
                await store.record_replay(conn, self._table, [], {number: f"{REFUSED}: {rejected}"})
        return Result(number, REFUSED, sentence=str(rejected))


async def _copy(conn: Connection, binding: Binding, rows: bytearray) -> int:
    """Write rows with the conflict rule of their table; return how many it skipped."""
    await conn.execute("SAVEPOINT replay")
    try:
        await copy_rows(conn, binding.copy_sql, rows)
    except psycopg.errors.UniqueViolation as error:
        if binding.table.conflict == "append":
            raise
        await conn.execute("ROLLBACK TO SAVEPOINT replay")
        return await copy_staged(conn, binding, rows, error.diag.constraint_name)
    return 0
