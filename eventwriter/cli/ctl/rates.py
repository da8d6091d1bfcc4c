"""
Two snapshots made into what happened between them: rates, and where each worker's time went. Pure.

A worker's two tasks work at the same time, so their shares are told side by side. One
waits for messages (`pull`), decodes, makes and encodes rows, and waits for the other
(`wait`); the other copies, commits and acknowledges, and waits for the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Picture = Mapping[str, Any]

STAGES = ("pull", "decode", "encode", "wait", "copy", "commit", "ack")
BUSY = ("decode", "encode", "copy", "commit", "ack")
"""The stages that are work: the one with the largest share is what a worker could be faster by."""

TOTALS = {
    "messages_per_s": "messages_total",
    "rows_per_s": "rows_total",
    "bytes_per_s": "bytes_total",
    "batches_per_s": "batches_total",
    "dead_per_s": "dead_letters_total",
    "redelivered_per_s": "redelivered_total",
    "retries_per_s": "retries_total",
}
APART_S_MIN = 0.3  # heartbeats come once a second; what lies closer together is the same one


@dataclass(frozen=True, slots=True)
class Pace:
    """
    One slot over the time between two of its heartbeats.

    Attributes:
        rates: By the names in `TOTALS`: per second.
        stages: Share of the time, by the names in `STAGES`: 0…1; none while nothing was measured.
        cpu: Processors used: 1.0 is one of them; None for a new worker.
    """

    rates: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TOTALS, 0.0))
    stages: Mapping[str, float] = field(default_factory=dict)
    cpu: float | None = None

    @property
    def busiest(self) -> str | None:
        """The stage of work with the largest share, None while none has any."""
        best = max(BUSY, key=lambda stage: self.stages.get(stage, 0.0))
        return best if self.stages.get(best, 0.0) >= 0.005 else None


class Meter:
    """Remembers each slot's last heartbeat; written by one watcher."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, Picture]] = {}
        self._paces: dict[str, Pace] = {}

    def read(self, now_s: float, picture: Picture) -> dict[str, Pace]:
        """
        Return each slot's pace since the snapshot before; as it was, where no heartbeat came since.

        Args:
            now_s: Monotonic seconds of the one who looks.
            picture: As the verb `status` answers.
        """
        names = {slot["name"] for slot in picture["slots"]}
        self._before = {name: one for name, one in self._before.items() if name in names}
        for slot in picture["slots"]:
            name, at_s = slot["name"], now_s - (slot["heartbeat_age_s"] or 0.0)
            before = self._before.get(name)
            if before is None:
                self._before[name] = at_s, slot
            elif at_s - before[0] >= APART_S_MIN:
                self._paces[name] = pace(at_s - before[0], before[1], slot)
                self._before[name] = at_s, slot
        return {name: self._paces.get(name, Pace()) for name in names}


def pace(passed_s: float, before: Picture, after: Picture) -> Pace:
    """Return what happened between two pictures of a slot, so many seconds apart."""
    rates = {name: max(0, after[total] - before[total]) / passed_s for name, total in TOTALS.items()}
    used, same = (before["cpu_s"], after["cpu_s"]), before["pid"] == after["pid"]
    cpu = (used[1] - used[0]) / passed_s if same and None not in used else None
    return Pace(rates, shares(passed_s, before, after), cpu)


def shares(passed_s: float, before: Picture, after: Picture) -> dict[str, float]:
    """Return the share of the time that each stage took."""
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


def seconds(picture: Picture, stage: str) -> float:
    """Return the seconds that a slot's batches took in a stage, since the daemon's start."""
    found = picture.get("histograms", {}).get("stage_s", {}).get(stage)
    return float(found["sum"]) if found else 0.0


def summed(paces: Mapping[str, Pace]) -> Pace:
    """Return all slots as one: rates and processors added up."""
    rates = {name: sum(one.rates[name] for one in paces.values()) for name in TOTALS}
    return Pace(rates, {}, sum(one.cpu or 0.0 for one in paces.values()))
