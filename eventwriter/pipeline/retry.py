"""
Waiting for PostgreSQL: for as long as it takes, saying so, never long at a time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eventwriter import clock
from eventwriter.errors import EventwriterError, Retryable
from eventwriter.pipeline.counters import Counters
from eventwriter.postgres.circuit_breaker import CircuitBreaker

T = TypeVar("T")

_WAIT_S_MIN = 0.05
_WAIT_S_MAX = 3.0
"""The longest pause between attempts: work goes on within seconds of the server's return."""


def pause_s(attempt: int, share: float) -> float:
    """
    Return how long to wait before the next attempt: exponential, with full jitter; seconds.

    Args:
        attempt: 0 for the first failure.
        share: A random number in 0…1.
    """
    return max(_WAIT_S_MIN, share * min(_WAIT_S_MAX, _WAIT_S_MIN * 2.0 ** min(attempt, 16)))


class DatabaseRetry:
    """
    How one worker's copy stage waits.

    Args:
        report: Told a sentence while the database is waited for, None when it works again.
    """

    def __init__(self, circuit: CircuitBreaker, counters: Counters, report: Callable[[str | None], None]) -> None:
        self._circuit = circuit
        self._counters = counters
        self._report = report

    async def through(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do `act`, and again while the database is away."""
        attempt = 0
        while True:
            try:
                return await act()
            except Retryable as error:
                await self.rest(error, attempt)
                attempt += 1

    async def rest(self, error: EventwriterError, attempt: int) -> None:
        """
        Say what is waited for, and wait.

        Args:
            attempt: 0 for the first failure in a row.
        """
        now_s = clock.monotonic_s()
        if not isinstance(error, Retryable):
            self._circuit.record_failure(now_s, str(error), writing=True)
        self._report(str(error))
        self._counters.retries_total += 1
        wait_s = pause_s(attempt, random.random())  # noqa: S311
        self._circuit.schedule_retry(now_s, wait_s)
        await asyncio.sleep(wait_s)

    def over(self) -> None:
        """Say that the database works."""
        self._report(None)
