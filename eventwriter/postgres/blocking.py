"""Finds the sessions that block a statement, over a separate short-lived connection."""

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
    SELECT b.pid, a.usename, a.application_name, a.state,
           extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::float8
    FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%s)) AS b(pid)
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
    LIMIT 3
"""
"""Statements of other sessions are not selected, because they may contain data."""


class BlockingSession(NamedTuple):
    """
    A session that holds a lock which another session is waiting for.

    Attributes:
        pid: Process of the server; 0 for a prepared transaction.
        state: State as in pg_stat_activity; None if the role may not see it.
        state_s: Seconds since the state changed; None if the role may not see it.
    """

    pid: int
    user: str | None
    application: str | None
    state: str | None
    state_s: float | None

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction"
        parts = [f"role {self.user}" if self.user else "", self.application or "", self.state or ""]
        if self.state and self.state_s is not None:
            parts[-1] += f" for {self.state_s:.0f} s"
        shown = ", ".join(part for part in parts if part)
        return f"session {self.pid} ({shown})" if shown else f"session {self.pid}"


async def blocking_sessions(settings: PostgresSettings, backend_pid: int) -> list[BlockingSession]:
    """
    Return the sessions that block a session, at most three; none if the server does not tell within `LIMIT_S`.

    Args:
        backend_pid: Process of the server that runs the blocked session.
    """
    try:
        async with asyncio.timeout(LIMIT_S):
            async with await connect(settings) as conn:
                cursor = await conn.execute(_BLOCKING, (backend_pid,))
                return [BlockingSession(*row) for row in await cursor.fetchall()]
    except (TimeoutError, EventwriterError, psycopg.Error) as error:
        log.debug("blocking sessions not available", extra={"error": repr(error)})
        return []
