"""
The snapshot of the daemon that `status`, health checks, metrics and systemd's status line read. Pure.

Health means progress, not that a process exists. A slot is healthy if its worker is running and
connected to both servers, both answer within `UNANSWERED_S_MAX`, and either no message is
waiting or messages were settled within `PROGRESS_S_MAX`. A healthy slot has a reason too once
progress is late, so that nothing claims that every message is written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eventwriter import clock
from eventwriter.observe.heartbeat import BOUNDS, LIVE_FIELDS
from eventwriter.supervisor.slot import ALIVE, Slot, State, Worker

VERSION = 1
PROGRESS_S_MAX = 30.0  # without an unanswered statement: messages may wait for a long batch_timeout
PROGRESS_S_SHOWN = 10.0  # from here on the reason says that messages are waiting
UNANSWERED_S_MAX = 8.0  # with a heartbeat's delay the slot is degraded within 10 s
UNANSWERED_S_SHOWN = 3.0  # with a heartbeat's delay the reason says so within 5 s
LAST_ERROR_S_MAX = 900.0  # a healthy slot shows its last error no longer; the log has it
START_S_MAX = 30.0  # a first start takes a second; a longer one is not healthy


class Health(IntEnum):
    """Health of a slot or of the daemon, whose worst slot decides."""

    HEALTHY = 0
    STARTING = 1
    DEGRADED = 2
    FAILING = 3

    def __str__(self) -> str:
        return self.name.lower()


Judgement = tuple[Health, str | None]
"""Health and its reason; a healthy slot has a reason only if progress is late."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """The supervisor's own part of the snapshot."""

    version: str
    pid: int
    started_at_ns: int
    started_s: float
    stopping: bool


def snapshot(now_s: float, daemon: Daemon, slots: Iterable[Slot]) -> dict[str, Any]:
    """
    Return the snapshot.

    Args:
        now_s: Monotonic seconds.
        daemon: The supervisor's own part.
        slots: All slots in the order to show them.
    """
    rows = [slot_to_dict(now_s, slot) for slot in slots]
    health, reason = overall_health(daemon, rows)
    return {
        "v": VERSION,
        "status": str(health),
        "reason": reason,
        "stopping": daemon.stopping,
        "version": daemon.version,
        "pid": daemon.pid,
        "uptime_s": round(now_s - daemon.started_s, 1),
        "started_at_ns": daemon.started_at_ns,
        "nats": server_summary(rows, "nats_connected", "nats_url", "url"),
        "postgres": {
            **server_summary(rows, "postgres_connected", "postgres_target", "target"),
            "circuit": worst_circuit(rows),
        },
        "totals": totals(rows),
        "histogram_bounds": BOUNDS,
        "slots": rows,
    }


def slot_to_dict(now_s: float, slot: Slot) -> dict[str, Any]:
    """Return one slot's part of the snapshot."""
    worker, (health, reason) = slot.worker, slot_health(now_s, slot)
    heartbeat = worker.heartbeat if worker else {}
    messages_per_s, rows_per_s = rates(slot)
    heartbeat_s = worker.heartbeat_s if worker else None
    return {
        "name": str(slot.name),
        "state": str(slot.state),
        "health": str(health),
        "reason": reason,
        "worker_state": heartbeat.get("state"),
        "pid": worker.pid if worker else None,
        "uptime_s": round(now_s - worker.started_s, 1) if worker else None,
        "heartbeat_age_s": round(now_s - heartbeat_s, 3) if heartbeat_s is not None else None,
        "messages_per_s": messages_per_s,
        "rows_per_s": rows_per_s,
        **slot.counters(),
        **slot.split_counters(),
        "histograms": slot.histograms(),
        "dead_letters_last_hour": slot.recent_dead_letters.growth(),
        "lag_per_s": lag_per_s(slot),
        "catch_up_s": catch_up_s(slot),
        "stalled_s": stalled_s(now_s, slot),
        **{name: heartbeat.get(name) for name in LIVE_FIELDS},
        "restarts": slot.restarts,
        "restarts_requested": slot.restarts_requested,
        "retry_in_s": retry_in_s(now_s, slot),
        **last_error(slot, health),
        "last_exit": slot.last_exit,
    }


def last_error(slot: Slot, health: Health) -> dict[str, Any]:
    """Return the last error with its time and age; nulls once the slot has been healthy for some time after it."""
    at_ns = slot.last_error_at_ns
    age_s = None if at_ns is None else round(max(0, clock.now_ns() - at_ns) / 1e9, 1)
    faded = health is Health.HEALTHY and age_s is not None and age_s > LAST_ERROR_S_MAX
    if slot.last_error is None or faded:
        return {"last_error": None, "last_error_at_ns": None, "last_error_age_s": None}
    return {"last_error": slot.last_error, "last_error_at_ns": at_ns, "last_error_age_s": age_s}


