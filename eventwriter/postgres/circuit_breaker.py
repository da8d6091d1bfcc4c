"""
Whether work on PostgreSQL goes on, and since when and how often it was tried in vain; pure.

"Closed" is the good state, as with the electrical thing: something flows.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Circuit:
    """
    One worker's circuit to PostgreSQL. Written by whoever tries, in the worker's event loop.

    All instants are monotonic seconds, so that steps of the wall clock do not show.
    """

    opened_s: float | None = None
    """When the first attempt failed; None while it is closed."""
    attempts: int = 0
    """Failed ones since then."""
    next_s: float | None = None
    """When the next one is due; None while one is being made."""
    reason: str | None = None
    writing: bool = False
    """Whether writing failed: that reading works does not close it."""

    @property
    def is_open(self) -> bool:
        """Whether work is held up."""
        return self.opened_s is not None

    def failed(self, now_s: float, reason: str, writing: bool) -> None:
        """Note a failed attempt."""
        if self.opened_s is None:
            self.opened_s, self.attempts = now_s, 0
        self.attempts += 1
        self.next_s, self.reason = None, reason
        self.writing = self.writing or writing

    def rests(self, now_s: float, pause_s: float) -> None:
        """Note that the next attempt comes after a pause."""
        if self.is_open:
            self.next_s = now_s + pause_s

    def worked(self, writing: bool) -> None:
        """Note that an attempt went well."""
        if self.is_open and (writing or not self.writing):
            self.close()

    def close(self) -> None:
        """Note that everything is well."""
        self.opened_s = self.next_s = self.reason = None
        self.attempts, self.writing = 0, False

    def picture(self, now_s: float) -> dict[str, Any]:
        """Return it for a heartbeat: durations in seconds from now."""
        if self.opened_s is None:
            return {"state": "closed"}
        return {
            "state": "open",
            "open_s": round(now_s - self.opened_s, 1),
            "attempts": self.attempts,
            "next_try_in_s": None if self.next_s is None else round(max(0.0, self.next_s - now_s), 1),
            "reason": self.reason,
        }
