"""
The web child in the supervisor: a pool with one process, supervised by the same rules as workers.

The web child is not a slot: it does not count for readiness, health or the exit code. It is the last
process to be stopped, so that its clients can watch the drain.
"""

import dataclasses
import selectors
from collections.abc import Callable
from typing import Any

from eventwriter.config.settings import MiB, Settings
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.desired_state import DesiredState, fingerprint, limits_of
from eventwriter.supervisor.plan import Wanted, plan
from eventwriter.supervisor.processes import ChildMain
from eventwriter.supervisor.slot import ChildName, Slot
from eventwriter.supervisor.status import retry_in_s
from eventwriter.supervisor.workers import WorkerPool

DRAIN_S_MAX = 5.0  # time to close connections; the process holds nothing that could be lost
MEMORY_BYTES_MIN = 256 * MiB  # with the parent's pages and its own libraries, 90 MiB are common
LIVE_FIELDS = ("url", "listening", "clients", "requests_total", "rss_bytes", "cpu_s", "open_fds")
"""Heartbeat fields that the snapshot shows unchanged."""


def web_state(settings: Settings, child_main: ChildMain) -> DesiredState:
    """
    Derive the desired state of the web child from settings; it is empty if `http.listen` is not set.

    Args:
        settings: Valid settings.
        child_main: The web child's entry point; it has the same settings.
    """
    http = settings.http
    fingerprints: dict[ChildName, str] = {"web": fingerprint(http.model_dump())} if http.listen else {}
    return DesiredState(fingerprints, web_limits(limits_of(settings)), child_main, settings.log.level)


def web_limits(limits: Limits) -> Limits:
    """Return a worker's limits, adapted to the web child."""
    return dataclasses.replace(
        limits,
        drain_max_s=min(limits.drain_max_s, DRAIN_S_MAX),
        worker_memory_bytes_max=max(limits.worker_memory_bytes_max, MEMORY_BYTES_MIN),
    )


class Web:
    """
    The web child, or its absence; owned by the supervisor's loop.

    Args: as of `WorkerPool`.
    """

    def __init__(
        self, selector: selectors.BaseSelector, close_parent_fds: Callable[[], None], random: Callable[[], float]
    ) -> None:
        self.pool = WorkerPool(selector, close_parent_fds, random, "web child")
        self._desired: DesiredState | None = None

    def apply(self, now_s: float, desired: DesiredState | None) -> None:
        """Set the desired state; None for no web child."""
        self._desired = desired
        if desired is not None:
            self.pool.reconcile(now_s, desired)

    def step(self, now_s: float, stopping: bool, quick: bool) -> bool:
        """Plan and act; return whether there was any action."""
        desired = self._desired
        if desired is None:
            return False
        actions = plan(now_s, Wanted(desired.fingerprints, stopping, quick), self.pool.slots, desired.limits)
        for action in actions:
            self.pool.act(now_s, action, desired)
        return bool(actions)

    def reap(self, now_s: float, pid: int, status: int) -> bool:
        """Process the exit of a child; return whether it was the web child."""
        return self._desired is not None and self.pool.reap(now_s, pid, status, self._desired)

    def to_dict(self, now_s: float) -> dict[str, Any] | None:
        """Return the web child's part of the snapshot; None if there is no web child."""
        return next((web_to_dict(now_s, slot) for slot in self.pool.slots.values()), None)


def web_to_dict(now_s: float, slot: Slot) -> dict[str, Any]:
    """Return the web child's part of the snapshot."""
    worker = slot.worker
    heartbeat = worker.heartbeat if worker else {}
    return {
        "state": str(slot.state),
        "reason": heartbeat.get("reason") if worker else slot.last_exit,
        "pid": worker.pid if worker else None,
        "uptime_s": round(now_s - worker.started_s, 1) if worker else None,
        **{name: heartbeat.get(name) for name in LIVE_FIELDS},
        "restarts": slot.restarts,
        "retry_in_s": retry_in_s(now_s, slot),
        "last_exit": slot.last_exit,
    }
