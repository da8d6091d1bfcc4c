"""
Read-only queries about messages: ledger rows, dead letters, and whether rows exist.

`eventwriter-ctl verify` compares the results with JetStream.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.clock import datetime_of, epoch_us
from eventwriter.model import Origin
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import ranges
from eventwriter.postgres.ledger.ranges import Ranges
from eventwriter.postgres.quoting import quote_ident

_LEDGER_SQL = """
SELECT incarnation, epoch, filter_hash, committed::text, coalesce(last_seq, 0), last_timestamp, updated_at
FROM {table} WHERE stream = %s AND consumer = %s ORDER BY incarnation, epoch, updated_at
"""

_LAST_MESSAGES_SQL = """
SELECT DISTINCT epoch, last_seq, last_timestamp FROM {table}
WHERE stream = %s AND incarnation = %s AND last_seq IS NOT NULL AND last_timestamp IS NOT NULL
ORDER BY epoch, last_seq
"""

_DEAD_LETTER_COUNTS_SQL = """
SELECT pg_catalog.count(*), pg_catalog.count(DISTINCT d.stream_seq),
       pg_catalog.count(DISTINCT d.stream_seq) FILTER (
         WHERE NOT %(known)s::pg_catalog.int8multirange OPERATOR(pg_catalog.@>) d.stream_seq),
       pg_catalog.min(d.stream_seq) FILTER (
         WHERE NOT %(known)s::pg_catalog.int8multirange OPERATOR(pg_catalog.@>) d.stream_seq)
FROM {table} d
WHERE d.stream = %(stream)s AND d.incarnation = %(incarnation)s AND d.consumer = %(consumer)s
  AND d.stream_seq >= %(low)s AND d.stream_seq < %(high)s
"""

_DEAD_LETTERS_SQL = """
SELECT stream_seq, epoch FROM {table}
WHERE stream = %s AND incarnation = %s AND consumer = %s AND stream_seq = ANY (%s::int8[])
"""

_LEADING_COLUMNS_SQL = """
SELECT a.attname FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
WHERE x.indrelid = %(table)s::pg_catalog.regclass::pg_catalog.oid AND x.indisvalid AND x.indpred IS NULL
"""

_IS_SMALL_SQL = (
    "SELECT c.relkind = 'r' AND pg_catalog.pg_table_size(c.oid) < %s::bigint FROM pg_catalog.pg_class c"
    " WHERE c.oid = %s::pg_catalog.regclass::pg_catalog.oid"
)

_SMALL_BYTES_MAX = 16 * 1024 * 1024
"""Size up to which a table without a suitable index is scanned for each lookup."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """
    One row of the ledger table.

    Attributes:
        incarnation_us: Creation time of the stream, microseconds since 1970 UTC.
        last_us: Latest JetStream timestamp, microseconds since 1970 UTC; 0 if there is none.
        updated_at: ISO 8601 text.
    """

    incarnation_us: int
    epoch: int
    filter_hash: str
    committed: Ranges
    last_seq: int
    last_us: int
    updated_at: str


@dataclass(frozen=True, slots=True)
class DeadLetterCounts:
    """
    Dead letters of one incarnation of a stream.

    Attributes:
        letters: Number of dead letters.
        messages: Number of messages that have one.
        unknown: Number of those messages that the ledger lacks.
        unknown_first: Lowest sequence among them.
    """

    letters: int
    messages: int
    unknown: int
    unknown_first: int | None


@dataclass(frozen=True, slots=True)
class RowLookup:
    """
    How rows of a table are looked up.

    Attributes:
        target: Qualified, quoted name of the table.
        columns: Real column names, in the order of the values.
        casts: SQL type of each value.
        lead: Index of the column that leads a database index; None for a small table without one.
        whole: Whether all comparable values of a row are compared; False if a unique key suffices.
    """

    target: str
    columns: tuple[str, ...]
    casts: tuple[str, ...]
    lead: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class LastMessage:
    """
    The last message of one ledger row of a stream, whatever its consumer.

    Attributes:
        last_us: JetStream timestamp, microseconds since 1970 UTC.
    """

    epoch: int
    last_seq: int
    last_us: int


async def last_messages(conn: Connection, table: str, stream: str, incarnation_ns: int) -> list[LastMessage]:
    """
    Return the last message of each ledger row of one incarnation of a stream, oldest epoch first.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_LAST_MESSAGES_SQL.format(table=table), (stream, datetime_of(incarnation_ns)))
    return [LastMessage(epoch, last_seq, epoch_us(last)) for epoch, last_seq, last in await cursor.fetchall()]


