"""
Looks up the rows that messages should have left in the database.

A message is decoded and its rows are built by the daemon's own code. Each row is looked up by the
columns of a unique key if the real table has one, otherwise by all columns that can be compared.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventwriter.admin.verify.report import RowLookups
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.errors import Fatal, Poison
from eventwriter.kinds.registry import Kind, kind
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.pipeline.decode import decode_message, subject_matches
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import verify_queries
from eventwriter.postgres.ledger.verify_queries import RowLookup
from eventwriter.postgres.read_only import TIMED_OUT, ReadOnlySession
from eventwriter.postgres.schema.catalog import Binding, match_columns
from eventwriter.postgres.schema.unique_keys import Key
from eventwriter.tables.table import Build, Row, RowBuilder
from eventwriter.worker.table_binding import RealTable, find_tables

_POSTGRES_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

Value = Callable[[Any], Any]


def _instant(value: int) -> dt.datetime:
    return _POSTGRES_EPOCH + dt.timedelta(microseconds=value)


def _uuid(value: bytes) -> UUID:
    return UUID(bytes=value)


def _same(value: Any) -> Any:
    return value


_COMPARED: Mapping[tuple[str, str], tuple[str, Value]] = {
    ("text", "text"): ("text", _same),
    ("text", "character varying"): ("text", _same),
    ("float8", "double precision"): ("float8", _same),
    ("int2", "smallint"): ("int2", _same),
    ("int4", "integer"): ("int4", _same),
    ("int8", "bigint"): ("int8", _same),
    ("bool", "boolean"): ("bool", _same),
    ("int8", "timestamp with time zone"): ("timestamptz", _instant),
    ("bytea", "uuid"): ("uuid", _uuid),
}
"""(COPY type, real column type) → (SQL type of the parameter, conversion); other columns are not compared."""


@dataclass(frozen=True, slots=True)
class ExpectedRow:
    """Expected row: index of its search, and the values to look it up by; None if they cannot be compared."""

    search: int
    values: tuple[Any, ...] | None


@dataclass(slots=True)
class Expected:
    """
    Expected outcome of one message.

    Attributes:
        message: The message.
        rows: Expected rows in the order of writing.
        poison: Why a dead letter is expected instead.
        ignored: Whether the configuration ignores its subject.
    """

    message: Message
    rows: list[ExpectedRow] = field(default_factory=list)
    poison: Poison | None = None
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Table of the slot with the search that finds its rows."""

    found: RealTable
    binding: Binding
    search: RowLookup | None
    """None if its rows cannot be looked up."""
    picks: tuple[tuple[int, Value], ...]
    """For each value of the search: its position in the row, and its conversion."""
    lead: int | None
    """Position of the leading index column within the search."""
    doubts: tuple[str, ...] = ()
    """Why a row that is not found may have been written all the same; empty if its absence is proof."""


def target(found: RealTable, leading: frozenset[str] | None, triggers: Sequence[str] = ()) -> Target:
    """
    Return a table with the search that finds its rows.

    Args:
        found: The bound table.
        leading: Leading columns of its indexes; None if the table is small enough to be scanned.
        triggers: Row triggers of the table that run before an INSERT.
    """
    binding = found.bind()
    usable = comparable(binding, found)
    key = _key(found.keys, usable)
    doubts = doubts_of(found, key, triggers)
    names = [name for name in usable if key is None or name in key.columns]
    time = found.table.time_column
    leads = [at for at, name in enumerate(names) if leading is not None and name in leading]
    leads.sort(key=lambda at: names[at] != time)  # the time column restricts the search to few chunks
    lead = leads[0] if leads else None
    if not names or (leading is not None and lead is None):
        return Target(found, binding, None, (), None, doubts)
    search = RowLookup(binding.target, tuple(names), tuple(usable[n][0] for n in names), lead, key is None)
    return Target(found, binding, search, tuple(usable[name][1:] for name in names), lead, doubts)


def doubts_of(found: RealTable, key: Key | None, triggers: Sequence[str]) -> tuple[str, ...]:
    """
    Return why rows of a table that are not found may have been written, or skipped by its rules, all the same.

    Args:
        found: The bound table.
        key: The unique key that its rows are looked up by; None for all columns.
        triggers: Row triggers of the table that run before an INSERT.
    """
    doubts = [f"trigger {name} of {found.target} may change or drop rows" for name in triggers]
    if found.table.conflict != "append":
        # A row that equals another one in such a key is skipped or replaced, and its own values are not stored.
        written = set(found.bind().names)
        others = [other for other in found.keys if other is not key and other.needs & written]
        doubts += [f"unique key {other} of {found.target} may have kept another row" for other in others]
    return tuple(doubts)


