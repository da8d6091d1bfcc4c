"""
State of one slot: its worker, the last heartbeat, counters and failures.

A slot outlives its workers. The supervisor's loop is the only writer of these objects; `plan` and
`status` only read them.
"""

import os
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from eventwriter.model import SlotName
from eventwriter.observe.heartbeat import COUNTERS, SPLIT_COUNTERS, add_histograms
from eventwriter.observe.histogram import Plain

ROLLING_WINDOW_S = 3600.0
ROLLING_STEP_S = 60.0

SETTLED = ("rows_total", "duplicates_total", "dead_letters_total", "ignored_total", "already_written_total")
"""Counters that grow only when messages are settled; growth of their sum is progress."""

WRITTEN = ("rows_total", "duplicates_total", "ignored_total", "already_written_total")
"""Counters that grow only when the worker has survived decoding a message."""

RATE_WINDOW_S = 5.0  # smooths batches of one second, and still shows a stall to an operator who is watching
LAG_WINDOW_S = 30.0  # arrivals and lag change in bursts; an estimate of the time to catch up needs a longer window
RATE_SAMPLES_MAX = 64  # heartbeats come once a second; this limit holds for a worker that sends more
EXITS_MAX = 1024  # exits remembered within the crash-loop window

ChildName = SlotName | Literal["web"]
"""Name of a child process: a worker has the name of its slot, and the web child belongs to no slot."""


class RollingCounter:
    """Growth of a counter within the last hour; about sixty numbers, regardless of how often it is updated."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque([(float("-inf"), 0)])
        self._total = 0

    def update(self, now_s: float, total: int) -> None:
        """
        Record the counter's value.

        Args:
            now_s: Monotonic seconds.
            total: Value of the counter; never less than before.
        """
        if now_s - self._marks[-1][0] >= ROLLING_STEP_S:
            self._marks.append((now_s, self._total))
        self._total = total
        while len(self._marks) > 1 and self._marks[1][0] <= now_s - ROLLING_WINDOW_S:
            self._marks.popleft()

    def growth(self) -> int:
        """Return the growth within the hour before the last update, accurate to a minute."""
        return self._total - self._marks[0][1]


class State(StrEnum):
    """State of a slot."""

    STARTING = "starting"
    """The worker was forked and has not been ready yet; it may be waiting for a server, or parked."""
    RUNNING = "running"
    """The worker has been ready; it may be waiting for a server now, or parked."""
    DRAINING = "draining"
    """The worker was told to settle its open messages and exit."""
    STOPPED = "stopped"
    """There is no worker, because an operator drained the slot or because it is about to be started."""
    BACKOFF = "backoff"
    """The worker exited unexpectedly; the next one starts at `retry_at_s`."""
    FAILED = "failed"
    """The workers are in a crash loop; the next one starts after the longest delay."""


READY = ("running", "paused")
"""States in the heartbeat of a worker that is connected and bound."""

ALIVE = (State.STARTING, State.RUNNING, State.DRAINING)


@dataclass(slots=True)
class Worker:
    """A living child process as the parent sees it; every `_s` instant is in monotonic seconds."""

    pid: int
    pidfd: int
    """Becomes readable when the process exits."""
    link: socket.socket
    """The parent's end of the socket pair."""
    started_s: float
    fingerprint: str
    """Fingerprint of the settings that the process was forked with."""
    stacks_fd: int = -1
    """File in memory that the process writes its stacks to on request; -1 for none."""
    oom_kills: int = 0
    """The machine's count of out-of-memory kills when the process started."""
    heartbeat_s: float | None = None
    """Instant of the last heartbeat."""
    ready_s: float | None = None
    """Instant of the first heartbeat with a state in `READY`."""
    drain_sent_s: float | None = None
    stop_sent_s: float | None = None
    dump_sent_s: float | None = None
    """Instant at which a dump of its stacks to the log was requested; cleared by a heartbeat."""
    link_closed: bool = False
    """Whether the process closed its end of the link."""
    killed_s: float | None = None
    kill_reason: str | None = None
    exit_requested: bool = False
    """Whether the supervisor asked it to exit, so that no backoff follows."""
    heartbeat: Mapping[str, Any] = field(default_factory=dict)
    samples: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=RATE_SAMPLES_MAX))
    """(instant, messages_total, rows_total), oldest first, spanning about `RATE_WINDOW_S`."""
    lags: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_SAMPLES_MAX))
    """(instant, lag_messages), oldest first, spanning about `LAG_WINDOW_S`."""

    def close(self) -> None:
        """Close the link and the descriptors; the process itself is not affected."""
        self.link.close()
        os.close(self.pidfd)
        if self.stacks_fd >= 0:
            os.close(self.stacks_fd)

    def record_samples(self, now_s: float, heartbeat: Mapping[str, Any]) -> None:
        """Append the figures of a heartbeat that rates are computed from."""
        self.samples.append((now_s, count(heartbeat, "messages_total"), count(heartbeat, "rows_total")))
        while len(self.samples) > 2 and self.samples[1][0] <= now_s - RATE_WINDOW_S:
            self.samples.popleft()
        if isinstance(lag_messages := heartbeat.get("lag_messages"), int):
            self.lags.append((now_s, lag_messages))
            while len(self.lags) > 2 and self.lags[1][0] <= now_s - LAG_WINDOW_S:
                self.lags.popleft()