async def ledger_rows(conn: Connection, table: str, stream: str, consumer: str) -> list[LedgerRow]:
    """
    Return the ledger rows of all incarnations of a stream.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_LEDGER_SQL.format(table=table).encode(), (stream, consumer))
    return [
        LedgerRow(
            incarnation_us=epoch_us(incarnation),
            epoch=epoch,
            filter_hash=filter_hash,
            committed=ranges.parse(committed),
            last_seq=last_seq,
            last_us=0 if last_timestamp is None else epoch_us(last_timestamp),
            updated_at=updated_at.isoformat(),
        )
        for incarnation, epoch, filter_hash, committed, last_seq, last_timestamp, updated_at in await cursor.fetchall()
    ]


async def count_dead_letters(
    conn: Connection, table: str, origin: Origin, consumer: str, known: Ranges, window: tuple[int, int]
) -> DeadLetterCounts:
    """
    Count the dead letters of a stream's current incarnation, and those whose messages are not in `known`.

    Args:
        window: First sequence, and the one after the last.

    Raises:
        psycopg.Error: Raised by the server.
    """
    values = {
        "stream": origin.stream,
        "incarnation": datetime_of(origin.incarnation_ns),
        "consumer": consumer,
        "known": ranges.literal(known),
        "low": window[0],
        "high": window[1],
    }
    cursor = await conn.execute(_DEAD_LETTER_COUNTS_SQL.format(table=table).encode(), values)
    row = await cursor.fetchone()
    assert row is not None
    return DeadLetterCounts(*row)


async def dead_letters_of(
    conn: Connection, table: str, origin: Origin, consumer: str, seqs: Sequence[int]
) -> set[tuple[int, int]]:
    """
    Return those of the messages that have a dead letter, as (sequence, epoch).

    Raises:
        psycopg.Error: Raised by the server.
    """
    values = (origin.stream, datetime_of(origin.incarnation_ns), consumer, list(seqs))
    cursor = await conn.execute(_DEAD_LETTERS_SQL.format(table=table).encode(), values)
    return {(seq, epoch) for seq, epoch in await cursor.fetchall()}


async def leading_columns(conn: Connection, target: str) -> frozenset[str] | None:
    """
    Return the leading columns of a table's indexes; None if the table is small enough to be scanned.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_LEADING_COLUMNS_SQL, {"table": target})
    columns = frozenset(name for (name,) in await cursor.fetchall())
    cursor = await conn.execute(_IS_SMALL_SQL, (_SMALL_BYTES_MAX, target))
    row = await cursor.fetchone()
    return None if not columns and row and row[0] else columns


async def count_rows(conn: Connection, lookup: RowLookup, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """
    Count, for each of `rows`, the table's rows that have these values.

    Keys are looked up through their index, whole rows through the index that `lookup.lead` leads.

    Raises:
        psycopg.Error: Raised by the server.
    """
    if not rows:
        return []
    values = [[row[at] for row in rows] for at in range(len(lookup.columns))]
    cursor = await conn.execute((_grouped_sql(lookup) if lookup.whole else _indexed_sql(lookup)).encode(), values)
    counts = [0] * len(rows)
    for places, count in await cursor.fetchall():
        for at in places:
            counts[at - 1] = count
    return counts


def _indexed_sql(lookup: RowLookup) -> str:
    """Return the query that looks up each row by its key, through an index."""
    arrays = ", ".join(f"pg_catalog.unnest(%s::{cast}[])" for cast in lookup.casts)
    names = [f"c{at}" for at in range(len(lookup.columns))]
    same = " AND ".join(
        f"t.{quote_ident(column)} = w.{name}" for column, name in zip(lookup.columns, names, strict=True)
    )
    return (
        f"SELECT ARRAY[w.at], found.n FROM ROWS FROM ({arrays}) WITH ORDINALITY AS w({', '.join(names)}, at),"  # noqa: S608
        f" LATERAL (SELECT pg_catalog.count(*) AS n FROM {lookup.target} t WHERE {same}) AS found"
    )


def _grouped_sql(lookup: RowLookup) -> str:
    """
    Return the query that compares whole rows in one pass, with NULL equal to NULL.

    A lookup for each row would read all rows with the same leading value once for each of them, such as hundreds of
    thousands with one timestamp.
    """
    arrays = ", ".join(f"pg_catalog.unnest(%s::{cast}[])" for cast in lookup.casts)
    names = ", ".join(f"c{at}" for at in range(len(lookup.columns)))
    columns = ", ".join(
        f"t.{quote_ident(column)}::{cast}" for column, cast in zip(lookup.columns, lookup.casts, strict=True)
    )
    leading = ""
    if lookup.lead is not None:
        leading = f" WHERE t.{quote_ident(lookup.columns[lookup.lead])} IN (SELECT c{lookup.lead} FROM wanted)"  # noqa: S608
    return (
        f"WITH wanted AS MATERIALIZED (SELECT * FROM ROWS FROM ({arrays}) WITH ORDINALITY AS w({names}, at))"  # noqa: S608
        " SELECT pg_catalog.array_agg(at) FILTER (WHERE at IS NOT NULL),"
        " pg_catalog.count(*) FILTER (WHERE at IS NULL)"
        f" FROM (SELECT {names}, at FROM wanted UNION ALL SELECT {columns}, NULL FROM {lookup.target} t{leading}) rows"
        f" GROUP BY {names} HAVING pg_catalog.count(at) > 0"
    )


async def is_empty(conn: Connection, target: str) -> bool:
    """
    Return whether a table has no row.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(f"SELECT NOT EXISTS (SELECT FROM {target})".encode())  # noqa: S608
    row = await cursor.fetchone()
    return bool(row and row[0])


_BEFORE_TRIGGERS_SQL = """
SELECT t.tgname FROM pg_catalog.pg_trigger t
WHERE t.tgrelid IN (SELECT %(table)s::pg_catalog.regclass::pg_catalog.oid
                    UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(%(table)s::pg_catalog.regclass) p)
  AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND (t.tgtype & 7) = 7
GROUP BY t.tgname ORDER BY t.tgname
"""
"""Bits of `tgtype`: 1 FOR EACH ROW, 2 BEFORE, 4 INSERT. Source: PostgreSQL, src/include/catalog/pg_trigger.h."""


async def before_triggers(conn: Connection, target: str) -> list[str]:
    """
    Return the names of the row triggers that run before an INSERT, on the table or on a partition.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_BEFORE_TRIGGERS_SQL, {"table": target})
    return [str(name) for (name,) in await cursor.fetchall()]


async def oldest(conn: Connection, target: str, column: str) -> dt.datetime | None:
    """
    Return the oldest value of a table's time column; None if the table is empty.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(f"SELECT min({quote_ident(column)}) FROM {target}".encode())  # noqa: S608
    row: tuple[dt.datetime | None] | None = await cursor.fetchone()
    return row[0] if row else None
