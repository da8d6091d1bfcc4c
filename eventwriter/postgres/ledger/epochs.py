"""
Epochs: periods of a stream between regressions, with separate ledger rows.

JetStream may lose the end of a stream in a power failure, or a stream may be restored from a
backup. New messages then have sequences that the ledger already contains. A new epoch is a new
ledger row, which contains none of them.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from eventwriter.clock import datetime_of, epoch_us
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import ranges
from eventwriter.postgres.ledger.store import ClosedEpoch, Ledger, LedgerKey

log = logging.getLogger(__name__)


async def latest_epoch(conn: Connection, table: str, key: LedgerKey) -> int:
    """
    Return the newest epoch of the stream's incarnation for this consumer, 0 if there is none.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(
        f"SELECT coalesce(max(epoch), 0) FROM {table}"  # noqa: S608
        " WHERE stream = %s AND incarnation = %s AND consumer = %s AND filter_hash = %s",
        (key.origin.stream, datetime_of(key.origin.incarnation_ns), key.consumer, key.filter_hash),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def closed_epochs(conn: Connection, ledger: Ledger, server_now_us: int) -> tuple[ClosedEpoch, ...]:
    """
    Return the ended epochs of the same incarnation, consumer and filter.

    Args:
        server_now_us: Current time of the NATS server. An epoch with a later timestamp is left out, because the
            server's clock was set back and new messages may have its timestamps; they are rather written twice
            than lost.

    Raises:
        psycopg.Error: Raised by the server.
    """
    origin = ledger.key.origin
    cursor = await conn.execute(
        f"SELECT committed::text, last_timestamp FROM {ledger.table}"  # noqa: S608
        " WHERE stream = %s AND incarnation = %s AND epoch < %s AND consumer = %s AND filter_hash = %s"
        " AND last_timestamp IS NOT NULL",
        (origin.stream, datetime_of(origin.incarnation_ns), origin.epoch, ledger.key.consumer, ledger.key.filter_hash),
    )
    epochs = [ClosedEpoch(ranges.parse(row[0]), epoch_us(row[1])) for row in await cursor.fetchall()]
    return tuple(epoch for epoch in epochs if epoch.last_us < server_now_us)


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """
    Current end of a stream.

    Attributes:
        last_seq: Last sequence of the stream.
        stored_us: Returns when the message of a sequence was stored, in microseconds since 1970, or None if unknown.
        now_ns: Time of the NATS server in nanoseconds since 1970 UTC; 0 if the server (before 2.10) does not report
            it. Redelivered messages of closed epochs are then written again.
    """

    last_seq: int
    stored_us: Callable[[int], Awaitable[int | None]]
    now_ns: int = 0


async def went_backwards(last_seq: int, last_us: int, end: StreamEnd) -> bool:
    """
    Return whether the stream ends before the ledger, or has another message at the ledger's last sequence.

    Args:
        last_seq: Highest sequence that the ledger contained before the stream was queried; a message that was
            committed later may also have been stored later.
        last_us: Latest JetStream timestamp that the ledger contained, microseconds since 1970 UTC.
    """
    if not last_seq:
        return False
    if end.last_seq < last_seq:
        return True
    return (await end.stored_us(last_seq) or 0) > last_us


async def open_ledger(
    conn: Connection, table: str, key: LedgerKey, read_end: Callable[[], Awaitable[StreamEnd]]
) -> Ledger:
    """
    Open the ledger of a worker that binds, in a new epoch if the stream went backwards.

    Args:
        read_end: Queries the stream's end. It is called after the ledger was read, because other workers may write.

    Raises:
        psycopg.Error: Raised by the server.
    """
    origin = key.origin._replace(epoch=await latest_epoch(conn, table, key))
    ledger = Ledger(LedgerKey(origin, key.consumer, key.filter_hash), table)
    await ledger.refresh(conn)
    end = await read_end()
    if await went_backwards(ledger.last_seq, ledger.last_us, end):
        log.error(
            "stream went backwards",
            extra={"stream": origin.stream, "last_seq": end.last_seq, "ledger_last_seq": ledger.last_seq},
        )
        ledger = await next_epoch(conn, ledger)
    if ledger.key.origin.epoch:
        ledger.closed_epochs = await closed_epochs(conn, ledger, end.now_ns // 1000)
    return ledger


async def next_epoch(conn: Connection, ledger: Ledger) -> Ledger:
    """
    Start a new epoch, because the stream assigns sequences again that the ledger contains.

    Raises:
        psycopg.Error: Raised by the server.
    """
    key, origin = ledger.key, ledger.key.origin
    following = Ledger(LedgerKey(origin._replace(epoch=origin.epoch + 1), key.consumer, key.filter_hash), ledger.table)
    await following.refresh(conn)
    log.error(
        "stream assigns sequences again: a new epoch starts, messages from here on are new",
        extra={"stream": origin.stream, "epoch": origin.epoch + 1, "consumer": key.consumer},
    )
    return following