def rates(slot: Slot) -> tuple[float, float]:
    """Return messages and rows per second over the last heartbeats."""
    samples = list(slot.worker.samples) if slot.worker else []
    if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
        return 0.0, 0.0
    (first_s, first_messages, first_rows), (last_s, last_messages, last_rows) = samples[0], samples[-1]
    elapsed_s = last_s - first_s
    return round((last_messages - first_messages) / elapsed_s, 1), round((last_rows - first_rows) / elapsed_s, 1)


def stalled_s(now_s: float, slot: Slot) -> float:
    """Return for how many seconds messages have been waiting without any being settled; 0.0 if none is waiting."""
    worker = slot.worker
    if worker is not None and worker.heartbeat.get("lag_messages") == 0:
        return 0.0
    ready_s = worker.ready_s if worker else None
    since_s = max(instant for instant in (slot.progress_s, ready_s, slot.created_s) if instant is not None)
    return round(max(0.0, now_s - since_s), 1)


def lag_per_s(slot: Slot) -> float | None:
    """Return the recent growth of the lag in messages per second, negative if it shrinks; None if it is unknown."""
    lags = list(slot.worker.lags) if slot.worker else []
    if len(lags) < 2 or lags[-1][0] <= lags[0][0]:
        return None
    return round((lags[-1][1] - lags[0][1]) / (lags[-1][0] - lags[0][0]), 1)


def catch_up_s(slot: Slot) -> float | None:
    """Return the seconds until the lag reaches zero at the recent rate; None if it does not shrink."""
    lags, growth = list(slot.worker.lags) if slot.worker else [], lag_per_s(slot)
    if not lags:
        return None
    if lags[-1][1] == 0:
        return 0.0
    return round(lags[-1][1] / -growth, 1) if growth is not None and growth < 0 else None


def slot_health(now_s: float, slot: Slot) -> Judgement:
    """Return the health of one slot."""
    match slot.state:
        case State.FAILED:
            return Health.FAILING, f"crash loop; last exit: {slot.last_exit}"
        case State.STARTING if slot.in_crash_loop:
            return Health.FAILING, f"restarted after a crash loop; last exit: {slot.last_exit}"
        case State.BACKOFF:
            return Health.DEGRADED, f"restart pending; last exit: {slot.last_exit}"
        case State.DRAINING:
            return Health.DEGRADED, "draining"
        case State.STOPPED if slot.drained:
            return Health.DEGRADED, f"drained by an operator; `eventwriter-ctl restart {slot.name}` starts it"
        case _ if slot.worker and slot.worker.heartbeat:
            return worker_health(now_s, slot, slot.worker)
        case _:
            return starting_health(now_s, slot)


def worker_health(now_s: float, slot: Slot, worker: Worker) -> Judgement:
    """Return the health of a slot from its worker's heartbeat."""
    match worker.heartbeat.get("state"):
        case "running":
            return running_health(now_s, slot, worker)
        case "paused":
            return Health.DEGRADED, reported_reason(slot)
        case "parked":
            return Health.FAILING, reported_reason(slot) or "an operator must act; see the log"
        case "starting":
            return starting_health(now_s, slot)
        case _:
            reason = reported_reason(slot) or "waiting for a server"
            return Health.DEGRADED, f"{reason}{blocked_by(worker)}"


def starting_health(now_s: float, slot: Slot) -> Judgement:
    """Return the health of a slot whose worker is not ready."""
    if slot.ever_ready:
        return Health.DEGRADED, "restarting"
    if now_s - slot.created_s < START_S_MAX:
        return Health.STARTING, "starting"
    return Health.DEGRADED, reported_reason(slot) or f"not running {START_S_MAX:g} s after its start"


def reported_reason(slot: Slot) -> str | None:
    """Return the reason that the worker reports for its state, otherwise the last error."""
    reason = slot.worker.heartbeat.get("reason") if slot.worker else None
    return reason or slot.last_error


def running_health(now_s: float, slot: Slot, worker: Worker) -> Judgement:
    """Return the health of a slot with a running worker, from its connections and its progress."""
    heartbeat = worker.heartbeat
    for field, server in (("nats_connected", "NATS"), ("postgres_connected", "PostgreSQL")):
        if not heartbeat.get(field):
            return Health.DEGRADED, f"not connected to {server}"
    if (running_s := unanswered_s(now_s, worker)) >= UNANSWERED_S_SHOWN:
        statement = heartbeat.get("postgres_statement") or "statement"
        reason = f"PostgreSQL has not answered a {statement} for {running_s:.0f} s{blocked_by(worker)}"
        return Health.DEGRADED if running_s >= UNANSWERED_S_MAX else Health.HEALTHY, reason
    if (silent_s := since_heartbeat(now_s, worker, "nats_unanswered_s")) >= UNANSWERED_S_SHOWN:
        reason = f"NATS has not answered a JetStream request for {silent_s:.0f} s"
        return Health.DEGRADED if silent_s >= UNANSWERED_S_MAX else Health.HEALTHY, reason
    waiting, late_s = heartbeat.get("lag_messages"), stalled_s(now_s, slot)
    if waiting and late_s > PROGRESS_S_MAX:
        return Health.DEGRADED, late_reason(PROGRESS_S_MAX)
    for field in ("missing", "dying"):
        if field_reason := heartbeat.get(field):
            return Health.DEGRADED, str(field_reason)
    return Health.HEALTHY, late_reason(PROGRESS_S_SHOWN) if waiting and late_s > PROGRESS_S_SHOWN else None


