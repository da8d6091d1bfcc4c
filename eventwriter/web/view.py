"""
What the dashboard draws, worked out of two snapshots a few seconds apart. Pure.

Where the time goes is the difference of the stages' seconds between the two, over
the seconds that passed: each of a worker's two tasks is busy in one stage at a time.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from eventwriter.observe.histogram import counts, total
from eventwriter.web.history import by_stream, lag_messages

Picture = Mapping[str, Any]

WAITS = {"pull": "pull_wait_us_total", "batch": "queue_wait_us_total", "quarantine": "quarantine_us_total"}
"""What else a worker's time goes into, and the counters of it."""
BUSY = 0.6
"""A stage that is busy for more than this share of the time sets the pace."""
QUARANTINE_SHARE = 0.2
"""Decoding message by message for more than this share of the time is what holds a worker up."""
BEHIND_S = 5.0
"""A message that waits for longer than any batch is kept open is a backlog."""
IDLE = 0.8
"""A line that waits for messages for more than this share of the time has nothing to do."""


def view(now_ms: int, now: Picture, before: Picture, past: Mapping[str, list[int]]) -> dict[str, Any]:
    """
    Return one picture for the page.

    Args:
        now_ms: Milliseconds since 1970.
        now: The newest snapshot.
        before: One from a few seconds ago; the same one where there is none.
        past: For each stream, the counts of its latency histogram some minutes ago.
    """
    earlier = {slot["name"]: slot for slot in before["slots"]} if before["pid"] == now["pid"] else {}
    passed_s = max(0.0, now["uptime_s"] - before["uptime_s"])
    streams = [
        stream(name, slots, [earlier.get(slot["name"], slot) for slot in slots], passed_s, past.get(name))
        for name, slots in by_stream(now["slots"])
    ]
    speeds = {key: round(sum(one[key] for one in streams), 1) for key in ("messages_per_s", "rows_per_s")}
    return {
        "at_ms": now_ms,
        **{key: now[key] for key in ("status", "reason", "stopping", "version", "uptime_s", "started_at_ns")},
        **{key: now[key] for key in ("nats", "postgres")},
        "totals": {**now["totals"], **speeds},
        "latency_bounds_s": now["histogram_bounds"]["latency_s"],
        "streams": streams,
    }


def stream(
    name: str, now: list[Picture], before: list[Picture], passed_s: float, past: list[int] | None
) -> dict[str, Any]:
    """Draw one stream: all its slots together, then each."""
    worst = max(now, key=lambda slot: ("healthy", "starting", "degraded", "failing").index(slot["health"]))
    dead = added(slot["dead_letters_by_reason"] for slot in now)
    stages = where_time_goes(now, before, passed_s)
    lags_s = [slot["lag_s"] for slot in now if slot["lag_s"] is not None]
    return {
        "name": name,
        "source": now[0]["stream"],
        "health": worst["health"],
        "reason": worst["reason"],
        "messages_per_s": moved(now, before, "messages_total", passed_s),
        "rows_per_s": moved(now, before, "rows_total", passed_s),
        "lag_messages": lag_messages(now),
        "lag_s": max(lags_s, default=None),
        **{key: sum(slot[key] for slot in now) for key in ("messages_total", "rows_total", "dead_letters_total")},
        "dead_by_reason": dict(sorted(dead.items(), key=lambda pair: -pair[1])),
        "stages": stages,
        "pace": pace(stages["share"], lag_words(now, before)),
        "latency": since(latency_counts(now), past),
        "workers": [worker(slot, then, passed_s) for slot, then in zip(now, before, strict=True)],
    }


def where_time_goes(now: list[Picture], before: list[Picture], passed_s: float) -> dict[str, Any]:
    """
    Return, for each stage, the share of the time that it was busy, and its average for one batch or message.

    Shares are of one worker's time, averaged over the workers; null where it is not known.
    """
    seconds = {
        stage: sum(stage_s(slot, stage) for slot in now) - sum(stage_s(slot, stage) for slot in before)
        for stage in ("decode", "rows", "copy", "commit", "ack")
    }
    more = {
        key: sum(slot[key] for slot in now) - sum(slot[key] for slot in before)
        for key in ("messages_total", "rows_total", "batches_total", *WAITS.values())
    }
    waits = {stage: more[key] / 1e6 for stage, key in WAITS.items()}
    time_s = passed_s * sum(1 for slot in now if slot["pid"])
    messages, batches = more["messages_total"], more["batches_total"]
    return {
        "share": {
            stage: round(min(1.0, max(0.0, spent_s / time_s)), 3) if time_s else None
            for stage, spent_s in {**seconds, **waits}.items()
        },
        "decode_us": ratio(seconds["decode"] * 1e6, messages),
        "rows_us": ratio(seconds["rows"] * 1e6, more["rows_total"]),
        "batch_messages": ratio(messages, batches),
        "copy_ms": ratio(seconds["copy"] * 1e3, batches),
        "commit_ms": ratio(seconds["commit"] * 1e3, batches),
        "ack_ms": ratio(seconds["ack"] * 1e3, batches),
    }


