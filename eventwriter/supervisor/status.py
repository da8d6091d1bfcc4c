"""
The picture that every reader is given: `status`, health, metrics and systemd's line. Pure.

Health is about progress. A slot is healthy when its worker runs, its servers are
connected, and either nothing waits or messages were settled within
`PROGRESS_S_MAX`; that a process exists is not health.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eventwriter.observe.heartbeat import BOUNDS, LIVE_FIELDS
from eventwriter.supervisor.slot import ALIVE, Slot, State, Worker


def rates(slot: Slot) -> tuple[float, float]:
    """Return messages and rows per second over the last heartbeats."""
    samples = list(slot.worker.samples) if slot.worker else []
    if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
        return 0.0, 0.0
    (first_s, messages, rows), (last_s, messages_now, rows_now) = samples[0], samples[-1]
    passed_s = last_s - first_s
    return round((messages_now - messages) / passed_s, 1), round((rows_now - rows) / passed_s, 1)


def stalled_s(now_s: float, slot: Slot) -> float:
    """Return for how long nothing was settled though something was left to do; seconds, 0.0 where nothing is left."""
    worker = slot.worker
    if worker is not None and worker.heartbeat.get("lag_messages") == 0:
        return 0.0
    ready_s = worker.ready_s if worker else None
    moved_s = max(instant for instant in (slot.progress_s, ready_s, slot.born_s) if instant is not None)
    return round(max(0.0, now_s - moved_s), 1)


def lag_per_s(slot: Slot) -> float | None:
    """Return by how many messages a second the lag grows (below 0: shrinks) of late; None while that is not known."""
    lags = list(slot.worker.lags) if slot.worker else []
    if len(lags) < 2 or lags[-1][0] <= lags[0][0]:
        return None
    return round((lags[-1][1] - lags[0][1]) / (lags[-1][0] - lags[0][0]), 1)


def catch_up_s(slot: Slot) -> float | None:
    """Return in how many seconds the lag is gone if things go on as of late; None where it does not shrink."""
    lags, change = list(slot.worker.lags) if slot.worker else [], lag_per_s(slot)
    if not lags:
        return None
    if lags[-1][1] == 0:
        return 0.0
    return round(lags[-1][1] / -change, 1) if change is not None and change < 0 else None


VERSION = 1
PROGRESS_S_MAX = 30.0  # a batch that PostgreSQL takes longer for is worth an operator's look
START_S_MAX = 30.0  # a first start takes a second; after this "starting" is no excuse


class Health(IntEnum):
    """How things are; the worst slot decides for the daemon."""

    HEALTHY = 0
    STARTING = 1
    DEGRADED = 2
    FAILING = 3

    def __str__(self) -> str:
        return self.name.lower()


Judgement = tuple[Health, str | None]
"""Health, and a sentence unless it is healthy."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the snapshot says of the supervisor itself."""

    version: str
    pid: int
    started_at_ns: int
    started_s: float
    stopping: bool


def snapshot(now_s: float, daemon: Daemon, slots: Iterable[Slot]) -> dict[str, Any]:
    """
    Draw the picture.

    Args:
        now_s: Monotonic seconds.
        daemon: The supervisor.
        slots: All slots, in the order to show them.
    """
    pictures = [slot_picture(now_s, slot) for slot in slots]
    health, reason = overall(daemon, pictures)
    return {
        "v": VERSION,
        "status": str(health),
        "reason": reason,
        "stopping": daemon.stopping,
        "version": daemon.version,
        "pid": daemon.pid,
        "uptime_s": round(now_s - daemon.started_s, 1),
        "started_at_ns": daemon.started_at_ns,
        "nats": server(pictures, "nats_connected", "nats_url", "url"),
        "postgres": {
            **server(pictures, "postgres_connected", "postgres_target", "target"),
            "circuit": circuit(pictures),
        },
        "totals": totals(pictures),
        "histogram_bounds": BOUNDS,
        "slots": pictures,
    }


def slot_picture(now_s: float, slot: Slot) -> dict[str, Any]:
    """Draw one slot."""
    worker, health = slot.worker, slot_health(now_s, slot)
    heartbeat = worker.heartbeat if worker else {}
    messages_per_s, rows_per_s = rates(slot)
    return {
        "name": str(slot.name),
        "state": str(slot.state),
        "health": str(health[0]),
        "reason": health[1],
        "worker_state": heartbeat.get("state"),
        "pid": worker.pid if worker else None,
        "uptime_s": round(now_s - worker.started_s, 1) if worker else None,
        "heartbeat_age_s": round(now_s - worker.heard_s, 3) if worker and worker.heard_s is not None else None,
        "messages_per_s": messages_per_s,
        "rows_per_s": rows_per_s,
        **slot.counters(),
        **slot.counted_maps(),
        "histograms": slot.histograms(),
        "dead_letters_last_hour": slot.dead_letters.risen(),
        "lag_per_s": lag_per_s(slot),
        "catch_up_s": catch_up_s(slot),
        "stalled_s": stalled_s(now_s, slot),
        **{name: heartbeat.get(name) for name in LIVE_FIELDS},
        "restarts": slot.restarts,
        "retry_in_s": retry_in_s(now_s, slot),
        "last_error": slot.last_error,
        "last_error_at_ns": slot.last_error_at_ns,
        "last_exit": slot.last_exit,
    }


