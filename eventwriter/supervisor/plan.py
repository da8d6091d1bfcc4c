"""
All rules of the supervisor: from the known state to the actions to take. Pure.

`plan` reads the slots and never changes them; `workers` carries the actions out. The order of the
cases is their priority: a worker that hangs is handled before one that should be drained.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.slot import ChildName, Slot, State, Worker

DUMP_GRACE_S = 1.0  # faulthandler writes stacks in milliseconds; a second also lets a resumed host send heartbeats
QUICK_STOP_S_MAX = 2.0  # time that a quick stop leaves a worker to close its connections
TICK_S = 1.0  # longest sleep: watchdog, rates and hang detection need no finer clock
BUSY_TICK_S = 0.1  # longest sleep while an action has a deadline


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should run."""

    fingerprints: Mapping[ChildName, str]
    """For each slot, the fingerprint of the settings that its worker should run with."""
    stopping: bool = False
    """Whether the daemon is stopping: drain all workers, start none."""
    quick: bool = False
    """Whether workers should abandon their open messages."""


@dataclass(frozen=True, slots=True)
class Start:
    """Fork a worker for this slot."""

    slot: ChildName


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell the worker to settle its open messages and exit."""

    slot: ChildName
    reason: str
    requested: bool = True
    """Whether the exit counts as requested; otherwise backoff follows, as after a crash."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Tell the worker to abandon its open messages and exit."""

    slot: ChildName


@dataclass(frozen=True, slots=True)
class Dump:
    """Make the worker write its stacks to stderr, before it is killed."""

    slot: ChildName
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Send SIGKILL."""

    slot: ChildName
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove a slot that is no longer wanted and has no worker."""

    slot: ChildName


Action = Start | Drain | Stop | Dump | Kill | Forget


def plan(now_s: float, wanted: Wanted, slots: Mapping[ChildName, Slot], limits: Limits) -> list[Action]:
    """
    Return the actions to take now, at most one for each slot.

    Args:
        now_s: Monotonic seconds.
        wanted: What should run; each of its slots must be in `slots`.
        slots: The known state; it is only read.
        limits: The supervisor's settings.
    """
    planned = (
        plan_worker(now_s, wanted, slot, slot.worker, limits) if slot.worker else plan_empty(now_s, wanted, slot)
        for slot in slots.values()
    )
    return [action for action in planned if action is not None]


def plan_empty(now_s: float, wanted: Wanted, slot: Slot) -> Action | None:
    """Return the action for a slot without a worker."""
    match slot.state:
        case _ if wanted.stopping:
            return None
        case _ if slot.name not in wanted.fingerprints:
            return Forget(slot.name)
        case _ if slot.restart_requested:
            return Start(slot.name)
        case _ if slot.drained:
            return None
        case State.BACKOFF | State.FAILED if now_s < slot.retry_at_s:
            return None
        case _:
            return Start(slot.name)


def plan_worker(now_s: float, wanted: Wanted, slot: Slot, worker: Worker, limits: Limits) -> Action | None:
    """Return the action for a slot with a living worker."""
    hung = hang_reason(now_s, worker, limits)
    match slot.state:
        case _ if worker.killed_s is not None:
            return None
        case _ if hung and worker.dump_sent_s is None:
            return Dump(slot.name, hung)
        case _ if hung and worker.dump_sent_s is not None and now_s - worker.dump_sent_s >= DUMP_GRACE_S:
            return Kill(slot.name, hung)
        case State.DRAINING:
            return plan_draining(now_s, wanted, slot, worker, limits)
        case _ if reason := drain_reason(wanted, slot, worker):
            return Drain(slot.name, reason)
        case _ if (rss := memory_bytes(worker)) > limits.worker_memory_bytes_max:
            return Drain(slot.name, memory_reason(rss, limits), requested=False)
        case _:
            return None


def plan_draining(now_s: float, wanted: Wanted, slot: Slot, worker: Worker, limits: Limits) -> Action | None:
    """Return the action for a worker that was told to exit."""
    if worker.stop_sent_s is not None and now_s - worker.stop_sent_s >= QUICK_STOP_S_MAX:
        return Kill(slot.name, f"it did not exit within {QUICK_STOP_S_MAX:g} s after a quick stop")
    if wanted.quick and worker.stop_sent_s is None:
        return Stop(slot.name)
    if worker.drain_sent_s is not None and now_s - worker.drain_sent_s >= limits.drain_max_s:
        return Kill(slot.name, f"it did not drain within {limits.drain_max_s:g} s (supervisor.drain_max)")
    return None


def hang_reason(now_s: float, worker: Worker, limits: Limits) -> str | None:
    """Return why a worker counts as hung, None if it does not."""
    if worker.heartbeat_s is None:
        silent_s, silent_max_s = now_s - worker.started_s, limits.start_max_s
        since, setting = "its start", "start_max"
    else:
        silent_s, silent_max_s = now_s - worker.heartbeat_s, limits.hang_max_s
        since, setting = "its last heartbeat", "hang_max"
    if silent_s < silent_max_s:
        return None
    return f"no heartbeat for {silent_max_s:g} s since {since} (supervisor.{setting})"


def drain_reason(wanted: Wanted, slot: Slot, worker: Worker) -> str | None:
    """Return why a worker should exit, None if it should not."""
    if wanted.stopping:
        return "the daemon is stopping"
    if slot.name not in wanted.fingerprints:
        return "the configuration no longer contains the slot"
    if slot.restart_requested:
        return "an operator requested a restart"
    if slot.drained:
        return "an operator requested a drain"
    if worker.fingerprint != wanted.fingerprints[slot.name]:
        return "its settings changed"
    return None


def memory_bytes(worker: Worker) -> int:
    """Return the resident memory that the worker last reported, 0 if it is unknown."""
    rss = worker.heartbeat.get("rss_bytes")
    return rss if isinstance(rss, int) else 0


def memory_reason(rss: int, limits: Limits) -> str:
    """Return the reason for draining a worker because of its memory."""
    return (
        f"{rss / 2**20:.0f} MiB of memory exceed "
        f"{limits.worker_memory_bytes_max / 2**20:.0f} MiB (supervisor.worker_memory_bytes_max)"
    )


def wait_s(now_s: float, slots: Iterable[Slot]) -> float:
    """Return how long the loop may sleep if nothing happens: seconds, up to `TICK_S`."""
    longest_s = TICK_S
    for slot in slots:
        if slot.worker is None and slot.state in (State.BACKOFF, State.FAILED):
            longest_s = min(longest_s, slot.retry_at_s - now_s)
        elif slot.worker and (slot.state is State.DRAINING or slot.worker.dump_sent_s is not None):
            longest_s = min(longest_s, BUSY_TICK_S)
    return max(0.0, longest_s)
