"""
The view that the dashboard draws, computed from two snapshots a few seconds apart; pure.

The share of a stage is the difference of its busy seconds between the two snapshots, divided
by the elapsed time. Each of a worker's two tasks is in one stage at a time.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from eventwriter.observe.heartbeat import STAGES
from eventwriter.observe.histogram import counts, total
from eventwriter.observe.metrics import HEALTHS
from eventwriter.web.history import SlotSnapshot, by_stream, lag_messages

Snapshot = Mapping[str, Any]

WAITS = {"pull": "pull_wait_us_total", "batch": "queue_wait_us_total", "quarantine": "quarantine_us_total"}
"""Counters of the time that a worker spends outside its stages, by the name in the view."""
BUSY_SHARE = 0.6
"""A stage that is busy for a larger share of the time is the bottleneck."""
QUARANTINE_SHARE = 0.2
"""Quarantine is named as the bottleneck if it takes a larger share of the time."""
BACKLOG_S = 5.0
"""Lag from which a stream has a backlog: longer than any batch is kept open."""
IDLE_SHARE = 0.8
"""A worker that waits for messages for a larger share of the time is idle."""


def view(now_ms: int, now: Snapshot, before: Snapshot, past: Mapping[str, list[int]]) -> dict[str, Any]:
    """
    Return the view.

    Args:
        now_ms: Milliseconds since 1970.
        now: The newest snapshot.
        before: The snapshot of a few seconds ago, or the same one if there is no other.
        past: For each stream, the counts of its latency histogram of some minutes ago.
    """
    slots_before = {slot["name"]: slot for slot in before["slots"]} if before["pid"] == now["pid"] else {}
    elapsed_s = max(0.0, now["uptime_s"] - before["uptime_s"])
    streams = [
        stream_view(name, slots, [slots_before.get(slot["name"], slot) for slot in slots], elapsed_s, past.get(name))
        for name, slots in by_stream(now["slots"])
    ]
    rates = {key: round(sum(stream[key] for stream in streams), 1) for key in ("messages_per_s", "rows_per_s")}
    return {
        "at_ms": now_ms,
        **{key: now[key] for key in ("status", "reason", "stopping", "version", "uptime_s", "started_at_ns")},
        **{key: now[key] for key in ("nats", "postgres")},
        "totals": {**now["totals"], **rates},
        "latency_bounds_s": now["histogram_bounds"]["latency_s"],
        "streams": streams,
    }


def stream_view(
    name: str, now: list[SlotSnapshot], before: list[SlotSnapshot], elapsed_s: float, past: list[int] | None
) -> dict[str, Any]:
    """Return the view of one stream: its slots together, and each of its workers."""
    worst = max(now, key=lambda slot: HEALTHS.index(slot["health"]))
    dead = added(slot["dead_letters_by_reason"] for slot in now)
    stages = stages_view(now, before, elapsed_s)
    lags_s = [slot["lag_s"] for slot in now if slot["lag_s"] is not None]
    return {
        "name": name,
        "source": now[0]["stream"],
        "health": worst["health"],
        "reason": worst["reason"],
        "messages_per_s": rate(now, before, "messages_total", elapsed_s),
        "rows_per_s": rate(now, before, "rows_total", elapsed_s),
        "lag_messages": lag_messages(now),
        "lag_s": max(lags_s, default=None),
        **{key: sum(slot[key] for slot in now) for key in ("messages_total", "rows_total", "dead_letters_total")},
        "dead_by_reason": dict(sorted(dead.items(), key=lambda pair: -pair[1])),
        "stages": stages,
        "bottleneck": bottleneck(stages["share"], backlog(now, before)),
        "latency": counted_since(latency_counts(now), past),
        "workers": [worker_view(slot, then, elapsed_s) for slot, then in zip(now, before, strict=True)],
    }


def stages_view(now: list[SlotSnapshot], before: list[SlotSnapshot], elapsed_s: float) -> dict[str, Any]:
    """
    Return each stage's share of the time, and averages per message, row or batch.

    Shares are averaged over the workers; a share or an average is null if it is unknown.
    """
    seconds = {
        stage: sum(stage_s(slot, stage) for slot in now) - sum(stage_s(slot, stage) for slot in before)
        for stage in STAGES
    }
    counters = {
        key: sum(slot[key] for slot in now) - sum(slot[key] for slot in before)
        for key in ("messages_total", "rows_total", "batches_total", *WAITS.values())
    }
    waits = {name: counters[key] / 1e6 for name, key in WAITS.items()}
    worker_s = elapsed_s * sum(1 for slot in now if slot["pid"])
    messages, batches = counters["messages_total"], counters["batches_total"]
    return {
        "share": {
            stage: round(min(1.0, max(0.0, spent_s / worker_s)), 3) if worker_s else None
            for stage, spent_s in {**seconds, **waits}.items()
        },
        "decode_us": ratio(seconds["decode"] * 1e6, messages),
        "rows_us": ratio(seconds["rows"] * 1e6, counters["rows_total"]),
        "batch_messages": ratio(messages, batches),
        "copy_ms": ratio(seconds["copy"] * 1e3, batches),
        "commit_ms": ratio(seconds["commit"] * 1e3, batches),
        "ack_ms": ratio(seconds["ack"] * 1e3, batches),
    }


def bottleneck(share: Mapping[str, float | None], trend: str | None) -> str | None:
    """
    Return a short text about what limits the throughput, None if that is unknown.

    Args:
        share: Share of the time by stage.
        trend: Trend of the backlog as in `backlog`.
    """
    known = {stage: value for stage, value in share.items() if value is not None}
    if not known:
        return trend
    cpu = known["decode"] + known["rows"]
    if known["quarantine"] > QUARANTINE_SHARE:
        limit = "decoding in small groups after a worker died"
    elif known["copy"] > BUSY_SHARE and known["copy"] >= cpu:
        limit = "PostgreSQL is the bottleneck"
    elif cpu > BUSY_SHARE:
        limit = "the worker's CPU is the bottleneck; more partitions would help"
    elif known["ack"] > BUSY_SHARE:
        limit = "acknowledgements to NATS are the bottleneck"
    elif trend:
        return trend
    else:
        return "waiting for messages most of the time" if known["pull"] > IDLE_SHARE else "keeping up"
    return f"{trend}: {limit}" if trend else limit


def backlog(now: list[SlotSnapshot], before: list[SlotSnapshot]) -> str | None:
    """Return the trend of a backlog as text, None if there is no backlog."""
    if max((slot["lag_s"] or 0.0 for slot in now), default=0.0) < BACKLOG_S:
        return None
    lag, lag_before = lag_messages(now), lag_messages(before)
    if lag is None or lag_before is None or lag == lag_before:
        return "behind"
    return "catching up" if lag < lag_before else "falling behind"


def worker_view(now: SlotSnapshot, before: SlotSnapshot, elapsed_s: float) -> dict[str, Any]:
    """Return the view of one slot's worker."""
    same_process = now["pid"] is not None and now["pid"] == before["pid"] and before is not now
    known = same_process and None not in (now["cpu_s"], before["cpu_s"])
    worker_state = now["worker_state"] if now["state"] in ("starting", "running") else None
    shown = ("name", "health", "reason", "pid", "uptime_s", "restarts", "rss_bytes", "lag_messages")
    return {
        **{key: now[key] for key in shown},
        "messages_per_s": rate([now], [before], "messages_total", elapsed_s),
        "state": worker_state or now["state"],
        "cpu": ratio(now["cpu_s"] - before["cpu_s"], elapsed_s) if known else None,
        "retry_in_s": now["retry_in_s"],
        "last_error": now["last_error"],
        "last_error_at_ns": now["last_error_at_ns"],
        "nats_connected": now["nats_connected"],
        "postgres_connected": now["postgres_connected"],
    }


