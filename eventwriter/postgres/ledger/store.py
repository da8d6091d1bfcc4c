"""
The ledger: which stream sequences have their rows in this database.

One row for each (stream, incarnation, epoch, consumer, filter). It is updated in
the batch's own transaction, as the last statement before COMMIT, on the condition
that nothing of the batch is there already. So whatever is delivered again (after a
crash, a COMMIT whose answer was lost, a consumer made anew, a second host) is
known, and each message's rows are in the database once.
"""

import datetime as dt
import hashlib
import logging
from dataclasses import dataclass, field
from typing import Any

from eventwriter.errors import Retryable
from eventwriter.model import Message, Origin
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import ranges
from eventwriter.postgres.ledger.ranges import Newest, Ranges

log = logging.getLogger(__name__)

LEDGER_TABLE = "eventwriter_ledger"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_KEY = "stream = %s AND incarnation = %s AND epoch = %s AND consumer = %s AND filter_hash = %s"


def filter_hash(subjects: tuple[str, ...]) -> str:
    """Name a set of filter subjects; changed subjects begin a new ledger row."""
    return hashlib.blake2b("\n".join(sorted(subjects)).encode(), digest_size=8).hexdigest()


def instant(at_ns: int) -> dt.datetime:
    """Return a timestamptz of nanoseconds since 1970, cut to microseconds."""
    return _EPOCH + dt.timedelta(microseconds=at_ns // 1000)


def micros(at: dt.datetime) -> int:
    """Return a timestamptz as microseconds since 1970 UTC."""
    return (at - _EPOCH) // dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """Whose ledger: a durable over given subjects of one life of a stream."""

    origin: Origin
    consumer: str
    filter_hash: str

    def values(self) -> tuple[Any, ...]:
        """Return the primary key's values, in its order."""
        origin = self.origin
        return (origin.stream, instant(origin.incarnation_ns), origin.epoch, self.consumer, self.filter_hash)


@dataclass(frozen=True, slots=True)
class ClosedEpoch:
    """What an epoch that is over has written: sequences, and the latest JetStream timestamp among them (µs)."""

    committed: Ranges
    last_us: int


@dataclass(slots=True)
class Ledger:
    """
    One ledger row, and this worker's picture of it.

    The picture saves asking: it is exact while only one worker uses the durable,
    and where several do, the condition in `UPDATE` still decides.
    """

    key: LedgerKey
    table: str
    """The ledger's qualified, quoted name."""
    committed: Ranges = field(default_factory=list)
    last_seq: int = 0
    last_us: int = 0
    """The latest JetStream timestamp among them: microseconds since 1970 UTC."""
    earlier: tuple[ClosedEpoch, ...] = ()
    """Epochs that are over: what is left of them in the stream may be delivered again."""

    def has(self, seq: int) -> bool:
        """Say whether the picture has this sequence, in the present epoch."""
        return ranges.contains(self.committed, seq)

    def knows(self, message: Message) -> bool:
        """Say whether this message was written: in the present epoch, or in one that is over, by its timestamp too."""
        seq = message.stream_seq
        if ranges.contains(self.committed, seq):
            return True
        at_us = message.timestamp_ns // 1000
        return any(at_us <= epoch.last_us and ranges.contains(epoch.committed, seq) for epoch in self.earlier)

    def known_below(self) -> int:
        """Return the sequence from which on nothing is known."""
        return max(
            (known[-1][1] for known in (self.committed, *(e.committed for e in self.earlier)) if known), default=0
        )

    def regressed(self, message: Message) -> bool:
        """
        Say whether a message whose sequence the ledger has must be another one.

        A genuine redelivery carries a timestamp that the ledger has seen, or an
        older one. A later one means that the stream lost its end (a power failure, a
        restored backup) and gave the sequence out again.
        """
        return message.timestamp_ns // 1000 > self.last_us and self.has(message.stream_seq)

    def floor(self) -> int | None:
        """Return the first sequence that a consumer made anew must deliver; None for the stream's first."""
        return self.committed[0][1] if self.committed else None

    def remember(self, covered: Ranges, newest: Newest) -> None:
        """Add to the picture what was committed."""
        self.committed = ranges.union(self.committed, covered)
        self.last_seq = max(self.last_seq, newest.stream_seq)
        self.last_us = max(self.last_us, newest.timestamp_ns // 1000)

    async def record(self, conn: Connection, covered: Ranges, newest: Newest) -> bool:
        """
        Write `covered` into the row, inside the caller's transaction.

        Returns:
            False where something in it is committed already: roll back.

        Raises:
            psycopg.Error: As the server says.
        """
        literal = ranges.literal(covered)
        cursor = await conn.execute(
            f"UPDATE {self.table} SET committed = committed + %s::int8multirange,"  # noqa: S608
            " last_seq = greatest(last_seq, %s), last_timestamp = greatest(last_timestamp, %s), updated_at = now()"
            f" WHERE {_KEY} AND NOT committed && %s::int8multirange",
            (literal, newest.stream_seq, instant(newest.timestamp_ns), *self.key.values(), literal),
        )
        return cursor.rowcount == 1

    async def refresh(self, conn: Connection) -> None:
        """
        Read the row again, making it where it is missing.

        Raises:
            psycopg.Error: As the server says.
        """
        await conn.execute(
            f"INSERT INTO {self.table} (stream, incarnation, epoch, consumer, filter_hash)"  # noqa: S608
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            self.key.values(),
        )
        cursor = await conn.execute(
            f"SELECT committed::text, coalesce(last_seq, 0), last_timestamp FROM {self.table}"  # noqa: S608
            f" WHERE {_KEY}",
            self.key.values(),
        )
        row = await cursor.fetchone()
        if row is None:
            raise Retryable(f"the row of {self.key.origin.stream} in {self.table} was removed while it was being read")
        self.committed = ranges.parse(row[0])
        self.last_seq = row[1]
        self.last_us = 0 if row[2] is None else micros(row[2])

    async def fold(self, conn: Connection, low: int, ack_floor: int) -> bool:
        """
        Close the holes below the consumer's ack floor: everything there is settled,
        or not wanted by the filter.

        Only up to `last_seq`: beyond it nothing is known to be in this database.

        Args:
            low: Where the consumer began; below it nothing is known either.
            ack_floor: The consumer's ack floor, a stream sequence.

        Returns:
            Whether there was a hole to close.

        Raises:
            psycopg.Error: As the server says.
        """
        settled = (max(low, self.committed[0][0]) if self.committed else low, min(ack_floor, self.last_seq) + 1)
        if len(self.committed) < 2 or not ranges.difference(ranges.normal([settled]), self.committed):
            return False
        await conn.execute(
            f"UPDATE {self.table} SET committed = committed + %s::int8multirange, updated_at = now()"  # noqa: S608
            f" WHERE {_KEY}",
            (ranges.literal([settled]), *self.key.values()),
        )
        await self.refresh(conn)
        return True


async def forget(conn: Connection, ledger: Ledger, passed_over: Ranges) -> None:
    """
    Take out what nobody wrote, so that it is written when it is delivered.

    Raises:
        psycopg.Error: As the server says.
    """
    await conn.execute(
        f"UPDATE {ledger.table} SET committed = committed - %s::int8multirange WHERE {_KEY}",  # noqa: S608
        (ranges.literal(passed_over), *ledger.key.values()),
    )
    await ledger.refresh(conn)
