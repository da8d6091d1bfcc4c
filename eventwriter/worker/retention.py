"""
Dead letters that are kept no longer: found and deleted at intervals, a few at a time.

Every worker tries; an advisory lock lets one of them through. It borrows the
connection between two batches, for milliseconds.
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
from eventwriter.worker.periodic import at_intervals

log = logging.getLogger(__name__)

INTERVAL_S = 300.0
"""Between two looks: retention is counted in days."""
_DELETE_MAX = 500
"""Letters deleted at once: a batch waits for that, some ten milliseconds."""
_REST_S = 0.1
"""Between two deletes, for the batches."""
_LOCK_SQL = "SELECT pg_try_advisory_xact_lock(hashtextextended('eventwriter retention ' || %s, 0))"


async def retain(postgres: PostgresSession, schema: str | None, wish: DeadLetterSettings, counters: Counters) -> None:
    """Delete what is kept no longer, for ever; ends at once where everything is kept."""
    if wish.keep_s is None and wish.keep_max is None:
        return

    async def once() -> None:
        await retain_once(postgres, schema, wish, counters)

    await at_intervals(once, lambda: INTERVAL_S, "dead letters not looked through")


async def retain_once(
    postgres: PostgresSession, schema: str | None, wish: DeadLetterSettings, counters: Counters
) -> int:
    """
    Delete all that is kept no longer now; return how many.

    Raises:
        Retryable, Fatal, Rejected: As the server says.
    """
    deleted = 0
    while True:
        async with postgres.transaction() as conn:
            some = await _delete_some(conn, schema, wish)
        deleted += some
        counters.dead_letters_expired_total += some
        if some < _DELETE_MAX:
            break
        await asyncio.sleep(_REST_S)
    if deleted:
        log.info("dead letters deleted, as they are kept no longer",
                 extra={"letters": deleted, "keep_s": wish.keep_s, "keep_max": wish.keep_max})  # fmt: skip
    return deleted


async def _delete_some(conn: Connection, schema: str | None, wish: DeadLetterSettings) -> int:
    """Delete a few, unless another worker is at it."""
    table, _ = await read_columns(conn, schema, DEAD_LETTERS.name)
    row = await (await conn.execute(_LOCK_SQL, (table,))).fetchone()
    if row is None or not row[0]:
        return 0
    ids = await store.expired(conn, table, wish.keep_s, wish.keep_max, _DELETE_MAX)
    return await store.delete(conn, table, ids) if ids else 0