def late_reason(late_s: float) -> str:
    """
    Return the reason of a slot that settles nothing while messages are waiting.

    It contains no number that changes from one snapshot to the next, so that alerts can be deduplicated; the fields
    `lag_messages` and `stalled_s` have them.
    """
    return f"no message settled for {late_s:g} s while messages are waiting"


def unanswered_s(now_s: float, worker: Worker) -> float:
    """Return for how many seconds PostgreSQL has not answered a statement of a batch; 0.0 if none is running."""
    return (
        since_heartbeat(now_s, worker, "postgres_unanswered_s") if worker.heartbeat.get("postgres_statement") else 0.0
    )


def since_heartbeat(now_s: float, worker: Worker, name: str) -> float:
    """Return a duration that a worker reported and that has grown since; 0.0 if it was not running."""
    reported_s = worker.heartbeat.get(name)
    if not isinstance(reported_s, int | float) or reported_s <= 0:
        return 0.0
    return reported_s + (now_s - worker.heartbeat_s if worker.heartbeat_s is not None else 0.0)


def blocked_by(worker: Worker) -> str:
    """Return the end of a reason that names the sessions which block a worker's statement; empty if none is known."""
    sessions = worker.heartbeat.get("postgres_blocked_by")
    return f"; blocked by {sessions}" if sessions else ""


def overall_health(daemon: Daemon, rows: list[dict[str, Any]]) -> Judgement:
    """Return the health of the daemon, which is that of its worst slot; the reason names the slot."""
    if daemon.stopping:
        return Health.DEGRADED, "stopping"
    if not rows:
        return Health.DEGRADED, "no stream is enabled in the configuration"
    worst = max(rows, key=lambda row: (Health[row["health"].upper()], row["reason"] is not None))
    health = Health[worst["health"].upper()]
    return health, None if worst["reason"] is None else f"{worst['name']}: {worst['reason']}"


def server_summary(rows: list[dict[str, Any]], connected: str, name: str, key: str) -> dict[str, Any]:
    """Return the state of one server over all slots: whether every living worker is connected; null without any."""
    living = [row for row in rows if row["state"] in ALIVE]
    names = sorted({row[name] for row in living if row[name]})
    count = sum(bool(row[connected]) for row in living)
    return {
        "connected": count == len(living) if living else None,
        "workers": len(living),
        "workers_connected": count,
        key: ", ".join(names) or None,
    }


def worst_circuit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the circuit breaker that has been open for longest, or a closed one."""
    circuits = [row["postgres_circuit"] for row in rows if row["postgres_circuit"]]
    return max(circuits, key=lambda circuit: circuit.get("open_s", -1.0), default={"state": "closed"})


def totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return sums over all slots; the lag is null while no worker knows it."""
    known = [row for row in rows if row["lag_messages"] is not None]
    # All slots that share a durable report its lag, which must be counted once.
    by_durable = {(row["stream"], row["durable"] or row["name"]): row["lag_messages"] for row in known}
    lags = list(by_durable.values())
    lags_s = [row["lag_s"] for row in rows if row["lag_s"] is not None]
    summed = (
        "messages_total", "rows_total", "dead_letters_total", "already_written_total", "restarts", "restarts_requested",
    )  # fmt: skip
    return {
        **{name: sum(row[name] for row in rows) for name in summed},
        "messages_per_s": round(sum(row["messages_per_s"] for row in rows), 1),
        "rows_per_s": round(sum(row["rows_per_s"] for row in rows), 1),
        "lag_messages": sum(lags) if lags else None,
        "lag_s": max(lags_s, default=None),
    }


def retry_in_s(now_s: float, slot: Slot) -> float | None:
    """Return the seconds until a slot in backoff is restarted, None for any other slot."""
    if slot.worker is None and slot.state in (State.BACKOFF, State.FAILED):
        return round(max(0.0, slot.retry_at_s - now_s), 1)
    return None


def summary(snapshot: Mapping[str, Any]) -> str:
    """Return a snapshot as one line for `systemctl status`, without figures that change every second."""
    running = sum(slot["state"] == State.RUNNING for slot in snapshot["slots"])
    line = f"{snapshot['status']}, {running} of {len(snapshot['slots'])} workers running"
    return f"{line}; {snapshot['reason']}" if snapshot["reason"] else line
