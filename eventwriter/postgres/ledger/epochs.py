"""
Epochs: periods of a stream between regressions, with separate ledger rows.

JetStream may lose the end of a stream in a power failure, or a stream may be restored from a
backup. New messages then have sequences that the ledger already contains. A new epoch is a new
ledger row, which contains none of them. All workers of the stream change to it together: the rows
of older epochs are closed, and a worker whose write is rejected for that reason binds again.
"""

import logging

from eventwriter.clock import datetime_of, epoch_us
from eventwriter.errors import Fatal
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger import ranges
from eventwriter.postgres.ledger.store import LEDGER_TABLE, ClosedEpoch, Ledger, LedgerKey
from eventwriter.postgres.schema.catalog import read_columns

log = logging.getLogger(__name__)

_OLDER = "WHERE stream = %s AND incarnation = %s AND epoch < %s AND consumer = %s AND filter_hash = %s"


async def find_ledger_table(conn: Connection, schema: str | None) -> str:
    """
    Return the qualified, quoted name of the ledger table.

    Raises:
        Fatal: The table does not exist, or a migration of it is missing.
        psycopg.Error: Raised by the server.
    """
    table, columns = await read_columns(conn, schema, LEDGER_TABLE)
    names = {column.name for column in columns}
    for required in ("closed_at", "first_seq"):
        if required not in names:
            raise Fatal(
                f"table {table} has no column {required}", code="migration_missing", hint="run eventwriter migrate"
            )
    return table


async def latest_epoch(conn: Connection, table: str, key: LedgerKey) -> int:
    """
    Return the newest epoch of the stream's incarnation, 0 if there is none.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(
        f"SELECT coalesce(pg_catalog.max(epoch), 0) FROM {table} WHERE stream = %s AND incarnation = %s",  # noqa: S608
        (key.origin.stream, datetime_of(key.origin.incarnation_ns)),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def open_ledger(conn: Connection, table: str, key: LedgerKey) -> Ledger:
    """
    Return the ledger in the stream's newest epoch.

    Raises:
        Retryable: Another session deleted the row meanwhile.
        psycopg.Error: Raised by the server.
    """
    origin = key.origin._replace(epoch=await latest_epoch(conn, table, key))
    ledger = Ledger(LedgerKey(origin, key.consumer, key.filter_hash), table)
    await ledger.refresh(conn)
    return ledger


async def close_older_epochs(conn: Connection, ledger: Ledger, server_now_us: int) -> tuple[ClosedEpoch, ...]:
    """
    Close and return the older epochs of the same incarnation, consumer and filter.

    Args:
        server_now_us: Current time of the NATS server. An epoch with a later timestamp is left out, because the
            server's clock was set back and new messages may have its timestamps; they are rather written twice
            than lost.

    Raises:
        psycopg.Error: Raised by the server.
    """
    origin = ledger.key.origin
    if not origin.epoch:
        return ()
    key = ledger.key.values()
    await conn.execute(
        f"UPDATE {ledger.table} SET closed_at = pg_catalog.now() {_OLDER} AND closed_at IS NULL",  # noqa: S608
        key,
    )
    cursor = await conn.execute(
        f"SELECT committed::text, last_timestamp FROM {ledger.table} {_OLDER}"  # noqa: S608
        " AND last_timestamp IS NOT NULL",
        key,
    )
    epochs = [ClosedEpoch(ranges.parse(row[0]), epoch_us(row[1])) for row in await cursor.fetchall()]
    return tuple(epoch for epoch in epochs if epoch.last_us < server_now_us)


async def start_epoch(conn: Connection, ledger: Ledger) -> Ledger:
    """
    Close the ledger's epoch and start the next one for all workers of the stream, within the caller's transaction.

    If another worker has started a newer epoch already, that one is returned. Closing a row waits for a batch that is
    being written to it, so the closed row contains every batch of its epoch.

    Raises:
        Retryable: Another session deleted the row meanwhile.
        psycopg.Error: Raised by the server.
    """
    key, origin = ledger.key, ledger.key.origin
    await conn.execute(
        f"UPDATE {ledger.table} SET closed_at = pg_catalog.now()"  # noqa: S608
        " WHERE stream = %s AND incarnation = %s AND epoch <= %s AND closed_at IS NULL",
        (origin.stream, datetime_of(origin.incarnation_ns), origin.epoch),
    )
    # Read after the rows were locked: a worker that closed them first has committed its epoch by now.
    epoch = max(origin.epoch + 1, await latest_epoch(conn, ledger.table, key))
    following = Ledger(LedgerKey(origin._replace(epoch=epoch), key.consumer, key.filter_hash), ledger.table)
    await following.refresh(conn)
    # The consumer's ack floor says nothing about sequences that are assigned again.
    await following.set_first_seq(conn, ledger.first_seq or 1)
    log.error(
        "stream assigns sequences again: a new epoch starts, messages from here on are new",
        extra={"stream": origin.stream, "epoch": epoch, "consumer": key.consumer},
    )
    return following
