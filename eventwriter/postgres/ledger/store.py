"""
The ledger: stream sequences whose rows are committed in this database.

There is one row for each (stream, incarnation, epoch, consumer, filter). It is updated in the
batch's transaction, as the last statement before COMMIT, on the condition that it contains
nothing of the batch yet. A message that is delivered again, for example after a crash, a COMMIT
whose response was lost, or to another host, is therefore recognised, and its rows are written
exactly once.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from eventwriter.clock import datetime_of, epoch_us
from eventwriter.errors import Retryable
from eventwriter.model import Message, Origin
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import ranges
from eventwriter.postgres.ledger.ranges import Newest, Ranges

LEDGER_TABLE = "eventwriter_ledger"

_KEY = "stream = %s AND incarnation = %s AND epoch = %s AND consumer = %s AND filter_hash = %s"


def filter_hash(subjects: tuple[str, ...]) -> str:
    """Return a hash that identifies a set of filter subjects; changed subjects start a new ledger row."""
    return hashlib.blake2b("\n".join(sorted(subjects)).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """Primary key of a ledger row: one epoch of a stream, as consumed by a durable with a set of filter subjects."""

    origin: Origin
    consumer: str
    filter_hash: str

    def values(self) -> tuple[Any, ...]:
        """Return the values of the primary key's columns, in their order."""
        origin = self.origin
        return (origin.stream, datetime_of(origin.incarnation_ns), origin.epoch, self.consumer, self.filter_hash)


@dataclass(frozen=True, slots=True)
class ClosedEpoch:
    """
    Committed sequences of an epoch that has ended.

    Attributes:
        last_us: Latest JetStream timestamp among them: microseconds since 1970 UTC.
    """

    committed: Ranges
    last_us: int


