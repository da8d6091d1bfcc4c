"""The worker's state and the reason for it, as the heartbeat reports them."""

import logging
from dataclasses import dataclass

from eventwriter import clock

log = logging.getLogger(__name__)


@dataclass(slots=True)
class WorkerStatus:
    """
    The worker's state and the reason for it. Written by the worker's event loop only.

    Attributes:
        state: `starting`, `running`, `waiting` (an outage; the worker retries), `parked` (an operator must act) or
            `draining`.
        reason: One sentence in every state but `starting` and `running`.
        last_error: The newest reason, kept after recovery.
        paused: Reason why an operator's command paused the worker, or None. Reported instead of `running`, but never
            instead of a worse state.
        consumer_paused: Reason why JetStream delivers nothing although the worker pulls, or None. Reported like
            `paused`.
    """

    state: str = "starting"
    reason: str | None = None
    last_error: str | None = None
    last_error_at_ns: int | None = None
    paused: str | None = None
    consumer_paused: str | None = None

    def reported(self) -> tuple[str, str | None]:
        """Return state and reason for the heartbeat."""
        paused = self.paused or self.consumer_paused
        if paused is not None and self.state == "running":
            return "paused", paused
        return self.state, self.reason

    def set(self, state: str, reason: str | None = None) -> None:
        """Set the state; each change is logged once."""
        self.note_error(reason)
        if state != self.state or reason != self.reason:
            level = logging.ERROR if state == "parked" else logging.WARNING if state == "waiting" else logging.INFO
            log.log(level, "worker %s", state, extra={"reason": reason} if reason else {})
        self.state, self.reason = state, reason

    def set_outage(self, reason: str | None) -> None:
        """Set the reason of an outage, or None when it is over; a draining worker stays `draining`."""
        if self.state == "draining":
            self.reason = reason
            self.note_error(reason)
        elif reason is not None:
            self.set("waiting", reason)
        elif self.state == "waiting":
            self.set("running")

    def note_error(self, reason: str | None) -> None:
        """Record an error as the newest one without a change of state; None is ignored."""
        if reason is not None:
            self.last_error, self.last_error_at_ns = reason, clock.now_ns()
