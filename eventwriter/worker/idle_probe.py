"""
Probes an idle connection to PostgreSQL, and re-establishes it.

A worker without messages sends no statement for minutes. Without probes it would report a stopped or restarted server
only when the next message arrives.
"""

import asyncio
import random
from collections.abc import Callable

from eventwriter import clock
from eventwriter.errors import EventwriterError, Retryable
from eventwriter.pipeline.retry import pause_s
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.session import Session
from eventwriter.worker.status import WorkerStatus

_INTERVAL_S = 1.0
"""Interval of the check whether the server closed the connection; it sends nothing."""
IDLE_S = 3.0
"""Idle time after which the server is asked for an answer; 64 idle workers then cause about 20 queries a second."""


class IdleProbe:
    """
    Probes one worker's PostgreSQL connection while nothing else uses it.

    Args:
        session: Returns the worker's session, or None between sessions, which connect on their own.
    """

    def __init__(self, postgres: PostgresSession, status: WorkerStatus, session: Callable[[], Session | None]) -> None:
        self._postgres, self._status, self._session = postgres, status, session
        self._failures = 0
        self._not_before_s = 0.0

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            await self._check()

    async def _check(self) -> None:
        postgres, session, now_s = self._postgres, self._session(), clock.monotonic_s()
        # After a failed write the pipeline retries by itself.
        if session is None or postgres.is_busy or postgres.circuit_breaker.writing or now_s < self._not_before_s:
            return
        if await postgres.is_alive() and now_s - postgres.used_s < IDLE_S:
            return
        try:
            await postgres.probe()
            self._failures = 0
        except Retryable as error:
            wait_s = pause_s(self._failures, random.random())  # noqa: S311
            self._failures += 1
            self._not_before_s = clock.monotonic_s() + wait_s
            self._status.set_outage(str(error))
            postgres.circuit_breaker.schedule_retry(clock.monotonic_s(), wait_s)
        except EventwriterError as error:
            # The tables or the ledger are not those that the session is bound to: the next session finds out why.
            session.pull.invalidate(str(error))
