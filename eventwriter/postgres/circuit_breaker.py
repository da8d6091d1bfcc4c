"""
Circuit breaker of a worker's connection to PostgreSQL: outage state and retry schedule.

Closed means that PostgreSQL works; open means that attempts fail and are retried. Pure.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class CircuitBreaker:
    """
    Outage state of one worker's PostgreSQL connection. Written in the worker's event loop.

    All instants are monotonic seconds, so that steps of the wall clock have no effect.
    """

    opened_s: float | None = None
    """Time of the first failed attempt; None while closed."""
    attempts: int = 0
    """Number of failed attempts since it opened."""
    next_attempt_s: float | None = None
    """Time of the next attempt; None while an attempt is in progress."""
    reason: str | None = None
    writing: bool = False
    """Whether a write failed; a successful read then does not close the circuit."""

    @property
    def is_open(self) -> bool:
        """Whether PostgreSQL is unavailable."""
        return self.opened_s is not None

    def record_failure(self, now_s: float, reason: str, writing: bool) -> None:
        """Record a failed attempt; the first one opens the circuit."""
        if self.opened_s is None:
            self.opened_s, self.attempts = now_s, 0
        self.attempts += 1
        self.next_attempt_s, self.reason = None, reason
        self.writing = self.writing or writing

    def schedule_retry(self, now_s: float, pause_s: float) -> None:
        """Record when the next attempt is due; has no effect while closed."""
        if self.is_open:
            self.next_attempt_s = now_s + pause_s

    def record_success(self, writing: bool) -> None:
        """Record a successful attempt; a read does not close a circuit that a write opened."""
        if self.is_open and (writing or not self.writing):
            self.close()

    def close(self) -> None:
        """Reset to the closed state."""
        self.opened_s = self.next_attempt_s = self.reason = None
        self.attempts, self.writing = 0, False

    def to_dict(self, now_s: float) -> dict[str, Any]:
        """Return the state for a heartbeat; durations are seconds relative to `now_s`."""
        if self.opened_s is None:
            return {"state": "closed"}
        next_try_in_s = None if self.next_attempt_s is None else round(max(0.0, self.next_attempt_s - now_s), 1)
        return {
            "state": "open",
            "open_s": round(now_s - self.opened_s, 1),
            "attempts": self.attempts,
            "next_try_in_s": next_try_in_s,
            "reason": self.reason,
        }
