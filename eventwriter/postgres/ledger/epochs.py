"""
Epochs: lives of a stream that went backwards, told apart in the ledger.

JetStream may lose its end in a power failure, or be restored from a backup; then new
messages carry sequences that the ledger has. A new epoch is a new row of the ledger,
which knows nothing of them.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import ranges
from eventwriter.postgres.ledger.store import ClosedEpoch, Ledger, LedgerKey, instant, micros

log = logging.getLogger(__name__)


async def latest_epoch(conn: Connection, table: str, key: LedgerKey) -> int:
    """
    Return the newest epoch of this stream's incarnation for this consumer, 0 where there is none.

    Raises:
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(
        f"SELECT coalesce(max(epoch), 0) FROM {table}"  # noqa: S608
        " WHERE stream = %s AND incarnation = %s AND consumer = %s AND filter_hash = %s",
        (key.origin.stream, instant(key.origin.incarnation_ns), key.consumer, key.filter_hash),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def epochs_before(conn: Connection, ledger: Ledger, server_now_us: int) -> tuple[ClosedEpoch, ...]:
    """
    Return the epochs of the same incarnation, consumer and filter that are over.

    Args:
        server_now_us: NATS's clock at this moment. An epoch that is younger than that tells nothing: the clock went
            back, and messages that are new may carry its timestamps. They are written rather than lost.

    Raises:
        psycopg.Error: As the server says.
    """
    origin = ledger.key.origin
    cursor = await conn.execute(
        f"SELECT committed::text, last_timestamp FROM {ledger.table}"  # noqa: S608
        " WHERE stream = %s AND incarnation = %s AND epoch < %s AND consumer = %s AND filter_hash = %s"
        " AND last_timestamp IS NOT NULL",
        (origin.stream, instant(origin.incarnation_ns), origin.epoch, ledger.key.consumer, ledger.key.filter_hash),
    )
    found = [ClosedEpoch(ranges.parse(row[0]), micros(row[1])) for row in await cursor.fetchall()]
    return tuple(epoch for epoch in found if epoch.last_us < server_now_us)


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """
    What the stream says of itself at this moment.

    Attributes:
        last_seq: Its last sequence.
        stored_us: Tells when the message of a sequence was stored, microseconds since 1970; None where that is unknown.
        now_ns: NATS's clock, nanoseconds since 1970 UTC; 0 where it does not tell (before 2.10): what is left
            of earlier epochs is then written again if it is delivered again.
    """

    last_seq: int
    stored_us: Callable[[int], Awaitable[int | None]]
    now_ns: int = 0


async def went_backwards(last_seq: int, last_us: int, end: StreamEnd) -> bool:
    """
    Say whether the stream gives out again what the ledger has: it ends before that, or another message is there.

    Args:
        last_seq: The highest sequence that the ledger had *before* the stream was asked: what is committed afterwards
            may have been stored afterwards.
        last_us: The latest JetStream timestamp that it had, microseconds since 1970 UTC.
    """
    if not last_seq:
        return False
    if end.last_seq < last_seq:
        return True
    return (await end.stored_us(last_seq) or 0) > last_us


async def open_ledger(conn: Connection, table: str, key: LedgerKey, ask: Callable[[], Awaitable[StreamEnd]]) -> Ledger:
    """
    Open the ledger of a worker that binds, in a new epoch if the stream went backwards.

    Args:
        ask: Asks the stream for its end; called when the ledger has been read, since others may be writing.

    Raises:
        psycopg.Error: As the server says.
    """
    origin = key.origin._replace(epoch=await latest_epoch(conn, table, key))
    ledger = Ledger(LedgerKey(origin, key.consumer, key.filter_hash), table)
    await ledger.refresh(conn)
    end = await ask()
    if await went_backwards(ledger.last_seq, ledger.last_us, end):
        log.error(
            "stream went backwards",
            extra={"stream": origin.stream, "last_seq": end.last_seq, "ledger_last_seq": ledger.last_seq},
        )
        ledger = await next_epoch(conn, ledger)
    if ledger.key.origin.epoch:
        ledger.earlier = await epochs_before(conn, ledger, end.now_ns // 1000)
    return ledger


async def next_epoch(conn: Connection, ledger: Ledger) -> Ledger:
    """
    Begin a new epoch: sequences are being given out again, so the old row knows nothing of them.

    Raises:
        psycopg.Error: As the server says.
    """
    origin = ledger.key.origin
    fresh = Ledger(
        LedgerKey(origin._replace(epoch=origin.epoch + 1), ledger.key.consumer, ledger.key.filter_hash), ledger.table
    )
    await fresh.refresh(conn)
    log.error(
        "stream gives sequences out again: a new epoch begins, what it delivers from here on is new",
        extra={"stream": origin.stream, "epoch": origin.epoch + 1, "consumer": ledger.key.consumer},
    )
    return fresh
