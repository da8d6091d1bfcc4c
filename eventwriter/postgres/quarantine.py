"""
SQL of the quarantine table `eventwriter_suspects`: one note for each group of messages that a worker decodes.

A note is committed before suspected messages are decoded and deleted once their rows are built. A note that a new
worker finds under its own name therefore proves that the previous worker died in between.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from eventwriter.clock import datetime_of
from eventwriter.errors import Fatal
from eventwriter.model import Origin
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.schema.catalog import read_columns

QUARANTINE_TABLE = "eventwriter_suspects"
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""Privileges that the daemon's role needs on the table."""

_KEY = "stream = %s AND incarnation = %s AND epoch = %s AND consumer = %s"
# A note may be lost with a crash of the server, because such a crash is no death of a worker.
_ASYNCHRONOUS_SQL = "SET LOCAL synchronous_commit TO off"
_PRIVILEGES_SQL = (
    "SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege(%s, privilege))"
    " FROM pg_catalog.unnest(%s::text[]) privilege"
)


@dataclass(frozen=True, slots=True)
class QuarantineNote:
    """Note left by a worker that died while it decoded these messages and no others."""

    id: int
    stream_seqs: Sequence[int]
    noted_at: dt.datetime


@dataclass(frozen=True, slots=True)
class QuarantineNotes:
    """
    The notes of one consumer in one epoch of a stream.

    Each method runs in the caller's transaction and raises psycopg.Error.

    Attributes:
        table: Qualified, quoted name.
        holder: Identifies the writer of notes: host, supervisor and slot; the same for every worker of a slot.
    """

    table: str
    origin: Origin
    consumer: str
    holder: str

    def _key(self) -> tuple[object, ...]:
        return (self.origin.stream, datetime_of(self.origin.incarnation_ns), self.origin.epoch, self.consumer)

    async def read_left_behind(self, conn: Connection, predecessor_died: bool) -> list[QuarantineNote]:
        """
        Return the notes of workers that died.

        Args:
            predecessor_died: Whether an open note of this holder was left by a dead worker. If false, it is this
                process's own and is deleted.
        """
        if predecessor_died:
            await conn.execute(
                f"UPDATE {self.table} SET holder = NULL WHERE {_KEY} AND holder = %s",  # noqa: S608
                (*self._key(), self.holder),
            )
        else:
            await self.close(conn)
        cursor = await conn.execute(
            f"SELECT id, stream_seqs, noted_at FROM {self.table} WHERE {_KEY} AND holder IS NULL ORDER BY id",  # noqa: S608
            self._key(),
        )
        return [QuarantineNote(*row) for row in await cursor.fetchall()]

    async def open(self, conn: Connection, stream_seqs: Sequence[int]) -> None:
        """Insert a note of the messages that are about to be decoded."""
        # After a COMMIT without an answer a note may be open already; two notes would count as two deaths.
        await self.close(conn)
        await conn.execute(
            f"INSERT INTO {self.table} (stream, incarnation, epoch, consumer, stream_seqs, holder)"  # noqa: S608
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (*self._key(), list(stream_seqs), self.holder),
        )

    async def close(self, conn: Connection) -> None:
        """Delete the open note: its messages were decoded and the worker survived."""
        await conn.execute(_ASYNCHRONOUS_SQL)
        await conn.execute(
            f"DELETE FROM {self.table} WHERE {_KEY} AND holder = %s",  # noqa: S608
            (*self._key(), self.holder),
        )

    async def delete(self, conn: Connection, notes: Sequence[QuarantineNote]) -> None:
        """Delete notes of dead workers whose messages are all settled."""
        await conn.execute(f"DELETE FROM {self.table} WHERE id = ANY(%s)", ([note.id for note in notes],))  # noqa: S608


async def find_table(conn: Connection, schema: str | None) -> str:
    """
    Return the qualified, quoted name of the quarantine table.

    Raises:
        Fatal: The table does not exist, or the daemon's role lacks a privilege on it.
        psycopg.Error: The query failed.
    """
    table, _ = await read_columns(conn, schema, QUARANTINE_TABLE)
    row = await (await conn.execute(_PRIVILEGES_SQL, (table, list(PRIVILEGES)))).fetchone()
    if not (row and row[0]):
        raise Fatal(
            f"the daemon's role lacks privileges on table {table}",
            code="privilege_missing",
            hint=f"run GRANT {', '.join(PRIVILEGES)} ON {table} TO the daemon's role",
        )
    return table
