"""Watches the running statement of a batch, and names what blocks it."""

import asyncio
import logging

from eventwriter import clock
from eventwriter.config.settings import PostgresSettings
from eventwriter.postgres.blocking import find_blocking
from eventwriter.postgres.session import PostgresSession, RunningStatement

log = logging.getLogger(__name__)

UNANSWERED_S = 3.0
"""A statement that runs longer is logged, and the sessions that block it are looked up."""
_INTERVAL_S = 1.0
"""Interval of the checks; each of them opens a connection while a statement is unanswered."""


class StatementMonitor:
    """
    Watches the worker's PostgreSQL session. Written by its own task.

    Attributes:
        blocked_by: The sessions or the standby that block the running statement, as text; None if none are known.
    """

    def __init__(self, settings: PostgresSettings, session: PostgresSession) -> None:
        self._settings, self._session = settings, session
        self._watched: RunningStatement | None = None
        self.blocked_by: str | None = None

    async def run(self) -> None:
        """Check the running statement until cancelled."""
        while True:
            await self._check()
            await asyncio.sleep(_INTERVAL_S)

    def unanswered_s(self) -> float:
        """Return how long the running statement has been running in seconds, 0.0 if none is running."""
        running = self._session.running
        return 0.0 if running is None else clock.monotonic_s() - running.started_s

    async def _check(self) -> None:
        running = self._session.running
        if running is None or clock.monotonic_s() - running.started_s < UNANSWERED_S:
            # After a lock timeout the circuit breaker is open, and the batch will probably be blocked again.
            if not self._session.circuit_breaker.is_open:
                self.blocked_by = None
            return
        blocking = await find_blocking(self._settings, running.backend_pid)
        if running is not self._session.running:
            return
        self.blocked_by = str(blocking) or None
        if running is not self._watched:
            self._watched = running
            unanswered_s = round(clock.monotonic_s() - running.started_s, 1)
            log.warning(
                "PostgreSQL has not answered a statement",
                extra={"statement": running.command, "unanswered_s": unanswered_s, "blocked_by": self.blocked_by},
            )