@dataclass(slots=True)
class Slot:
    """The place for one child process, and its history."""

    name: ChildName
    created_s: float
    """Instant at which the configuration first contained the slot."""
    state: State = State.STOPPED
    worker: Worker | None = None
    drained: bool = False
    """Whether an operator drained it; it then stays stopped until `restart` or `resume`."""
    sticky_commands: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Operators' commands by name; they are sent again to each new worker."""
    restart_requested: bool = False
    retry_at_s: float = 0.0
    exits_s: deque[float] = field(default_factory=lambda: deque(maxlen=EXITS_MAX))
    """Instants of unexpected exits within the crash-loop window."""
    quarantine_exits: int = 0
    """Exits since a message was last written that quarantine caused; they do not count towards the crash-loop limit."""
    in_crash_loop: bool = False
    """Whether it reached the crash-loop limit and has not been ready for a whole window since."""
    starts: int = 0
    restarts_requested: int = 0
    """Starts that an operator caused by `restart`, `resume` or changed settings."""
    exit_requested: bool = False
    """Whether the previous worker was asked to exit, so that the next start is not a sign of trouble."""
    ever_ready: bool = False
    progress_s: float | None = None
    """Instant at which messages were last settled, or at which none was waiting."""
    retired_counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    """Counters of the workers that have exited."""
    retired_split_counters: dict[str, dict[str, int]] = field(
        default_factory=lambda: {name: {} for name in SPLIT_COUNTERS}
    )
    retired_histograms: dict[str, dict[str, Plain]] = field(default_factory=dict)
    last_error: str | None = None
    last_error_at_ns: int | None = None
    last_exit: str | None = None
    """Description of the previous worker's exit."""
    recent_dead_letters: RollingCounter = field(default_factory=RollingCounter)

    @property
    def restarts(self) -> int:
        """Number of workers started after the first without a request of an operator."""
        return max(0, self.starts - 1 - self.restarts_requested)

    @property
    def _heartbeat(self) -> Mapping[str, Any]:
        return self.worker.heartbeat if self.worker else {}

    def counters(self) -> dict[str, int]:
        """Return the counters of all workers of this slot."""
        return {name: self.retired_counters[name] + count(self._heartbeat, name) for name in COUNTERS}

    def split_counters(self) -> dict[str, dict[str, int]]:
        """Return the counters by label value of all workers of this slot."""
        retired = self.retired_split_counters
        return {name: add_split_counters(retired[name], self._heartbeat.get(name)) for name in SPLIT_COUNTERS}

    def histograms(self) -> dict[str, dict[str, Plain]]:
        """Return the histograms of all workers of this slot."""
        return add_histograms(self.retired_histograms, self._heartbeat.get("histograms"))

    def record_heartbeat(self, now_s: float, heartbeat: Mapping[str, Any]) -> None:
        """Record a heartbeat, or the last packet before an exit, of the living worker."""
        worker = self.worker
        assert worker is not None, "a heartbeat comes from a living worker"
        previous = worker.heartbeat
        worker.heartbeat, worker.heartbeat_s, worker.dump_sent_s = heartbeat, now_s, None
        worker.record_samples(now_s, heartbeat)
        dead_letters = self.retired_counters["dead_letters_total"] + count(heartbeat, "dead_letters_total")
        self.recent_dead_letters.update(now_s, dead_letters)
        if _grew(previous, heartbeat, SETTLED) or heartbeat.get("lag_messages") == 0:
            self.progress_s = now_s
        if _grew(previous, heartbeat, WRITTEN):
            self.quarantine_exits = 0
        if heartbeat.get("last_error"):
            self.last_error, self.last_error_at_ns = str(heartbeat["last_error"]), heartbeat.get("last_error_at_ns")
        if heartbeat.get("state") in READY:
            self.ever_ready = True
            worker.ready_s = now_s if worker.ready_s is None else worker.ready_s
            if self.state is State.STARTING:
                self.state = State.RUNNING

    def retire_worker(self) -> None:
        """Close the worker that exited, and keep its counters."""
        if self.worker is not None:
            self.retired_counters, self.retired_split_counters = self.counters(), self.split_counters()
            self.retired_histograms = self.histograms()
            self.worker.close()
            self.worker = None


def count(heartbeat: Mapping[str, Any], name: str) -> int:
    """Return a counter of a heartbeat, 0 if it is missing or not a number."""
    value = heartbeat.get(name)
    return value if isinstance(value, int) else 0


def _grew(before: Mapping[str, Any], after: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return sum(count(after, name) for name in names) > sum(count(before, name) for name in names)


def add_split_counters(retired: Mapping[str, int], current: object) -> dict[str, int]:
    """Return the sum of two counters by label value; a malformed one counts as empty."""
    values = current if isinstance(current, dict) else {}
    return {label: retired.get(label, 0) + count(values, label) for label in {**retired, **values}}