@dataclass(slots=True)
class Ledger:
    """
    One ledger row, cached.

    The cache saves queries. It is exact while a single worker uses the durable; if several do,
    the condition of the UPDATE in `record` decides.

    Attributes:
        table: Qualified, quoted name of the ledger table.
        last_us: Latest committed JetStream timestamp: microseconds since 1970 UTC.
        closed_epochs: Epochs that have ended; their messages may still be delivered again.
        is_closed: Whether another worker has started a newer epoch, so that nothing more is recorded in this one.
        first_seq: First sequence that the consumer may have to deliver, as it was before the first batch: everything
            below is settled or was never wanted. None if unknown, in rows of older versions.
        is_suspect: Whether the stream seems to have lost its end, which is not confirmed. Nothing beyond `last_seq` may
            be written then, because a later `last_us` would hide the proof.
        confirmed: Whether everything that was read from the table is known to be on the synchronous standby, if there
            is one. A COMMIT whose wait for the standby was interrupted is visible, but a failover may lose it, so its
            messages must not be acknowledged yet.
    """

    key: LedgerKey
    table: str
    committed: Ranges = field(default_factory=list)
    last_seq: int = 0
    last_us: int = 0
    closed_epochs: tuple[ClosedEpoch, ...] = ()
    is_closed: bool = False
    first_seq: int | None = None
    is_suspect: bool = False
    confirmed: bool = True

    def has_seq(self, seq: int) -> bool:
        """Return whether the current epoch contains this sequence."""
        return ranges.contains(self.committed, seq)

    def has_message(self, message: Message) -> bool:
        """Return whether a message is committed, in the current epoch or, by its timestamp, in a closed one."""
        seq = message.stream_seq
        if ranges.contains(self.committed, seq):
            return True
        at_us = message.timestamp_ns // 1000
        return any(at_us <= epoch.last_us and ranges.contains(epoch.committed, seq) for epoch in self.closed_epochs)

    def end_seq(self) -> int:
        """Return the sequence after the last committed one of all epochs."""
        epochs = (self.committed, *(epoch.committed for epoch in self.closed_epochs))
        return max((committed[-1][1] for committed in epochs if committed), default=0)

    def shows_regression(self, message: Message) -> bool:
        """
        Return whether a message must be another one than the committed message of its sequence.

        A redelivered message has a timestamp that the ledger contains, or an earlier one. A later
        timestamp means that the stream lost its end, in a power failure or by the restore of a
        backup, and assigned the sequence again.
        """
        return message.timestamp_ns // 1000 > self.last_us and self.has_seq(message.stream_seq)

    def resume_seq(self) -> int | None:
        """
        Return the first sequence that the ledger lacks, where a recreated consumer must start.

        None if the ledger is empty: the consumer's specification decides.
        """
        if not self.committed:
            return None
        low, high = self.committed[0]
        return high if self.first_seq is None or low <= self.first_seq else self.first_seq

    def add_committed(self, covered: Ranges, newest: Newest) -> None:
        """Add committed sequences to the cache."""
        self.committed = ranges.union(self.committed, covered)
        self.last_seq = max(self.last_seq, newest.stream_seq)
        self.last_us = max(self.last_us, newest.timestamp_ns // 1000)

    async def record(self, conn: Connection, covered: Ranges, newest: Newest) -> bool:
        """
        Add `covered` to the row, within the caller's transaction.

        Returns:
            False if the row contains part of it already, or if the epoch is closed; the caller must roll back.

        Raises:
            psycopg.Error: Raised by the server.
        """
        literal = ranges.literal(covered)
        cursor = await conn.execute(
            f"UPDATE {self.table} SET committed = committed OPERATOR(pg_catalog.+) %s::pg_catalog.int8multirange,"  # noqa: S608
            " last_seq = greatest(last_seq, %s), last_timestamp = greatest(last_timestamp, %s),"
            " updated_at = pg_catalog.now()"
            f" WHERE {_KEY} AND closed_at IS NULL "
            " AND NOT committed OPERATOR(pg_catalog.&&) %s::pg_catalog.int8multirange",
            (literal, newest.stream_seq, datetime_of(newest.timestamp_ns), *self.key.values(), literal),
        )
        return cursor.rowcount == 1

    async def refresh(self, conn: Connection) -> None:
        """
        Read the row into the cache, inserting the row if it does not exist.

        Raises:
            Retryable: Another session deleted the row meanwhile.
            psycopg.Error: Raised by the server.
        """
        row = await self._read(conn)
        if row is None:
            # Not before the first read: ON CONFLICT would wait for a batch that another session is committing.
            await conn.execute(
                f"INSERT INTO {self.table} (stream, incarnation, epoch, consumer, filter_hash)"  # noqa: S608
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                self.key.values(),
            )
            row = await self._read(conn)
        if row is None:
            message = f"the row of stream {self.key.origin.stream} in {self.table} was deleted while it was being read"
            raise Retryable(message, code="ledger_row_deleted")
        self.committed = ranges.parse(row[0])
        self.last_seq = row[1]
        self.last_us = 0 if row[2] is None else epoch_us(row[2])
        self.is_closed = row[3]
        self.first_seq = row[4]
        self.confirmed = False

    async def _read(self, conn: Connection) -> tuple[Any, ...] | None:
        cursor = await conn.execute(
            f"SELECT committed::text, coalesce(last_seq, 0), last_timestamp, closed_at IS NOT NULL, first_seq"  # noqa: S608
            f" FROM {self.table} WHERE {_KEY}",
            self.key.values(),
        )
        return await cursor.fetchone()

    async def touch(self, conn: Connection) -> None:
        """
        Change the row, so that COMMIT waits for the synchronous standby; everything read before is then there too.

        Raises:
            psycopg.Error: Raised by the server.
        """
        await conn.execute(f"UPDATE {self.table} SET updated_at = pg_catalog.now() WHERE {_KEY}", self.key.values())  # noqa: S608

    async def set_first_seq(self, conn: Connection, seq: int) -> None:
        """
        Record the first sequence that the consumer may have to deliver, unless it is recorded and a batch was written.

        Raises:
            psycopg.Error: Raised by the server.
        """
        if self.committed:
            seq = min(seq, self.committed[0][0])
        await conn.execute(
            f"UPDATE {self.table} SET first_seq = %s"  # noqa: S608
            f" WHERE {_KEY} AND (first_seq IS NULL OR pg_catalog.isempty(committed))",
            (seq, *self.key.values()),
        )
        await self.refresh(conn)

    def holes(self, start_seq: int | None, ack_floor: int) -> Ranges:
        """
        Return the sequences up to the consumer's ack floor that the ledger lacks.

        Nothing is known below `first_seq` or, if that is unknown, below the consumer's start and the first range.

        Args:
            start_seq: First sequence of the consumer; None if unknown.
            ack_floor: The consumer's ack floor as a stream sequence.
        """
        if not self.committed:
            return []
        low = max(start_seq or 0, self.committed[0][0]) if self.first_seq is None else self.first_seq
        return ranges.difference(ranges.normal([(low, ack_floor + 1)]), self.committed)

    async def compact(self, conn: Connection, start_seq: int | None, ack_floor: int, elsewhere: Ranges) -> bool:
        """
        Close the holes below the consumer's ack floor.

        Messages in such a hole are settled or do not match the filter subjects. Only holes up to
        `last_seq` are closed, because nothing beyond it is known to be in this database.

        Args:
            start_seq: First sequence of the consumer; None if unknown.
            ack_floor: The consumer's ack floor as a stream sequence.
            elsewhere: Sequences that were written in closed epochs, and that their rows must keep.

        Returns:
            Whether there was a hole.

        Raises:
            psycopg.Error: Raised by the server.
        """
        holes = ranges.difference(self.holes(start_seq, min(ack_floor, self.last_seq)), elsewhere)
        if not holes:
            return False
        await conn.execute(
            f"UPDATE {self.table} SET committed = committed OPERATOR(pg_catalog.+) %s::pg_catalog.int8multirange,"  # noqa: S608
            f" updated_at = pg_catalog.now() WHERE {_KEY} AND closed_at IS NULL",
            (ranges.literal(holes), *self.key.values()),
        )
        await self.refresh(conn)
        return True

    async def remove(self, conn: Connection, sequences: Ranges) -> None:
        """
        Remove sequences that were not written, so that they are written when they are delivered.

        Raises:
            psycopg.Error: Raised by the server.
        """
        await conn.execute(
            f"UPDATE {self.table} SET committed = committed OPERATOR(pg_catalog.-) %s::pg_catalog.int8multirange"  # noqa: S608
            f" WHERE {_KEY} AND closed_at IS NULL",
            (ranges.literal(sequences), *self.key.values()),
        )
        await self.refresh(conn)
