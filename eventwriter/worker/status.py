"""
How the worker is, in one word and one sentence, for its heartbeat.

Written by the worker's event loop only.
"""

import logging
from dataclasses import dataclass

from eventwriter import clock

log = logging.getLogger(__name__)


@dataclass(slots=True)
class WorkerStatus:
    """
    The worker's state and why.

    Attributes:
        state: `starting`, `running`, `waiting` (an outage; work is tried again),
            `parked` (an operator must act) or `draining`.
        reason: One sentence where the state is not the good one.
        last_error: The newest sentence, kept after things are well again.
        paused: Why nothing is pulled, in a sentence; None where it is. Shown in place of `running`,
            and of nothing worse.
    """

    state: str = "starting"
    reason: str | None = None
    last_error: str | None = None
    last_error_at_ns: int | None = None
    paused: str | None = None

    def shown(self) -> tuple[str, str | None]:
        """Return state and reason as the heartbeat has them."""
        if self.paused is not None and self.state == "running":
            return "paused", self.paused
        return self.state, self.reason

    def become(self, state: str, reason: str | None = None) -> None:
        """Change state; a change is logged once."""
        if reason is not None:
            self.last_error, self.last_error_at_ns = reason, clock.now_ns()
        if state != self.state or reason != self.reason:
            level = logging.ERROR if state == "parked" else logging.WARNING if state == "waiting" else logging.INFO
            log.log(level, "worker %s", state, extra={"reason": reason} if reason else {})
        self.state, self.reason = state, reason

    def outage(self, reason: str | None) -> None:
        """Note that a server is away (a sentence) or back (None); a drain that goes on keeps its name."""
        if self.state == "draining":
            self.reason = reason
            if reason is not None:
                self.last_error, self.last_error_at_ns = reason, clock.now_ns()
        elif reason is not None:
            self.become("waiting", reason)
        elif self.state == "waiting":
            self.become("running")
