"""
Every rule of the supervisor, in one place and pure: what is known in, what should be done out.

`plan` reads the slots and never writes them; `main` carries the actions out.
The order of the cases is the order of importance: what hangs is dealt with
before what merely should be drained.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eventwriter.model import SlotName
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.slot import Slot, State, Worker

DUMP_GRACE_S = 1.0  # faulthandler writes stacks in milliseconds; a second also lets a thawed host speak up
QUICK_S_MAX = 2.0  # what a second signal leaves a worker to close its connections
TICK_S = 1.0  # the longest sleep: watchdog, snapshot rates and hang detection need no finer clock
BUSY_TICK_S = 0.1  # while something has a deadline


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should run."""

    fingerprints: Mapping[SlotName, str]
    """For each slot, the fingerprint of the settings that its worker should run with."""
    stopping: bool = False
    """The daemon is going down: drain everything, start nothing."""
    quick: bool = False
    """Do not wait for open work."""


@dataclass(frozen=True, slots=True)
class Start:
    """Fork a worker for this slot."""

    slot: SlotName


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell the worker to settle what is open and exit."""

    slot: SlotName
    reason: str
    asked: bool = True
    """False where the slot is to back off afterwards, as after a crash."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Tell the worker to abandon what is open and exit."""

    slot: SlotName


@dataclass(frozen=True, slots=True)
class Dump:
    """Make the worker write its stacks to stderr, since it is about to be killed."""

    slot: SlotName
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL."""

    slot: SlotName
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop a slot that is no longer wanted and has no worker."""

    slot: SlotName


Action = Start | Drain | Stop | Dump | Kill | Forget


def plan(now_s: float, wanted: Wanted, slots: Mapping[SlotName, Slot], limits: Limits) -> list[Action]:
    """
    Decide what to do now; at most one action for each slot.

    Args:
        now_s: Monotonic seconds.
        wanted: What should run; each of its slots must be in `slots`.
        slots: What is known; only read.
        limits: The supervisor's settings.
    """
    planned = (
        plan_worker(now_s, wanted, slot, slot.worker, limits) if slot.worker else plan_empty(now_s, wanted, slot)
        for slot in slots.values()
    )
    return [action for action in planned if action is not None]


def plan_empty(now_s: float, wanted: Wanted, slot: Slot) -> Action | None:
    """Decide for a slot that has no worker."""
    match slot.state:
        case _ if wanted.stopping:
            return None
        case _ if slot.name not in wanted.fingerprints:
            return Forget(slot.name)
        case _ if slot.restart_asked:
            return Start(slot.name)
        case _ if slot.held:
            return None
        case State.BACKOFF | State.FAILED if now_s < slot.retry_at_s:
            return None
        case _:
            return Start(slot.name)


def plan_worker(now_s: float, wanted: Wanted, slot: Slot, worker: Worker, limits: Limits) -> Action | None:
    """Decide for a slot whose worker is alive."""
    hung = hang_reason(now_s, worker, limits)
    match slot.state:
        case _ if worker.killed_s is not None:
            return None
        case _ if hung and worker.dump_s is None:
            return Dump(slot.name, hung)
        case _ if hung and worker.dump_s is not None and now_s - worker.dump_s >= DUMP_GRACE_S:
            return Kill(slot.name, hung)
        case State.DRAINING if wanted.quick and worker.stop_s is None:
            return Stop(slot.name)
        case State.DRAINING if worker.stop_s is not None and now_s - worker.stop_s >= QUICK_S_MAX:
            return Kill(slot.name, f"still there {QUICK_S_MAX:g} s after a quick stop")
        case State.DRAINING if worker.drain_s is not None and now_s - worker.drain_s >= limits.drain_max_s:
            return Kill(slot.name, f"not drained within {limits.drain_max_s:g} s (supervisor.drain_max)")
        case State.DRAINING:
            return None
        case _ if reason := drain_reason(wanted, slot, worker):
            return Drain(slot.name, reason)
        case _ if (rss := memory_bytes(worker)) > limits.worker_memory_bytes_max:
            return Drain(slot.name, memory_reason(rss, limits), asked=False)
        case _:
            return None


def hang_reason(now_s: float, worker: Worker, limits: Limits) -> str | None:
    """Say since when a worker is silent, or None while that is no cause for worry."""
    if worker.heard_s is None:
        silent_s, silent_s_max = now_s - worker.started_s, limits.start_max_s
        since, setting = "its start", "start_max"
    else:
        silent_s, silent_s_max = now_s - worker.heard_s, limits.hang_max_s
        since, setting = "its last heartbeat", "hang_max"
    if silent_s < silent_s_max:
        return None
    return f"no heartbeat for {silent_s_max:g} s since {since} (supervisor.{setting})"


def drain_reason(wanted: Wanted, slot: Slot, worker: Worker) -> str | None:
    """Say why somebody wants this worker gone, or None."""
    if wanted.stopping:
        return "the daemon is stopping"
    if slot.name not in wanted.fingerprints:
        return "the configuration no longer has it"
    if slot.restart_asked:
        return "an operator asked for a restart"
    if slot.held:
        return "an operator asked for a drain"
    if worker.fingerprint != wanted.fingerprints[slot.name]:
        return "its settings changed"
    return None


def memory_bytes(worker: Worker) -> int:
    """Return the resident memory that the worker last reported, 0 while unknown."""
    rss = worker.heartbeat.get("rss_bytes")
    return rss if isinstance(rss, int) else 0


def memory_reason(rss: int, limits: Limits) -> str:
    """Say how far a worker is above its memory limit."""
    return (
        f"{rss / 2**20:.0f} MiB of memory is above "
        f"{limits.worker_memory_bytes_max / 2**20:.0f} MiB (supervisor.worker_memory_bytes_max)"
    )


def wait_s(now_s: float, slots: Iterable[Slot]) -> float:
    """Return how long the loop may sleep when nothing happens: seconds, up to `TICK_S`."""
    longest_s = TICK_S
    for slot in slots:
        if slot.worker is None and slot.state in (State.BACKOFF, State.FAILED):
            longest_s = min(longest_s, slot.retry_at_s - now_s)
        elif slot.worker and (slot.state is State.DRAINING or slot.worker.dump_s is not None):
            longest_s = min(longest_s, BUSY_TICK_S)
    return max(0.0, longest_s)
