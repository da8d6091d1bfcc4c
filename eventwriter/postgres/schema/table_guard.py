"""
Detects tables that were altered under a running worker, in the transaction that writes them.

A worker's encoders match the columns at the time of binding. After an ALTER TABLE, PostgreSQL
may reject valid rows; after a change from bigint to double precision it would even accept their
bytes as other values. Each batch's transaction therefore starts, in a single round trip, by
locking its tables as COPY would and reading a fingerprint of their columns, of the defaults and
of the labels of enums. The columns cannot change from then until the end of the transaction.
"""

from collections.abc import Awaitable, Callable, Sequence

from eventwriter.postgres.connect import Connection
from eventwriter.postgres.quoting import quote_literal

CheckTables = Callable[[Connection], Awaitable[None]]
"""Checks that the tables still match the encoders; raises if they do not."""

# ONLY: a parent may have thousands of partitions, and COPY locks those that it writes.
_LOCK = "LOCK TABLE {tables} IN ROW EXCLUSIVE MODE"
# Every change of a catalog row changes its xmin; VACUUM does not.
# A new default may replace only its own row, and a new label of an enum changes neither table nor column.
_FINGERPRINT = (
    "SELECT pg_catalog.concat_ws('/', (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', attrelid, attnum, xmin),"
    " ',' ORDER BY attrelid, attnum) FROM pg_catalog.pg_attribute WHERE attnum > 0 AND attrelid IN ({tables})),"
    " (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', oid, xmin), ',' ORDER BY oid)"
    " FROM pg_catalog.pg_attrdef WHERE adrelid IN ({tables})),"
    " (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', e.oid, e.xmin), ',' ORDER BY e.oid)"
    " FROM pg_catalog.pg_enum e WHERE e.enumtypid IN ("
    "SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END"
    " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    " WHERE a.attnum > 0 AND a.attrelid IN ({tables}) AND t.typtype IN ('d', 'e'))))"
)


class TableGuard:
    """
    Column fingerprints that the transactions of one connection have seen.

    Args:
        begin: BEGIN and the SET statements of a transaction.
    """

    def __init__(self, begin: str) -> None:
        self._begin = begin
        self._statements: dict[tuple[str, ...], str] = {}
        self._fingerprints: dict[tuple[str, ...], str | None] = {}
        """For each set of tables, the fingerprint that was last checked."""

    def reset(self) -> None:
        """Forget all fingerprints, because the connection is new."""
        self._fingerprints.clear()

    async def begin(self, conn: Connection, targets: tuple[str, ...], check: CheckTables | None) -> None:
        """
        Begin a transaction, and check the tables to be written if their fingerprint has changed.

        Args:
            targets: Qualified, quoted names; empty for a transaction that writes only the ledger.

        Raises:
            psycopg.Error: Raised by the server.
            EventwriterError: Raised by `check`.
        """
        if not targets:
            await conn.execute(self._begin)
            return
        if targets not in self._statements:
            self._statements[targets] = guarded_begin_sql(self._begin, targets)
        cursor = await conn.execute(self._statements[targets])
        while cursor.nextset():
            pass
        row = await cursor.fetchone()
        fingerprint = row[0] if row else None
        if check is not None and self._fingerprints.get(targets) != fingerprint:
            await check(conn)
        self._fingerprints[targets] = fingerprint


def guarded_begin_sql(begin: str, targets: Sequence[str]) -> str:
    """
    Return the statements that begin a transaction; the last result is the fingerprint of all columns.

    Args:
        begin: BEGIN and the SET statements of a transaction.
        targets: Qualified, quoted names of the tables to be written; at least one.
    """
    names = list(dict.fromkeys(targets))
    lock = _LOCK.format(tables=", ".join(f"ONLY {name}" for name in names))
    tables = ", ".join(f"{quote_literal(name)}::pg_catalog.regclass::pg_catalog.oid" for name in names)
    return f"{begin}; {lock}; {_FINGERPRINT.format(tables=tables)}"
