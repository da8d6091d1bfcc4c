"""
The web child's place in the supervisor: a crew of one, kept running by the rules that workers are kept by.

It is no slot: it does not count for readiness, for health or for the exit code,
and it is the last to be told of a stop, so that its readers see the drain.
"""

import dataclasses
import selectors
from collections.abc import Callable, Mapping
from typing import Any

from eventwriter.config.settings import MiB, Settings
from eventwriter.model import SlotName
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.desired_state import DesiredState, fingerprint, limits_of
from eventwriter.supervisor.plan import Wanted, plan
from eventwriter.supervisor.processes import Child
from eventwriter.supervisor.slot import Slot
from eventwriter.supervisor.status import retry_in_s
from eventwriter.supervisor.workers import WorkerPool

DRAIN_S_MAX = 5.0  # to say good-bye to readers; nothing that it holds can be lost
MEMORY_BYTES_MIN = 256 * MiB  # it shares the parent's pages and has its own libraries: 90 MiB are usual
PASSED_ON = ("url", "listening", "clients", "requests_total", "rss_bytes", "cpu_s", "open_fds")
"""Figures of its heartbeat that the snapshot shows as they came."""


class WebName(SlotName):
    """The web child's name, where workers have their slot's."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.stream


WEB = WebName("web", 0)


def web_fleet(settings: Settings, child: Child) -> DesiredState:
    """
    Return what is to run beside the workers: the web child, or nothing where `http.listen` is not set.

    Args:
        settings: Valid.
        child: The web child's code; it has the same settings.
    """
    limits = limits_of(settings)
    http = settings.http
    fingerprints: Mapping[SlotName, str] = {WEB: fingerprint(http.model_dump())} if http.listen else {}
    return DesiredState(fingerprints, web_limits(limits), child, settings.log.level)


def web_limits(limits: Limits) -> Limits:
    """Return a worker's limits as they are for the web child."""
    return dataclasses.replace(
        limits,
        drain_max_s=min(limits.drain_max_s, DRAIN_S_MAX),
        worker_memory_bytes_max=max(limits.worker_memory_bytes_max, MEMORY_BYTES_MIN),
    )


class Web:
    """
    The web child, or the place where none is wanted; owned by the supervisor's loop.

    Args: as of `WorkerPool`.
    """

    def __init__(
        self, selector: selectors.BaseSelector, close_parents: Callable[[], None], random: Callable[[], float]
    ) -> None:
        self.crew = WorkerPool(selector, close_parents, random, "web child")
        self._fleet: DesiredState | None = None

    def adopt(self, now_s: float, fleet: DesiredState | None) -> bool:
        """Have this from now on; returns whether anything is different."""
        before, self._fleet = self._fleet, fleet
        if fleet is not None:
            self.crew.adopt(now_s, fleet)
        return (before.fingerprints if before else {}) != (fleet.fingerprints if fleet else {})

    def turn(self, now_s: float, stopping: bool, quick: bool) -> bool:
        """Do what is to be done now; returns whether that was anything."""
        fleet = self._fleet
        if fleet is None:
            return False
        actions = plan(now_s, Wanted(fleet.fingerprints, stopping, quick), self.crew.slots, fleet.limits)
        for action in actions:
            self.crew.act(now_s, action, fleet)
        return bool(actions)

    def bury(self, now_s: float, pid: int, status: int) -> bool:
        """Let go of the child if it is this one that exited."""
        return self._fleet is not None and self.crew.bury(now_s, pid, status, self._fleet)

    def picture(self, now_s: float) -> dict[str, Any] | None:
        """Draw it for the snapshot; None where no web child is wanted."""
        return next((picture(now_s, slot) for slot in self.crew.slots.values()), None)


def picture(now_s: float, slot: Slot) -> dict[str, Any]:
    """Draw the web child."""
    worker = slot.worker
    heartbeat = worker.heartbeat if worker else {}
    return {
        "state": str(slot.state),
        "reason": heartbeat.get("reason") if worker else slot.last_exit,
        "pid": worker.pid if worker else None,
        "uptime_s": round(now_s - worker.started_s, 1) if worker else None,
        **{name: heartbeat.get(name) for name in PASSED_ON},
        "restarts": slot.restarts,
        "retry_in_s": retry_in_s(now_s, slot),
        "last_exit": slot.last_exit,
    }