def rate(now: list[SlotSnapshot], before: list[SlotSnapshot], key: str, elapsed_s: float) -> float:
    """Return the increase of a counter per second, over all slots and across restarts of their workers."""
    increase = sum(slot[key] for slot in now) - sum(slot[key] for slot in before)
    return round(increase / elapsed_s, 1) if elapsed_s else 0.0


def stage_s(slot: SlotSnapshot, stage: str) -> float:
    """Return the seconds that a slot has spent in a stage since it exists."""
    return total(slot["histograms"].get("stage_s", {}).get(stage))


def latency_counts(slots: Iterable[SlotSnapshot]) -> list[int]:
    """Return the counts of the latency histogram over several slots; not cumulative."""
    histograms = [counts(slot["histograms"].get("latency_s", {}).get("")) for slot in slots]
    length = max(map(len, histograms), default=0)
    return [sum(histogram[at] for histogram in histograms if at < len(histogram)) for at in range(length)]


def counted_since(now: list[int], before: list[int] | None) -> list[int]:
    """Return the counts that were added since `before`; all of them if it is unknown or from another daemon."""
    if before is None or len(before) != len(now) or any(a < b for a, b in zip(now, before, strict=True)):
        return now
    return [a - b for a, b in zip(now, before, strict=True)]


def added(split_counters: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of several split counters."""
    result: dict[str, int] = {}
    for counter in split_counters:
        for label, count in counter.items():
            result[label] = result.get(label, 0) + count
    return result


def ratio(amount: float, divisor: float) -> float | None:
    """Return a quotient rounded to three decimals, None if the divisor is not positive."""
    return round(amount / divisor, 3) if divisor > 0 else None
