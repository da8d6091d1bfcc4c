"""
What the database says about messages: ledger rows, dead letters, and whether rows are there. Only reads.

`eventwriter-ctl verify` holds it against what JetStream says.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.model import Origin
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import ranges
from eventwriter.postgres.ledger.ranges import Ranges
from eventwriter.postgres.ledger.store import instant
from eventwriter.postgres.quoting import quote_ident

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_US = dt.timedelta(microseconds=1)

_LEDGER_SQL = """
SELECT incarnation, epoch, filter_hash, committed::text, coalesce(last_seq, 0), last_timestamp, updated_at
FROM {table} WHERE stream = %s AND consumer = %s ORDER BY incarnation, epoch, updated_at
"""

_LETTERS_SQL = """
SELECT count(*), count(DISTINCT d.stream_seq),
       count(DISTINCT d.stream_seq) FILTER (WHERE NOT %(known)s::int8multirange @> d.stream_seq),
       min(d.stream_seq) FILTER (WHERE NOT %(known)s::int8multirange @> d.stream_seq)
FROM {table} d
WHERE d.stream = %(stream)s AND d.incarnation = %(incarnation)s AND d.consumer = %(consumer)s
  AND d.stream_seq >= %(low)s AND d.stream_seq < %(high)s
"""

_LETTERS_OF_SQL = """
SELECT stream_seq, epoch FROM {table}
WHERE stream = %s AND incarnation = %s AND consumer = %s AND stream_seq = ANY (%s::int8[])
"""

_LEADING_SQL = """
SELECT a.attname FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
WHERE x.indrelid = %(table)s::regclass AND x.indisvalid AND x.indpred IS NULL
"""

_SMALL_SQL = (
    "SELECT c.relkind = 'r' AND pg_table_size(c.oid) < %s FROM pg_catalog.pg_class c WHERE c.oid = %s::regclass"
)

_SMALL_BYTES_MAX = 16 * 1024 * 1024
"""A table that is read whole for each look-up, where no index serves it, is no larger."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row of the ledger, as it was read."""

    incarnation_us: int
    """The stream's creation time, microseconds since 1970 UTC."""
    epoch: int
    filter_hash: str
    committed: Ranges
    last_seq: int
    last_us: int
    """JetStream's latest timestamp among them, microseconds since 1970 UTC; 0 where there is none."""
    updated_at: str
    """ISO 8601."""


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters of one life of a stream: how many, of how many messages, and those that the ledger lacks."""

    letters: int
    messages: int
    unknown: int
    unknown_first: int | None


@dataclass(frozen=True, slots=True)
class Search:
    """
    How rows of one table are found again.

    Attributes:
        target: The table's qualified, quoted name.
        columns: Real column names, in the order of the values.
        casts: The SQL type of each value.
        lead: Position of the column that an index begins with; None for a small table without one.
        whole: Whether every value of the row that can be compared is; False where a unique key is enough.
    """

    target: str
    columns: tuple[str, ...]
    casts: tuple[str, ...]
    lead: int | None
    whole: bool


def microseconds(at: dt.datetime | None) -> int:
    """Return microseconds since 1970 UTC, 0 for None."""
    return 0 if at is None else (at - _EPOCH) // _US


async def ledger_rows(conn: Connection, table: str, stream: str, consumer: str) -> list[LedgerRow]:
    """
    Return the ledger's rows of every life of a stream.

    Raises:
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(_LEDGER_SQL.format(table=table).encode(), (stream, consumer))
    return [
        LedgerRow(
            microseconds(born), epoch, hashed, ranges.parse(text), last, microseconds(at), changed.isoformat()
        )
        for born, epoch, hashed, text, last, at, changed in await cursor.fetchall()
    ]  # fmt: skip


async def letters(
    conn: Connection, table: str, origin: Origin, consumer: str, known: Ranges, window: tuple[int, int]
) -> Letters:
    """
    Count dead letters of a stream's present life, and those whose messages are not in `known`.

    Raises:
        psycopg.Error: As the server says.
    """
    values = {
        "stream": origin.stream,
        "incarnation": instant(origin.incarnation_ns),
        "consumer": consumer,
        "known": ranges.literal(known),
        "low": window[0],
        "high": window[1],
    }
    cursor = await conn.execute(_LETTERS_SQL.format(table=table).encode(), values)
    row = await cursor.fetchone()
    assert row is not None
    return Letters(*row)


async def letters_of(
    conn: Connection, table: str, origin: Origin, consumer: str, seqs: Sequence[int]
) -> set[tuple[int, int]]:
    """
    Return which of these messages have a dead letter, as (sequence, epoch).

    Raises:
        psycopg.Error: As the server says.
    """
    values = (origin.stream, instant(origin.incarnation_ns), consumer, list(seqs))
    cursor = await conn.execute(_LETTERS_OF_SQL.format(table=table).encode(), values)
    return {(seq, epoch) for seq, epoch in await cursor.fetchall()}


async def leading_columns(conn: Connection, target: str) -> frozenset[str] | None:
    """
    Return the columns that an index of the table begins with; None where the table is small enough to need none.

    Raises:
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(_LEADING_SQL, {"table": target})
    found = frozenset(name for (name,) in await cursor.fetchall())
    cursor = await conn.execute(_SMALL_SQL, (_SMALL_BYTES_MAX, target))
    row = await cursor.fetchone()
    return None if not found and row and row[0] else found


async def count_rows(conn: Connection, search: Search, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """
    Count, for each of `rows`, the table's rows that have these values.

    Each is looked up by itself, through the index that `search.lead` begins.

    Raises:
        psycopg.Error: As the server says.
    """
    if not rows:
        return []
    names = [f"c{at}" for at in range(len(search.columns))]
    wanted = ", ".join(f"%s::{cast}[]" for cast in search.casts)
    # Where an index is to serve, the comparison must be a plain one; NULL is found only by the other.
    same = " AND ".join(
        f"t.{quote_ident(column)} {'=' if at == search.lead or not search.whole else 'IS NOT DISTINCT FROM'} w.{name}"
        for at, (column, name) in enumerate(zip(search.columns, names, strict=True))
    )
    query = (
        f"SELECT w.at, found.n FROM unnest({wanted}) WITH ORDINALITY AS w({', '.join(names)}, at),"  # noqa: S608
        f" LATERAL (SELECT count(*) AS n FROM {search.target} t WHERE {same}) AS found ORDER BY w.at"
    )
    values = [[row[at] for row in rows] for at in range(len(search.columns))]
    cursor = await conn.execute(query.encode(), values)
    return [n for _, n in await cursor.fetchall()]


async def oldest(conn: Connection, target: str, column: str) -> dt.datetime | None:
    """
    Return the oldest instant in a table's time column, None where the table is empty.

    Raises:
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(f"SELECT min({quote_ident(column)}) FROM {target}".encode())  # noqa: S608
    row = await cursor.fetchone()
    found: dt.datetime | None = row[0] if row else None
    return found
