"""
Tables that are changed under a running worker: noticed by the transaction that would write them.

A worker's encoders are made for the columns as they were when it bound. An ALTER may
make PostgreSQL refuse good rows, and one from bigint to double precision would even
have it take their bytes for other values. So each batch's transaction, in the round
trip that begins it, locks its tables as COPY would, and asks for a mark of their
columns. From then on they cannot change before its end.
"""

from collections.abc import Awaitable, Callable, Sequence

from eventwriter.postgres.connect import Connection

Look = Callable[[Connection], Awaitable[None]]
"""Looks whether the tables are still what the encoders were made for; raises where they are not."""

# ONLY: a parent may have thousands of partitions, and COPY locks those that it writes.
_LOCK = "LOCK TABLE {tables} IN ROW EXCLUSIVE MODE"
# A catalog row gets another xmin whenever it is changed; VACUUM leaves it alone.
_MARK = (
    "SELECT string_agg(attrelid::text || ' ' || attnum::text || ' ' || xmin::text, ',' ORDER BY attrelid, attnum)"
    " FROM pg_catalog.pg_attribute WHERE attnum > 0 AND attrelid IN ({tables})"
)


class Watch:
    """
    What one connection's transactions have seen of the tables they write.

    Args:
        begin: BEGIN and what is set.
    """

    def __init__(self, begin: str) -> None:
        self._begin = begin
        self._texts: dict[tuple[str, ...], str] = {}
        self._marks: dict[tuple[str, ...], str | None] = {}
        """For each set of tables, the mark of their columns when they were last looked at."""

    def forget(self) -> None:
        """Have the next transaction look, whatever it finds: the connection is another one."""
        self._marks.clear()

    async def begin(self, conn: Connection, targets: tuple[str, ...], look: Look | None) -> None:
        """
        Begin a transaction; look at the tables to be written where their mark is not the one seen before.

        Args:
            targets: Their qualified, quoted names; none for a transaction that writes the ledger only.

        Raises:
            psycopg.Error: As the server says.
            EventwriterError: What `look` raises.
        """
        if not targets:
            await conn.execute(self._begin)
            return
        if targets not in self._texts:
            self._texts[targets] = begin_sql(self._begin, targets)
        cursor = await conn.execute(self._texts[targets])
        while cursor.nextset():
            pass
        row = await cursor.fetchone()
        mark = row[0] if row else None
        if look is not None and self._marks.get(targets) != mark:
            await look(conn)
        self._marks[targets] = mark


def begin_sql(begin: str, targets: Sequence[str]) -> str:
    """
    Return what begins a transaction; its last result is one mark of all columns.

    Args:
        begin: BEGIN and what is set.
        targets: Qualified, quoted names of the tables that will be written; at least one.
    """
    names = list(dict.fromkeys(targets))
    lock = _LOCK.format(tables=", ".join(f"ONLY {name}" for name in names))
    mark = _MARK.format(tables=", ".join(f"{_literal(name)}::pg_catalog.regclass" for name in names))
    return f"{begin}; {lock}; {mark}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
