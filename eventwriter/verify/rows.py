"""Messages that were looked at, against the rows and dead letters that the database has of them."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.kinds import kind
from eventwriter.model import Message, Origin, Tally
from eventwriter.postgres import accounts
from eventwriter.postgres.catalog import matched
from eventwriter.postgres.connect import Connection
from eventwriter.tables.table import Build
from eventwriter.verify.expected import Expected, Expecter, Target, Wanted, target
from eventwriter.verify.report import RowsLooked
from eventwriter.worker.tables import find_tables

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

    def expecter(self, epoch: int) -> Expecter:
        """Return what says what a message of one epoch must have left."""
        settings, stream = self.settings, self.stream
        options = {**stream.options, "consumer": self.durable, "kind": stream.kind}
        redact = frozenset(key.lower() for key in settings.redact)
        build = Build(
            self.origin._replace(epoch=epoch), Tally(), frozenset(), settings.ocsf_version, redact, options
        )  # fmt: skip
        return Expecter(kind(stream.kind), self.targets, build, stream.ignore_subjects)


async def find_targets(conn: Connection, stream: StreamSettings) -> list[Target]:
    """
    Look the slot's tables up.

    Raises:
        Fatal: A table is missing, or does not fit.
        psycopg.Error: As the server says.
    """
    found = await find_tables(conn, stream, kind(stream.kind))
    return [target(table, await accounts.leading_columns(conn, table.target)) for table in found]


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
    letters = await accounts.letters_of(
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
            found = await accounts.count_rows(conn, one_target.search, [values for _, _, values in part])
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
            oldest[row.search] = await accounts.oldest(conn, target.search.target, column) if column else None
        first = oldest[row.search]
        if first is None or at >= first:
            return False
    return True


def _time_column(target: Target) -> str | None:
    """Return the real name of the table's time column."""
    found = matched(target.found.table.columns, target.found.real).get(target.found.table.time_column)
    return found.name if found else None


def _time_of(target: Target, values: tuple[Any, ...] | None) -> dt.datetime | None:
    """Return a row's time, where it is among the values that it is found by."""
    column = _time_column(target)
    if values is None or target.search is None or column not in target.search.columns:
        return None
    found = values[target.search.columns.index(column)]
    return found if isinstance(found, dt.datetime) else None
