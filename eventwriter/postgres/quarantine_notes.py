"""
The notes of quarantine: which messages a worker had in hand while it decoded.

A note is committed before messages that are suspected of killing workers are
decoded, and taken back as soon as their rows are built. So a note that a new worker
finds under its own name says for certain that the one before died in between.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from eventwriter.model import Origin
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger.store import instant

SUSPECTS = "eventwriter_suspects"
_KEY = "stream = %s AND incarnation = %s AND epoch = %s AND consumer = %s"
# A note need not outlive the server's own crash: that is no death of a worker.
_QUICK = "SET LOCAL synchronous_commit TO off"


_PERMITTED_SQL = "SELECT bool_and(has_table_privilege(%s, right_)) FROM unnest(%s::text[]) right_"
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""What the daemon's role needs on the table."""


async def permitted(conn: Connection, table: str) -> bool:
    """Say whether this role may do all that notes need. Raises psycopg.Error."""
    row = await (await conn.execute(_PERMITTED_SQL, (table, list(RIGHTS)))).fetchone()
    return bool(row and row[0])


@dataclass(frozen=True, slots=True)
class Note:
    """One note that was left behind: a worker died while it decoded these messages, and only these."""

    id: int
    stream_seqs: Sequence[int]
    noted_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Notes:
    """
    The notes of one consumer over one life of a stream; each call is within the caller's transaction.

    Every method raises psycopg.Error, as the server says.

    Attributes:
        table: Its qualified, quoted name.
        holder: Whose notes are written: host, supervisor and slot, the same for a slot's every worker.
    """

    table: str
    origin: Origin
    consumer: str
    holder: str

    def _key(self) -> tuple[object, ...]:
        return (self.origin.stream, instant(self.origin.incarnation_ns), self.origin.epoch, self.consumer)

    async def find(self, conn: Connection, died: bool) -> list[Note]:
        """
        Return the notes that were left behind.

        Args:
            died: Whether an open note of this holder means a death; false where it is this process's own.
        """
        if died:
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
        return [Note(*row) for row in await cursor.fetchall()]

    async def open(self, conn: Connection, stream_seqs: Sequence[int]) -> None:
        """Note what is about to be decoded."""
        # An open one may be there: a COMMIT whose answer was lost. Two would count as two deaths.
        await self.close(conn)
        await conn.execute(
            f"INSERT INTO {self.table} (stream, incarnation, epoch, consumer, stream_seqs, holder)"  # noqa: S608
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (*self._key(), list(stream_seqs), self.holder),
        )

    async def close(self, conn: Connection) -> None:
        """Take the open note back: what it names was decoded, and we live."""
        await conn.execute(_QUICK)
        await conn.execute(
            f"DELETE FROM {self.table} WHERE {_KEY} AND holder = %s",  # noqa: S608
            (*self._key(), self.holder),
        )

    async def forget(self, conn: Connection, notes: Sequence[Note]) -> None:
        """Delete notes that were left behind and whose messages are all settled."""
        await conn.execute(f"DELETE FROM {self.table} WHERE id = ANY(%s)", ([note.id for note in notes],))  # noqa: S608