def comparable(binding: Binding, found: RealTable) -> dict[str, tuple[str, int, Value]]:
    """Return the real columns that can be compared: SQL type, position in the row, conversion."""
    types = {column.name: column.plain for column in found.columns}
    usable = {}
    for at, name in enumerate(binding.names):
        compared = _COMPARED.get((binding.dumpers[at], types[name]))
        if compared is not None and binding.null_as[at] is None:
            cast, value = compared
            converter = binding.converters[at]
            usable[name] = (cast, binding.positions[at], value if converter is None else converter)
    return usable


def _key(keys: Sequence[Key], usable: Mapping[str, Any]) -> Key | None:
    """Return the first unique key whose columns can all be compared."""
    for key in keys:
        plain = len(key.columns) == len(key.expressions) and key.predicate is None
        if plain and key.decides and key.never_null and key.columns <= set(usable):
            return key
    return None


class RowExpectation:
    """
    Builds the rows that messages of one slot should have left.

    Args:
        kind: Kind of the messages.
        targets: Tables of the slot.
        build: Parameters of the row builders.
        ignore_subjects: Patterns of ignored subjects.
    """

    def __init__(self, kind: Kind, targets: Sequence[Target], build: Build, ignore_subjects: Sequence[str]) -> None:
        self._kind, self._targets, self._ignore = kind, targets, tuple(ignore_subjects)
        self._builders: list[RowBuilder] = [
            target.binding.table.builder(
                Build(
                    build.origin,
                    Adjustments(),
                    target.binding.present,
                    build.ocsf_version,
                    build.redact,
                    dict(build.options),
                )
            )
            for target in targets
        ]

    def __call__(self, message: Message) -> Expected:
        """Return the expected outcome of a message."""
        expected = Expected(message)
        if any(subject_matches(pattern, message.subject) for pattern in self._ignore):
            expected.ignored = True
            return expected
        try:
            expected.rows = self._rows(message)
        except Poison as poison:
            expected.poison = poison
        return expected

    def is_unique(self, message: Message, at: int) -> bool:
        """
        Return whether only this record of this message can produce the row at index `at`.

        This holds if a lookups-up value depends on the stream sequence and the record index: the same content at
        another place then produces a different row.
        """
        expected = self._rows(message)
        own = repr(expected[at].values)  # NaN is not equal to itself, but its text is
        if own == repr(self._rows(message._replace(stream_seq=message.stream_seq + 1))[at].values):
            return False
        tables = [self._targets[row.search].binding.target for row in expected]
        return tables.count(tables[at]) == 1 or own != repr(self._rows(message, 1)[at].values)

    def _rows(self, message: Message, shift: int = 0) -> list[ExpectedRow]:
        """Build the rows of a message, with record indexes shifted by `shift`."""
        expected: list[ExpectedRow] = []
        message, records = decode_message(self._kind.decode, message)
        for index, record in enumerate(records):
            before = len(expected)
            for at, build in enumerate(self._builders):
                row = build(record, message, index + shift)
                if row:
                    expected.append(ExpectedRow(at, self._values(self._targets[at], row)))
                elif row is not None:
                    before = -1  # ignored by a documented rule of the table
            if len(expected) == before:
                raise Poison("no_table", f"record {index} has a shape that no table of this slot stores")
        return expected

    def _values(self, target: Target, row: Row) -> tuple[Any, ...] | None:
        try:
            values = tuple(None if row[at] is None else value(row[at]) for at, value in target.picks)
        except OverflowError:  # an instant outside the range of Python's datetime
            return None
        narrow = target.search is not None and not target.search.whole
        missing = None in values if narrow else target.lead is not None and values[target.lead] is None
        return None if missing else values


_AT_ONCE = 500
"""Messages, or rows, looked up by one statement."""
_QUERY_MS_MAX = 10_000
"""Time limit of one query for rows; rows of a table without a suitable index are not worth more."""
_TIMEOUTS_MAX = 5
"""Queries that may take too long before the rest is given up."""