def pace(share: Mapping[str, float | None], behind: str | None) -> str | None:
    """
    Say in a few words what sets the pace; None while that is not known.

    Args:
        share: Of the time, by stage.
        behind: Whether the backlog grows or shrinks, in words; None where there is none.
    """
    known = {stage: value for stage, value in share.items() if value is not None}
    if not known:
        return behind
    own = known["decode"] + known["rows"]
    if known["quarantine"] > QUARANTINE_SHARE:
        reason = "decodes message by message after a worker's death"
    elif known["copy"] > BUSY and known["copy"] >= own:
        reason = "PostgreSQL sets the pace"
    elif own > BUSY:
        reason = "the worker's processor sets the pace; more partitions would help"
    elif known["ack"] > BUSY:
        reason = "NATS's acknowledgements set the pace"
    elif behind:
        return behind
    else:
        return "waits for messages most of the time" if known["pull"] > IDLE else "keeps up"
    return f"{behind}: {reason}" if behind else reason


def lag_words(now: list[Picture], before: list[Picture]) -> str | None:
    """Say whether a backlog grows or shrinks, None where there is none."""
    if max((slot["lag_s"] or 0.0 for slot in now), default=0.0) < BEHIND_S:
        return None
    waiting, waited = lag_messages(now), lag_messages(before)
    if waiting is None or waited is None or waiting == waited:
        return "behind"
    return "catching up" if waiting < waited else "falling behind"


def worker(now: Picture, before: Picture, passed_s: float) -> dict[str, Any]:
    """Draw one slot's line in the table of workers."""
    same = now["pid"] is not None and now["pid"] == before["pid"] and before is not now
    cpu = (now["cpu_s"] - before["cpu_s"]) if same and None not in (now["cpu_s"], before["cpu_s"]) else None
    said = now["worker_state"] if now["state"] in ("starting", "running") else None
    kept = ("name", "health", "reason", "pid", "uptime_s", "restarts", "rss_bytes", "lag_messages")
    return {
        **{key: now[key] for key in kept},
        "messages_per_s": moved([now], [before], "messages_total", passed_s),
        "state": said or now["state"],
        "cpu": ratio(cpu, passed_s) if cpu is not None else None,
        "retry_in_s": now["retry_in_s"],
        "last_error": now["last_error"],
        "last_error_at_ns": now["last_error_at_ns"],
        "nats_connected": now["nats_connected"],
        "postgres_connected": now["postgres_connected"],
    }


def moved(now: list[Picture], before: list[Picture], key: str, passed_s: float) -> float:
    """Return how much a counter grows in a second, over all slots and across restarts of their workers."""
    grown = sum(slot[key] for slot in now) - sum(slot[key] for slot in before)
    return round(grown / passed_s, 1) if passed_s else 0.0


def stage_s(slot: Picture, stage: str) -> float:
    """Return the seconds that a slot has spent in a stage since it is there."""
    return total(slot["histograms"].get("stage_s", {}).get(stage))


def latency_counts(slots: Iterable[Picture]) -> list[int]:
    """Return the latency histogram of several slots, not cumulative."""
    found = [counts(slot["histograms"].get("latency_s", {}).get("")) for slot in slots]
    longest = max(map(len, found), default=0)
    return [sum(one[at] for one in found if at < len(one)) for at in range(longest)]


def since(now: list[int], before: list[int] | None) -> list[int]:
    """Return what was counted since `before`; all of it where that is unknown or another daemon's."""
    if before is None or len(before) != len(now) or any(a < b for a, b in zip(now, before, strict=True)):
        return now
    return [a - b for a, b in zip(now, before, strict=True)]


def added(maps: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counters that are split by a word."""
    together: dict[str, int] = {}
    for one in maps:
        for word, count in one.items():
            together[word] = together.get(word, 0) + count
    return together


def ratio(amount: float, of: float) -> float | None:
    """Return a quotient with three significant decimals, None where there is nothing to divide by."""
    return round(amount / of, 3) if of > 0 else None