def slot_health(now_s: float, slot: Slot) -> Judgement:
    """Judge one slot; with a sentence unless it is healthy."""
    match slot.state:
        case State.FAILED:
            return Health.FAILING, f"its workers exit too often: {slot.last_exit}"
        case State.STARTING if slot.looping:
            return Health.FAILING, f"tried again after exiting too often: {slot.last_exit}"
        case State.BACKOFF:
            return Health.DEGRADED, f"restarting soon: {slot.last_exit}"
        case State.DRAINING:
            return Health.DEGRADED, "draining"
        case State.STOPPED if slot.held:
            return Health.DEGRADED, f"drained by an operator; `eventwriter-ctl restart {slot.name}` starts it"
        case _ if slot.worker and slot.worker.heartbeat:
            return worker_health(now_s, slot, slot.worker)
        case _:
            return starting_health(now_s, slot)


def worker_health(now_s: float, slot: Slot, worker: Worker) -> Judgement:
    """Judge a slot by what its worker says of itself."""
    match worker.heartbeat.get("state"):
        case "running":
            return progress(now_s, slot, worker)
        case "paused":
            return Health.DEGRADED, said(slot)
        case "parked":
            return Health.FAILING, said(slot) or "an operator must act; see the log"
        case "starting":
            return starting_health(now_s, slot)
        case _:
            return Health.DEGRADED, said(slot) or "waiting for a server"


def starting_health(now_s: float, slot: Slot) -> Judgement:
    """Judge a slot that does not run yet, or not again yet."""
    if slot.ever_ready:
        return Health.DEGRADED, "restarting"
    if now_s - slot.born_s < START_S_MAX:
        return Health.STARTING, "starting"
    return Health.DEGRADED, said(slot) or f"not running {START_S_MAX:g} s after its start"


def said(slot: Slot) -> str | None:
    """Return the worker's own sentence about its state, or else the last error."""
    reason = slot.worker.heartbeat.get("reason") if slot.worker else None
    return reason or slot.last_error


def progress(now_s: float, slot: Slot, worker: Worker) -> Judgement:
    """Judge a slot whose worker says that it runs: is it connected, and does anything move?"""
    heartbeat = worker.heartbeat
    for what, name in (("nats_connected", "NATS"), ("postgres_connected", "PostgreSQL")):
        if not heartbeat.get(what):
            return Health.DEGRADED, f"not connected to {name}"
    if heartbeat.get("lag_messages") and stalled_s(now_s, slot) > PROGRESS_S_MAX:
        waiting = heartbeat["lag_messages"]
        return Health.DEGRADED, f"{waiting} messages wait and none was settled for {PROGRESS_S_MAX:g} s"
    for what in ("missing", "dying"):
        if said_of_it := heartbeat.get(what):
            return Health.DEGRADED, str(said_of_it)
    return Health.HEALTHY, None


def overall(daemon: Daemon, pictures: list[dict[str, Any]]) -> Judgement:
    """Judge the daemon by its worst slot; the sentence names that slot."""
    if daemon.stopping:
        return Health.DEGRADED, "stopping"
    if not pictures:
        return Health.DEGRADED, "no stream is enabled in the configuration"
    worst = max(pictures, key=lambda picture: Health[picture["health"].upper()])
    health = Health[worst["health"].upper()]
    return health, None if worst["reason"] is None else f"{worst['name']}: {worst['reason']}"


def server(pictures: list[dict[str, Any]], connected: str, name: str, key: str) -> dict[str, Any]:
    """Sum up one server over the slots: connected when every worker that lives is."""
    living = [picture for picture in pictures if picture["state"] in ALIVE]
    names = sorted({picture[name] for picture in living if picture[name]})
    count = sum(bool(picture[connected]) for picture in living)
    return {
        "connected": bool(living) and count == len(living),
        "workers": len(living),
        "workers_connected": count,
        key: ", ".join(names) or None,
    }


def circuit(pictures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the circuit to PostgreSQL that is open for longest; a closed one where none is."""
    found = [picture["postgres_circuit"] for picture in pictures if picture["postgres_circuit"]]
    return max(found, key=lambda one: one.get("open_s", -1.0), default={"state": "closed"})


def totals(pictures: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the slots; lag is null while no worker knows it."""
    known = [picture for picture in pictures if picture["lag_messages"] is not None]
    # Slots that share a durable all report its lag: it is one.
    by_durable = {(one["stream"], one["durable"] or one["name"]): one["lag_messages"] for one in known}
    lags = list(by_durable.values())
    lags_s = [picture["lag_s"] for picture in pictures if picture["lag_s"] is not None]
    summed = ("messages_total", "rows_total", "dead_letters_total", "already_written_total", "restarts")
    return {
        **{name: sum(picture[name] for picture in pictures) for name in summed},
        "messages_per_s": round(sum(picture["messages_per_s"] for picture in pictures), 1),
        "rows_per_s": round(sum(picture["rows_per_s"] for picture in pictures), 1),
        "lag_messages": sum(lags) if lags else None,
        "lag_s": max(lags_s, default=None),
    }


def retry_in_s(now_s: float, slot: Slot) -> float | None:
    """Return how long a resting slot still rests, None for any other."""
    if slot.worker is None and slot.state in (State.BACKOFF, State.FAILED):
        return round(max(0.0, slot.retry_at_s - now_s), 1)
    return None


def sentence(picture: Mapping[str, Any]) -> str:
    """Say a snapshot in one line, for `systemctl status`; without figures that change every second."""
    up = sum(slot["state"] == State.RUNNING for slot in picture["slots"])
    line = f"{picture['status']}, {up} of {len(picture['slots'])} workers run"
    return f"{line}; {picture['reason']}" if picture["reason"] else line