@dataclass(frozen=True, slots=True)
class LookupContext:
    """
    Parameters for looking up rows of one slot.

    Attributes:
        settings: Settings of the daemon.
        stream: Stream entry of the slot.
        durable: Durable of the slot.
        origin: Origin of the messages.
        targets: Tables of the slot.
        dead_letters: Dead-letter table, qualified and quoted.
    """

    settings: Settings
    stream: StreamSettings
    durable: str
    origin: Origin
    targets: Sequence[Target]
    dead_letters: str

    def expectation(self, epoch: int) -> RowExpectation:
        """Return the row expectation for messages of one epoch."""
        settings, stream = self.settings, self.stream
        options = {**stream.options, "consumer": self.durable, "kind": stream.kind}
        redact = frozenset(key.lower() for key in settings.redact)
        build = Build(
            self.origin._replace(epoch=epoch), Adjustments(), frozenset(), settings.ocsf_version, redact, options
        )  # fmt: skip
        return RowExpectation(kind(stream.kind), self.targets, build, stream.ignore_subjects)


async def find_targets(conn: Connection, stream: StreamSettings) -> list[Target]:
    """
    Return the tables of the slot.

    Raises:
        Fatal: A table is missing or does not match.
        psycopg.Error: The server rejected a query.
    """
    found = await find_tables(conn, stream, kind(stream.kind))
    return [
        target(
            table,
            await verify_queries.leading_columns(conn, table.target),
            await verify_queries.before_triggers(conn, table.target),
        )
        for table in found
    ]


async def look_up(
    reader: ReadOnlySession,
    context: LookupContext,
    messages: Sequence[Message],
    epochs: Mapping[int, int],
    lookups: RowLookups,
) -> None:
    """
    Look up the rows and dead letters of messages, and add the outcome to `lookups`.

    Args:
        reader: Session for read-only transactions; there is one for each piece of the messages.
        context: Parameters of the slot.
        messages: Messages to look up.
        epochs: Epoch of each message by sequence.
        lookups: Outcome to add to.

    Raises:
        Retryable: The server is unavailable.
        Fatal: The server rejected a query.
    """
    expectations = {epoch: context.expectation(epoch) for epoch in set(epochs.values())}
    expected: list[Expected] = []
    counts: list[list[int | None]] = []
    dead: set[tuple[int, int]] = set()
    search = Search(reader, context)
    for begin in range(0, len(messages), _AT_ONCE):
        part = messages[begin : begin + _AT_ONCE]
        entries = [expectations[epochs[message.stream_seq]](message) for message in part]
        dead |= await search.dead_letters([message.stream_seq for message in part])
        counts += await search.counts(entries)
        expected += entries
    lookups.messages += len(expected)
    alive = [
        (entry, counts[at])
        for at, entry in enumerate(expected)
        if (entry.message.stream_seq, epochs[entry.message.stream_seq]) not in dead
    ]
    lookups.dead += len(expected) - len(alive)
    made = Counter(_likeness(row) for entry, _ in alive for row in entry.rows)
    for entry, found in alive:
        lookups.rows += sum(count or 0 for count in found)
        more = [at for at, row in enumerate(entry.rows) if (found[at] or 0) > made[_likeness(row)]]
        expectation = expectations[epochs[entry.message.stream_seq]]
        if any(expectation.is_unique(entry.message, at) for at in more):
            lookups.duplicated.append(entry.message.stream_seq)
        elif more and all(found):
            lookups.add_inconclusive(
                "there are more identical rows than the messages looked up produce, and no column distinguishes equal"
                " messages: either equal messages or duplicates"
            )
        else:
            await _classify(search, entry, found, lookups)


def _doubts(context: LookupContext, entry: Expected, counts: Sequence[int | None]) -> str:
    """Return why the absence of a message's rows proves nothing; empty if the absence of one of them is proof."""
    missing = {row.search for row, count in zip(entry.rows, counts, strict=True) if not count}
    doubts = [context.targets[at].doubts for at in sorted(missing)]
    return "; ".join(dict.fromkeys(doubt for some in doubts for doubt in some)) if all(doubts) else ""


def _likeness(row: ExpectedRow) -> tuple[int, str]:
    """Return a key that is equal for rows found by the same search values."""
    return row.search, repr(row.values)


