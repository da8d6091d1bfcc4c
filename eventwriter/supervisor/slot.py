"""
What the supervisor knows of one slot: its state, its worker, and what the worker last said.

A slot outlives its workers. The supervisor's loop is the only writer of the
objects here; `plan` and `snapshot` only read them.
"""

import os
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from eventwriter.model import SlotName
from eventwriter.observe.heartbeat import COUNTERS, SPLIT_COUNTERS, add_histograms
from eventwriter.observe.histogram import Plain

WINDOW_S = 3600.0
STEP_S = 60.0


class Recent:
    """Written by whoever owns the counter; a few dozen numbers, however often it is seen."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque([(float("-inf"), 0)])
        self._total = 0

    def see(self, now_s: float, total: int) -> None:
        """
        Note where the counter stands.

        Args:
            now_s: Monotonic seconds.
            total: Never less than before.
        """
        if now_s - self._marks[-1][0] >= STEP_S:
            self._marks.append((now_s, self._total))
        self._total = total
        while len(self._marks) > 1 and self._marks[1][0] <= now_s - WINDOW_S:
            self._marks.popleft()

    def risen(self) -> int:
        """Return by how much it rose within the hour before it was last seen, to a minute exactly."""
        return self._total - self._marks[0][1]


SETTLED = ("rows_total", "duplicates_total", "dead_letters_total", "ignored_total", "already_written_total")
"""The counters that move only when messages were settled; their sum is what "progress" means."""

WRITTEN = ("rows_total", "duplicates_total", "ignored_total", "already_written_total")
"""The counters that move only when a message was decoded and its worker lived."""

RATE_WINDOW_S = 5.0  # long enough to smooth batches of a second, short enough to see a stall while looking
LAG_WINDOW_S = 30.0  # what comes in and what is waiting change in bursts; a time to catch up needs a longer look
RATE_SAMPLES_MAX = 64  # heartbeats come once a second; the bound holds whatever a worker sends


class State(StrEnum):
    """Where a slot is in its life."""

    STARTING = "starting"
    """Its worker was forked and has not run yet; it may be waiting for a server, or parked."""
    RUNNING = "running"
    """Its worker has run; it may since be waiting for a server, or parked."""
    DRAINING = "draining"
    """Its worker was told to finish what is open and exit."""
    STOPPED = "stopped"
    """No worker, because somebody asked for that; or about to be started."""
    BACKOFF = "backoff"
    """Its worker exited unasked; the next one starts at `retry_at_s`."""
    FAILED = "failed"
    """Its workers exited too often; it is tried again at the longest backoff."""


READY = ("running", "paused")
"""The words of a worker that has all it needs."""

ALIVE = (State.STARTING, State.RUNNING, State.DRAINING)


@dataclass(slots=True)
class Worker:
    """One living child process, as its parent sees it."""

    pid: int
    pidfd: int
    """Readable when the process has exited."""
    link: socket.socket
    """Our end of the pair."""
    started_s: float
    """Monotonic seconds, as every `_s` instant here."""
    fingerprint: str
    """Of the settings that it was forked with."""
    stacks_fd: int = -1
    """Where it writes its stacks when it is asked for them; -1 for nowhere."""
    heard_s: float | None = None
    """When its last heartbeat came."""
    ready_s: float | None = None
    """When it first said that it runs."""
    drain_s: float | None = None
    stop_s: float | None = None
    """When it was told to abandon what is open."""
    dump_s: float | None = None
    """When it was told to dump its stacks; cleared by a heartbeat."""
    deaf: bool = False
    """It closed its end of the link."""
    killed_s: float | None = None
    asked: bool = False
    """Its exit was asked for, so no backoff follows."""
    kill_reason: str | None = None
    heartbeat: Mapping[str, Any] = field(default_factory=dict)
    samples: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=RATE_SAMPLES_MAX))
    """(heard_s, messages_total, rows_total), oldest first, spanning about `RATE_WINDOW_S`."""
    lags: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_SAMPLES_MAX))
    """(heard_s, lag_messages), oldest first, spanning about `LAG_WINDOW_S`."""

    def close(self) -> None:
        """Close the link and the descriptors; the process itself is not touched."""
        self.link.close()
        os.close(self.pidfd)
        if self.stacks_fd >= 0:
            os.close(self.stacks_fd)


@dataclass(slots=True)
class Slot:
    """The place for one worker, and its history."""

    name: SlotName
    born_s: float
    """When the slot was first wanted."""
    state: State = State.STOPPED
    worker: Worker | None = None
    held: bool = False
    """An operator drained it: it stays stopped until `restart`."""
    standing: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What operators told its worker, by the command's name; each new worker of the slot is told again."""
    restart_asked: bool = False
    retry_at_s: float = 0.0
    exits_s: deque[float] = field(default_factory=lambda: deque(maxlen=1024))
    """When workers exited unasked, within the crash-loop window."""
    pardons: int = 0
    """Exits since a message was last written that quarantine answers for, and the crash-loop limit does not."""
    looping: bool = False
    """It reached the crash-loop limit and has not run for a whole window since."""
    starts: int = 0
    ever_ready: bool = False
    progress_s: float | None = None
    """When messages were last seen settled, or nothing was left to do."""
    base: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    """Counters of the workers that are gone."""
    base_maps: dict[str, dict[str, int]] = field(default_factory=lambda: {name: {} for name in SPLIT_COUNTERS})
    base_histograms: dict[str, dict[str, Plain]] = field(default_factory=dict)
    last_error: str | None = None
    last_error_at_ns: int | None = None
    last_exit: str | None = None
    """How the worker before this one ended, in words."""
    dead_letters: Recent = field(default_factory=Recent)
    """How many were written of late."""

    @property
    def restarts(self) -> int:
        """Workers started after the first."""
        return max(0, self.starts - 1)

    def counters(self) -> dict[str, int]:
        """Return the counters over all workers of this slot, the living one included."""
        current = self.worker.heartbeat if self.worker else {}
        return {name: self.base[name] + count(current, name) for name in COUNTERS}

    def counted_maps(self) -> dict[str, dict[str, int]]:
        """Return the counters that are split by a word, over all workers of this slot."""
        current = self.worker.heartbeat if self.worker else {}
        return {name: added(self.base_maps[name], current.get(name)) for name in SPLIT_COUNTERS}

    def histograms(self) -> dict[str, dict[str, Plain]]:
        """Return the histograms over all workers of this slot."""
        current = self.worker.heartbeat if self.worker else {}
        return add_histograms(self.base_histograms, current.get("histograms"))

    def hear(self, now_s: float, packet: Mapping[str, Any]) -> None:
        """Take in one heartbeat (or the last packet before an exit) of the living worker."""
        worker = self.worker
        assert worker is not None, "a heartbeat belongs to a living worker"
        settled_before = sum(count(worker.heartbeat, name) for name in SETTLED)
        written_before = sum(count(worker.heartbeat, name) for name in WRITTEN)
        worker.heartbeat, worker.heard_s, worker.dump_s = packet, now_s, None
        worker.samples.append((now_s, count(packet, "messages_total"), count(packet, "rows_total")))
        while len(worker.samples) > 2 and worker.samples[1][0] <= now_s - RATE_WINDOW_S:
            worker.samples.popleft()
        if isinstance(packet.get("lag_messages"), int):
            worker.lags.append((now_s, packet["lag_messages"]))
            while len(worker.lags) > 2 and worker.lags[1][0] <= now_s - LAG_WINDOW_S:
                worker.lags.popleft()
        self.dead_letters.see(now_s, self.base["dead_letters_total"] + count(packet, "dead_letters_total"))
        if sum(count(packet, name) for name in SETTLED) > settled_before or packet.get("lag_messages") == 0:
            self.progress_s = now_s
        if sum(count(packet, name) for name in WRITTEN) > written_before:
            self.pardons = 0
        if packet.get("last_error"):
            self.last_error, self.last_error_at_ns = str(packet["last_error"]), packet.get("last_error_at_ns")
        if packet.get("state") in READY:
            self.ever_ready = True
            worker.ready_s = now_s if worker.ready_s is None else worker.ready_s
            if self.state is State.STARTING:
                self.state = State.RUNNING

    def bury(self) -> None:
        """Let go of the worker that exited, keeping its counters."""
        if self.worker is not None:
            self.base, self.base_maps = self.counters(), self.counted_maps()
            self.base_histograms = self.histograms()
            self.worker.close()
            self.worker = None


def count(packet: Mapping[str, Any], name: str) -> int:
    """Return a counter of a heartbeat, 0 where it is missing or no number."""
    value = packet.get(name)
    return value if isinstance(value, int) else 0


def added(base: Mapping[str, int], current: object) -> dict[str, int]:
    """Return two split counters as one; what is no object of numbers counts as nothing."""
    words = current if isinstance(current, dict) else {}
    return {word: base.get(word, 0) + count(words, word) for word in {**base, **words}}
