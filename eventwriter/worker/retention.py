"""
Retention of dead letters: deletes expired ones at intervals, in small transactions.

Every worker tries; an advisory lock lets one of them through. The deletion borrows the worker's connection between
two batches, for milliseconds.
"""

import asyncio
import logging

from eventwriter.config.settings import DeadLetterSettings
from eventwriter.pipeline.counters import Counters
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.dead_letters import store
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.schema.catalog import read_columns
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.periodic import run_every

log = logging.getLogger(__name__)

INTERVAL_S = 300.0
"""Interval between runs; retention is counted in days."""
_DELETE_MAX = 500
"""Dead letters deleted in one transaction, which delays a batch by about 10 ms."""
_PAUSE_S = 0.1
"""Pause between two transactions, for the batches."""
_LOCK_SQL = (
    "SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('eventwriter retention ' || %s, 0))"
)


async def delete_expired_forever(
    postgres: PostgresSession, schema: str | None, settings: DeadLetterSettings, counters: Counters
) -> None:
    """Delete expired dead letters at intervals; return immediately if no limit is set."""
    if settings.keep_s is None and settings.keep_max is None:
        return

    async def task() -> None:
        await delete_expired(postgres, schema, settings, counters)

    await run_every(lambda: INTERVAL_S, task, "expired dead letters not deleted")


async def delete_expired(
    postgres: PostgresSession, schema: str | None, settings: DeadLetterSettings, counters: Counters
) -> int:
    """
    Delete all dead letters that have expired; return how many.

    Raises:
        Retryable, Fatal, Rejected: A statement failed.
    """
    total = 0
    while True:
        async with postgres.transaction() as conn:
            deleted = await _delete_some(conn, schema, settings)
        total += deleted
        counters.dead_letters_expired_total += deleted
        if deleted < _DELETE_MAX:
            break
        await asyncio.sleep(_PAUSE_S)
    if total:
        log.info(
            "expired dead letters deleted",
            extra={"letters": total, "keep_s": settings.keep_s, "keep_max": settings.keep_max},
        )
    return total


async def _delete_some(conn: Connection, schema: str | None, settings: DeadLetterSettings) -> int:
    """Delete one portion, unless another worker holds the lock."""
    table, _ = await read_columns(conn, schema, DEAD_LETTERS.name)
    row = await (await conn.execute(_LOCK_SQL, (table,))).fetchone()
    if row is None or not row[0]:
        return 0
    ids = await store.expired_ids(conn, table, settings.keep_s, settings.keep_max, _DELETE_MAX)
    return await store.delete(conn, table, ids) if ids else 0