async def _classify(search: "Search", entry: Expected, counts: list[int | None], lookups: RowLookups) -> None:
    """Classify a message without a dead letter and without surplus rows."""
    if entry.poison is not None:
        lookups.add_inconclusive(
            "it would become a dead letter today, but none exists: purged, or written by another release"
        )
    elif entry.ignored or not entry.rows:
        lookups.empty += 1
    elif all(counts):
        lookups.written += 1
    elif any(count is None for count in counts):
        lookups.add_inconclusive(
            "its rows cannot be looked up: no suitable index, no comparable column, or the query took too long"
        )
    elif await search.is_before_oldest(entry, counts):
        lookups.add_inconclusive(
            "its rows would be older than the oldest row of the table, or the table is empty: dropped by retention,"
            " truncated, recreated, or lost"
        )
    elif doubts := _doubts(search.context, entry, counts):
        lookups.add_inconclusive(f"rows are not found, which proves nothing: {doubts}")
    else:
        lookups.missing.append(entry.message.stream_seq)


class Search:
    """
    Searches the rows of one slot's messages, with a transaction for each step, so that none takes long.

    Args:
        reader: Session for read-only transactions.
        context: Parameters of the slot.
    """

    def __init__(self, reader: ReadOnlySession, context: LookupContext) -> None:
        self._reader, self.context = reader, context
        self._timeouts = 0
        self._oldest: dict[int, tuple[bool, dt.datetime | None]] = {}
        """For each table, whether it is empty, and its oldest time."""

    async def dead_letters(self, seqs: Sequence[int]) -> set[tuple[int, int]]:
        """Return those of the messages that have a dead letter, as (sequence, epoch)."""
        context = self.context
        async with self._reader.transaction() as conn:
            return await verify_queries.dead_letters_of(
                conn, context.dead_letters, context.origin, context.durable, seqs
            )

    async def counts(self, expected: Sequence[Expected]) -> list[list[int | None]]:
        """Return the number of matching rows for each expected row; None if it cannot be looked up in time."""
        counts: list[list[int | None]] = [[None] * len(entry.rows) for entry in expected]
        for at, table in enumerate(self.context.targets):
            if table.search is None:
                continue
            places = [
                (m, r, row.values)
                for m, entry in enumerate(expected)
                for r, row in enumerate(entry.rows)
                if row.search == at and row.values is not None
            ]
            for begin in range(0, len(places), _AT_ONCE):
                part = places[begin : begin + _AT_ONCE]
                found = await self._count(table.search, [values for _, _, values in part])
                for (m, r, _), count in zip(part, found, strict=True):
                    counts[m][r] = count
        return counts

    async def _count(self, search: RowLookup, rows: list[tuple[Any, ...]]) -> list[int | None]:
        """Count the matches of rows; halve them if the query takes too long, and give up after several such queries."""
        if self._timeouts >= _TIMEOUTS_MAX:
            return [None] * len(rows)
        try:
            async with self._reader.transaction() as conn:
                await conn.execute(f"SET LOCAL statement_timeout = {_QUERY_MS_MAX}")
                return [*await verify_queries.count_rows(conn, search, rows)]
        except Fatal as error:
            if error.code != TIMED_OUT:
                raise
        self._timeouts += 1
        if len(rows) == 1:
            return [None]
        middle = len(rows) // 2
        return [*await self._count(search, rows[:middle]), *await self._count(search, rows[middle:])]

    async def is_before_oldest(self, entry: Expected, counts: list[int | None]) -> bool:
        """Return whether every missing row would be older than the oldest row of its table, or its table is empty."""
        for row, count in zip(entry.rows, counts, strict=True):
            if count:
                continue
            target = self.context.targets[row.search]
            is_empty, first = await self._oldest_of(row.search, target)
            at = _time_of(target, row.values)
            if not is_empty and (at is None or first is None or at >= first):
                return False
        return True

    async def _oldest_of(self, search: int, target: Target) -> tuple[bool, dt.datetime | None]:
        if search not in self._oldest:
            column, table = _time_column(target), target.found.target
            async with self._reader.transaction() as conn:
                is_empty = await verify_queries.is_empty(conn, table)
                first = None if is_empty or column is None else await verify_queries.oldest(conn, table, column)
            self._oldest[search] = is_empty, first
        return self._oldest[search]


def _time_column(target: Target) -> str | None:
    """Return the real name of the time column."""
    found = match_columns(target.found.table.columns, target.found.columns).get(target.found.table.time_column)
    return found.name if found else None


def _time_of(target: Target, values: tuple[Any, ...] | None) -> dt.datetime | None:
    """Return the time of a row, if it is one of the lookups-up values."""
    column = _time_column(target)
    if values is None or target.search is None or column not in target.search.columns:
        return None
    found = values[target.search.columns.index(column)]
    return found if isinstance(found, dt.datetime) else None
