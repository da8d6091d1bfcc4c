"""Retries with capped backoff while PostgreSQL is unavailable."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eventwriter import clock
from eventwriter.errors import EventwriterError, Retryable
from eventwriter.pipeline.counters import Counters
from eventwriter.postgres.circuit_breaker import CircuitBreaker

T = TypeVar("T")

_PAUSE_S_MIN = 0.05
_PAUSE_S_MAX = 3.0
"""Longest pause between attempts, so that work continues within seconds of the server's return."""


def pause_s(attempt: int, jitter: float) -> float:
    """
    Return the pause before the next attempt in seconds: exponential backoff with full jitter.

    Args:
        attempt: 0 after the first failure.
        jitter: Random number between 0 and 1.
    """
    return max(_PAUSE_S_MIN, jitter * min(_PAUSE_S_MAX, _PAUSE_S_MIN * 2.0 ** min(attempt, 16)))


class DatabaseRetry:
    """
    Retries the copy stage's database work.

    Args:
        set_outage: Called with the reason before each pause, and with None after success.
    """

    def __init__(
        self, circuit_breaker: CircuitBreaker, counters: Counters, set_outage: Callable[[str | None], None]
    ) -> None:
        self._circuit_breaker = circuit_breaker
        self._counters = counters
        self._set_outage = set_outage

    async def run(self, action: Callable[[], Awaitable[T]]) -> T:
        """Run `action` until it raises no Retryable."""
        attempt = 0
        while True:
            try:
                return await action()
            except Retryable as error:
                await self.wait(error, attempt)
                attempt += 1

    async def wait(self, error: EventwriterError, attempt: int) -> None:
        """
        Report why the work is retried, and pause.

        Args:
            error: Reason of the retry.
            attempt: 0 after the first failure in a row.
        """
        now_s = clock.monotonic_s()
        if not isinstance(error, Retryable):
            self._circuit_breaker.record_failure(now_s, str(error), writing=True)
        self._set_outage(str(error))
        self._counters.retries_total += 1
        wait_s = pause_s(attempt, random.random())  # noqa: S311
        self._circuit_breaker.schedule_retry(now_s, wait_s)
        await asyncio.sleep(wait_s)

    def succeeded(self) -> None:
        """Report that the database works."""
        self._set_outage(None)
