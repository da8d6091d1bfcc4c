"""Finds what a statement waits for, sessions or a synchronous standby, over a separate short-lived connection."""

import asyncio
import logging
from typing import NamedTuple

import psycopg

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError
from eventwriter.postgres.connect import connect

log = logging.getLogger(__name__)

LIMIT_S = 2.0
"""Time limit for connection and query: a server that has stopped answers neither."""

_BLOCKING = """
    SELECT w.wait_event = 'SyncRep', b.pid, a.usename, a.application_name, a.state,
           extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::float8,
           coalesce(a.wait_event = 'SyncRep', false)
    FROM pg_catalog.pg_stat_activity AS w
    LEFT JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b(pid) ON true
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
    WHERE (w.pid = %(pid)s OR (%(pid)s::int IS NULL AND w.usename = current_user AND w.state = 'active'
                               AND w.pid <> pg_catalog.pg_backend_pid()))
      AND (w.wait_event = 'SyncRep' OR b.pid IS NOT NULL)
    ORDER BY 1 DESC
    LIMIT 3
"""
"""Statements of other sessions are not selected, because they may contain data. Without a process number, which a
pooler hides, every session of the role is considered."""


class BlockingSession(NamedTuple):
    """
    A session that holds a lock which another session is waiting for.

    Attributes:
        pid: Process of the server; 0 for a prepared transaction.
        state: State as in pg_stat_activity; None if the role may not see it.
        state_s: Seconds since the state changed; None if the role may not see it.
        waits_for_standby: Whether its COMMIT waits for a synchronous standby.
    """

    pid: int
    user: str | None
    application: str | None
    state: str | None
    state_s: float | None
    waits_for_standby: bool = False

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction"
        state = "waiting for a synchronous standby" if self.waits_for_standby else self.state or ""
        parts = [f"role {self.user}" if self.user else "", self.application or "", state]
        if self.state and self.state_s is not None:
            parts[-1] += f" for {self.state_s:.0f} s"
        shown = ", ".join(part for part in parts if part)
        return f"session {self.pid} ({shown})" if shown else f"session {self.pid}"


class Blocking(NamedTuple):
    """
    What a session waits for.

    Attributes:
        standby: Whether its COMMIT waits for a synchronous standby.
        sessions: Sessions whose locks it waits for, at most three.
    """

    standby: bool = False
    sessions: tuple[BlockingSession, ...] = ()

    def __str__(self) -> str:
        if self.standby:
            return "a synchronous standby that has not confirmed the commit (wait event SyncRep)"
        return ", ".join(map(str, self.sessions))


async def find_blocking(settings: PostgresSettings, backend_pid: int | None) -> Blocking:
    """
    Return what a session waits for; nothing if the server does not tell within `LIMIT_S`.

    Args:
        backend_pid: Process of the server that runs the session; None if a pooler hides it.
    """
    try:
        async with asyncio.timeout(LIMIT_S):
            async with await connect(settings) as conn:
                cursor = await conn.execute(_BLOCKING, {"pid": backend_pid})
                rows = await cursor.fetchall()
    except (TimeoutError, EventwriterError, psycopg.Error) as error:
        log.debug("blocking sessions not available", extra={"error": repr(error)})
        return Blocking()
    if rows and rows[0][0]:
        return Blocking(standby=True)
    return Blocking(sessions=tuple(BlockingSession(*row[1:]) for row in rows))
