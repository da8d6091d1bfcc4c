"""
What a message must have left in the database, said by the very code that writes it.

The message is decoded and its rows built as the daemon would; of each row the values
by which it can be found again are kept: those of a unique key where the real table
has one, else all that compare plainly.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventwriter.admin.verify.report import RowsLooked
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.errors import Poison
from eventwriter.kinds.registry import Kind, kind
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.pipeline.decode import subject_matches
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import verify_queries
from eventwriter.postgres.ledger.verify_queries import RowLookup
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
"""(how COPY writes it, the real column's type) → (SQL type of the parameter, its value); others are not compared."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One row that must be there: the index of its search, and the values to find it by; None where they do not fit."""

    search: int
    values: tuple[Any, ...] | None


@dataclass(slots=True)
class Expected:
    """
    What one message must have left.

    Attributes:
        rows: In the order in which they were written.
        poison: Why it must have left a dead letter instead.
        ignored: The configuration drops its subject.
    """

    message: Message
    rows: list[Wanted] = field(default_factory=list)
    poison: Poison | None = None
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One table definition of the slot: how its rows are made, and how they are found again."""

    found: RealTable
    binding: Binding
    search: RowLookup | None
    """None where its rows cannot be looked up."""
    picks: tuple[tuple[int, Value], ...]
    """For each value of the search: its position in the row, and what makes it comparable."""
    lead: int | None
    """Position of the leading column within the search."""


def target(found: RealTable, leading: frozenset[str] | None) -> Target:
    """
    Decide how the rows of a table are found again.

    Args:
        leading: Columns that an index begins with; None where the table is small enough to be read whole.
    """
    binding = found.bind()
    usable = comparable(binding, found)
    key = _key(found.keys, usable)
    names = [name for name in usable if key is None or name in key.columns]
    time = found.table.time_column
    leads = [at for at, name in enumerate(names) if leading is not None and name in leading]
    leads.sort(key=lambda at: names[at] != time)  # the time column's index narrows a hypertable to its chunks
    lead = leads[0] if leads else None
    if not names or (leading is not None and lead is None):
        return Target(found, binding, None, (), None)
    search = RowLookup(binding.target, tuple(names), tuple(usable[n][0] for n in names), lead, key is None)
    return Target(found, binding, search, tuple(usable[name][1:] for name in names), lead)


def comparable(binding: Binding, found: RealTable) -> dict[str, tuple[str, int, Value]]:
    """Return the real columns that can be compared: SQL type, position in the row, what makes it comparable."""
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
    """Return the first unique key whose columns can all be compared, by which a row is there or is not."""
    for key in keys:
        plain = len(key.columns) == len(key.expressions) and key.predicate is None
        if plain and key.decides and key.never_null and key.columns <= set(usable):
            return key
    return None


class RowExpectation:
    """
    Says what messages of one slot must have left.

    Args:
        builds: For each target what its builder is told, the origin among it.
        ignore_subjects: Patterns of subjects that are dropped.
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
        """Return what `message` must have left."""
        expected = Expected(message)
        if any(subject_matches(pattern, message.subject) for pattern in self._ignore):
            expected.ignored = True
            return expected
        try:
            expected.rows = self._rows(message)
        except Poison as poison:
            expected.poison = poison
        return expected

    def is_only_maker(self, message: Message, at: int) -> bool:
        """
        Say whether no other message, and no other record of this one, makes the row `at` of `message`.

        So it is where one of the values that it is found by is made of the stream sequence and the record's place: then
        the row of the same content at another place differs. No table needs to say what is its id.
        """
        wanted = self._rows(message)
        row = repr(wanted[at].values)  # NaN differs from itself, its text does not
        if row == repr(self._rows(message._replace(stream_seq=message.stream_seq + 1))[at].values):
            return False
        tables = [self._targets[one.search].binding.target for one in wanted]
        return tables.count(tables[at]) == 1 or row != repr(self._rows(message, 1)[at].values)

    def _rows(self, message: Message, shift: int = 0) -> list[Wanted]:
        """Build the message's rows, each record as if it stood `shift` places further on."""
        wanted: list[Wanted] = []
        for index, record in enumerate(self._kind.decode(message)):
            before = len(wanted)
            for at, build in enumerate(self._builders):
                row = build(record, message, index + shift)
                if row is not None:
                    wanted.append(Wanted(at, self._values(self._targets[at], row)))
            if len(wanted) == before:
                raise Poison("no_table", f"record {index} has a shape that no table of this slot stores")
        return wanted

    def _values(self, target: Target, row: Row) -> tuple[Any, ...] | None:
        try:
            values = tuple(None if row[at] is None else value(row[at]) for at, value in target.picks)
        except OverflowError:  # an instant that Python's calendar does not reach
            return None
        narrow = target.search is not None and not target.search.whole
        missing = None in values if narrow else target.lead is not None and values[target.lead] is None
        return None if missing else values


_AT_ONCE = 500
"""Rows looked up in one statement."""


@dataclass(frozen=True, slots=True)
class Desk:
    """
    What is needed to look rows of one slot up.

    Attributes:
        letters: The dead letter table's qualified, quoted name.
    """

    settings: Settings
    stream: StreamSettings
    durable: str
    origin: Origin
    targets: Sequence[Target]
    letters: str

    def expecter(self, epoch: int) -> RowExpectation:
        """Return what says what a message of one epoch must have left."""
        settings, stream = self.settings, self.stream
        options = {**stream.options, "consumer": self.durable, "kind": stream.kind}
        redact = frozenset(key.lower() for key in settings.redact)
        build = Build(
            self.origin._replace(epoch=epoch), Adjustments(), frozenset(), settings.ocsf_version, redact, options
        )  # fmt: skip
        return RowExpectation(kind(stream.kind), self.targets, build, stream.ignore_subjects)


async def find_targets(conn: Connection, stream: StreamSettings) -> list[Target]:
    """
    Look the slot's tables up.

    Raises:
        Fatal: A table is missing, or does not fit.
        psycopg.Error: As the server says.
    """
    found = await find_tables(conn, stream, kind(stream.kind))
    return [target(table, await verify_queries.leading_columns(conn, table.target)) for table in found]


async def look(
    conn: Connection, desk: Desk, messages: Sequence[Message], epochs: Mapping[int, int], looked: RowsLooked
) -> None:
    """
    Say what the database has of `messages`, into `looked`.

    Args:
        epochs: The epoch of each, by sequence.

    Raises:
        psycopg.Error: As the server says.
    """
    expecters = {epoch: desk.expecter(epoch) for epoch in set(epochs.values())}
    expected = [expecters[epochs[message.stream_seq]](message) for message in messages]
    letters = await verify_queries.dead_letters_of(
        conn, desk.letters, desk.origin, desk.durable, [message.stream_seq for message in messages]
    )
    counts = await _counts(conn, desk.targets, expected)
    looked.looked += len(expected)
    alive = [
        (one, counts[at])
        for at, one in enumerate(expected)
        if (one.message.stream_seq, epochs[one.message.stream_seq]) not in letters
    ]
    looked.dead += len(expected) - len(alive)
    made = Counter(_likeness(row) for one, _ in alive for row in one.rows)
    oldest: dict[int, Any] = {}
    for one, found in alive:
        looked.rows += sum(count or 0 for count in found)
        more = [at for at, row in enumerate(one.rows) if (found[at] or 0) > made[_likeness(row)]]
        expecter = expecters[epochs[one.message.stream_seq]]
        if any(expecter.is_only_maker(one.message, at) for at in more):
            looked.twice.append(one.message.stream_seq)
        elif more and all(found):
            looked.doubt(
                "there are more rows like its own than the messages looked at make, and nothing in them tells two"
                " equal messages apart: equal ones, or written twice"
            )
        else:
            await _settle(conn, desk, one, found, oldest, looked)


def _likeness(row: Wanted) -> tuple[int, str]:
    """Return what is the same for rows that one search finds together."""
    return row.search, repr(row.values)


async def _settle(
    conn: Connection, desk: Desk, one: Expected, counts: list[int | None], oldest: dict[int, Any], looked: RowsLooked
) -> None:
    """Sort one message that has no dead letter, and whose rows are not there too often."""
    if one.poison is not None:
        looked.doubt("today's code makes a dead letter of it, and there is none: purged, or written by another release")
    elif one.ignored or not one.rows:
        looked.empty += 1
    elif all(counts):
        looked.written += 1
    elif any(count is None for count in counts):
        looked.doubt("its rows cannot be looked up: no index serves that, or no value compares")
    elif await _aged(conn, desk, one, counts, oldest):
        looked.doubt("its rows would be older than the table's oldest: dropped by retention, or lost")
    else:
        looked.missing.append(one.message.stream_seq)


async def _counts(
    conn: Connection, targets: Sequence[Target], expected: Sequence[Expected]
) -> list[list[int | None]]:  # fmt: skip
    """Return, for each row of each message, how many of it there are; None where it cannot be looked up."""
    counts: list[list[int | None]] = [[None] * len(one.rows) for one in expected]
    for at, one_target in enumerate(targets):
        if one_target.search is None:
            continue
        places = [
            (m, r, row.values)
            for m, one in enumerate(expected)
            for r, row in enumerate(one.rows)
            if row.search == at and row.values is not None
        ]
        for begin in range(0, len(places), _AT_ONCE):
            part = places[begin : begin + _AT_ONCE]
            found = await verify_queries.count_rows(conn, one_target.search, [values for _, _, values in part])
            for (m, r, _), count in zip(part, found, strict=True):
                counts[m][r] = count
    return counts


async def _aged(
    conn: Connection, desk: Desk, one: Expected, counts: list[int | None], oldest: dict[int, Any]
) -> bool:  # fmt: skip
    """Say whether every row that is missing would be older than all that its table has."""
    for row, count in zip(one.rows, counts, strict=True):
        if count:
            continue
        target = desk.targets[row.search]
        at = _time_of(target, row.values)
        if at is None:
            return False
        if row.search not in oldest:
            assert target.search is not None
            column = _time_column(target)
            oldest[row.search] = await verify_queries.oldest(conn, target.search.target, column) if column else None
        first = oldest[row.search]
        if first is None or at >= first:
            return False
    return True


def _time_column(target: Target) -> str | None:
    """Return the real name of the table's time column."""
    found = match_columns(target.found.table.columns, target.found.columns).get(target.found.table.time_column)
    return found.name if found else None


def _time_of(target: Target, values: tuple[Any, ...] | None) -> dt.datetime | None:
    """Return a row's time, where it is among the values that it is found by."""
    column = _time_column(target)
    if values is None or target.search is None or column not in target.search.columns:
        return None
    found = values[target.search.columns.index(column)]
    return found if isinstance(found, dt.datetime) else None
