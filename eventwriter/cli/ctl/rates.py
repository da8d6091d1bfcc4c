"""
Rates and time shares between two snapshots. Pure.

The two tasks of a worker run concurrently, so the shares of each add up separately. One task
waits for messages (`pull`), decodes them, builds and encodes rows, and waits for the other
(`wait`). The other task copies, commits and acknowledges.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Snapshot = Mapping[str, Any]

STAGES = ("pull", "decode", "encode", "wait", "copy", "commit", "ack")
BUSY = ("decode", "encode", "copy", "commit", "ack")
"""Stages that do work; the one with the largest share limits the worker."""

TOTALS = {
    "messages_per_s": "messages_total",
    "rows_per_s": "rows_total",
    "bytes_per_s": "bytes_total",
    "batches_per_s": "batches_total",
    "dead_per_s": "dead_letters_total",
    "redelivered_per_s": "redelivered_total",
    "retries_per_s": "retries_total",
}
APART_S_MIN = 0.3  # heartbeats arrive once a second; a smaller difference means the same heartbeat


@dataclass(frozen=True, slots=True)
class Rates:
    """
    Rates of one slot between two of its heartbeats.

    Attributes:
        per_second: Rates by the names in `TOTALS`.
        stages: Share of the time by the names in `STAGES`, from 0 to 1; empty until measured.
        cpu: CPU usage, where 1.0 is one core; None for a new worker.
    """

    per_second: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TOTALS, 0.0))
    stages: Mapping[str, float] = field(default_factory=dict)
    cpu: float | None = None

    @property
    def busiest(self) -> str | None:
        """The working stage with the largest share; None if all are idle."""
        best = max(BUSY, key=lambda stage: self.stages.get(stage, 0.0))
        return best if self.stages.get(best, 0.0) >= 0.005 else None


class RateMeter:
    """Calculates the rates of each slot from consecutive snapshots."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, Snapshot]] = {}
        self._rates: dict[str, Rates] = {}

    def read(self, now_s: float, snapshot: Snapshot) -> dict[str, Rates]:
        """
        Return the rates of each slot since the previous snapshot, unchanged if no heartbeat arrived since.

        Args:
            now_s: Monotonic time of the snapshot in seconds.
            snapshot: Answer to the verb `status`.
        """
        names = {slot["name"] for slot in snapshot["slots"]}
        self._before = {name: entry for name, entry in self._before.items() if name in names}
        for slot in snapshot["slots"]:
            name, at_s = slot["name"], now_s - (slot["heartbeat_age_s"] or 0.0)
            before = self._before.get(name)
            if before is None:
                self._before[name] = at_s, slot
            elif at_s - before[0] >= APART_S_MIN:
                self._rates[name] = rates_between(at_s - before[0], before[1], slot)
                self._before[name] = at_s, slot
        return {name: self._rates.get(name, Rates()) for name in names}


def rates_between(passed_s: float, before: Snapshot, after: Snapshot) -> Rates:
    """Return the rates between two snapshots of a slot that are `passed_s` seconds apart."""
    rates = {name: max(0, after[total] - before[total]) / passed_s for name, total in TOTALS.items()}
    used, same = (before["cpu_s"], after["cpu_s"]), before["pid"] == after["pid"]
    cpu = (used[1] - used[0]) / passed_s if same and None not in used else None
    return Rates(rates, shares(passed_s, before, after), cpu)


def shares(passed_s: float, before: Snapshot, after: Snapshot) -> dict[str, float]:
    """Return the share of the time spent in each stage."""
    spent = {
        stage: seconds(after, stage) - seconds(before, stage) for stage in ("decode", "rows", "copy", "commit", "ack")
    }
    waits = {
        name: (after[f"{name}_us_total"] - before[f"{name}_us_total"]) / 1e6 for name in ("pull_wait", "queue_wait")
    }
    times = {
        "pull": waits["pull_wait"],
        "decode": spent["decode"],
        "encode": spent["rows"],
        "wait": waits["queue_wait"],
        "copy": spent["copy"] - spent["commit"],
        "commit": spent["commit"],
        "ack": spent["ack"],
    }
    return {stage: min(1.0, max(0.0, times[stage] / passed_s)) for stage in STAGES}


def seconds(snapshot: Snapshot, stage: str) -> float:
    """Return the seconds that a slot has spent in a stage since the daemon started."""
    histogram = snapshot.get("histograms", {}).get("stage_s", {}).get(stage)
    return float(histogram["sum"]) if histogram else 0.0


def total_rates(rates_by_slot: Mapping[str, Rates]) -> Rates:
    """Return the sum of the rates and CPU usage of all slots."""
    rates = {name: sum(slot.per_second[name] for slot in rates_by_slot.values()) for name in TOTALS}
    return Rates(rates, {}, sum(slot.cpu or 0.0 for slot in rates_by_slot.values()))
