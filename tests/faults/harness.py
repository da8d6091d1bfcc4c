"""
Harness of the fault matrix: runs one fault in one environment, from load to audit.

How a fault is written
----------------------
A `Fault` is an entry of a literal table (`nats_faults.FAULTS`, `postgres_faults.FAULTS`,
`process_faults.FAULTS`; `all_faults.FAULTS` joins them) with a function `inject(env)`, a
generator with one `yield`::

    def server_killed(env: Environment) -> Injection:
        env.servers.nats.kill()          # inject the fault, at a random moment under load
        env.wait(0.5)
        env.servers.nats.start()         # end the fault before the yield
        yield
        assert env.slot()["restarts"] == 0   # after the audit: further claims about this fault

    FAULTS = (Fault("server killed", "nats", "kill -9; restarted after 0.5 s", server_killed), ...)

`env` is an `environment.Environment`. Random numbers come from `env.rng` only, so that
`EVENTWRITER_TEST_SEED` repeats a run.

What the harness does
---------------------
Reset the publisher → publish → wait for rows and a random moment → `inject` up to its yield →
publish a little more → pause → wait until settled → audit → the rest of `inject`. The audit checks that
each message is exactly one row with its value or one dead letter; that the ledger is one range up to the
last message; that nothing is pending or unacknowledged; that the daemon is healthy within `recovery_s_max`
of the end of the fault; that memory and open files of the workers and of the supervisor have not grown beyond
`MEMORY_MARGIN_BYTES`, `SUPERVISOR_MARGIN_BYTES` and `FILES_MARGIN`; and that the log contains no traceback.

Faults with the same `Setup` share an environment; it is discarded after a failure.
"""

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from faults.audit import audit_database
from faults.environment import PLAIN, Environment, Setup, memory_bytes, open_files
from fix_losses import record_audit

from eventwriter.postgres.ledger.ranges import Ranges, parse

SEED = int(os.environ.get("EVENTWRITER_TEST_SEED", random.randrange(10**6)))
Injection = Iterator[None]

MEMORY_MARGIN_BYTES = 24 * 2**20
"""Allowed growth of the workers: malloc keeps the high-water mark of the largest batches."""
SUPERVISOR_MARGIN_BYTES = 4 * 2**20
"""Allowed growth of the supervisor, which holds no messages: starting workers and answering requests."""
FILES_MARGIN = 1
"""A connection may still be closing."""
COMPACTION_S_MAX = 60.0
"""The ledger is compacted every 5 s when nothing is in flight."""
BASELINE_S_MAX = 20.0
"""Longest wait until memory and open files are back at the baseline."""
LATE_S_MAX = 60.0
"""A message that is still missing after this time counts as lost, however busy the machine is."""
MOMENT_S_MAX = 0.5
"""Faults are injected at a random moment of this interval."""
AFTER_S = 0.3
"""How long publishing goes on after a fault."""

COUNTED = ("redelivered_total", "already_written_total", "nats_reconnects", "postgres_reconnects", "restarts")


def nothing_missing() -> str | None:
    """Return that the fault needs only the installed wheels."""
    return None


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Entry of the fault matrix.

    Attributes:
        area: `nats`, `postgres` or `process`.
        description: What is done, and for how long; shown in the report.
        inject: Injects the fault, ends it, yields, and makes further claims.
        setup: Environment that the fault needs.
        missing: Returns what the machine lacks, as the reason to skip; None if nothing is missing.
        recovery_s_max: Longest time from the end of the fault until everything is written and healthy.
        memory_margin_bytes: Allowed growth of the workers; larger for faults with large batches.
        single_use: Whether the environment must be discarded afterwards.
        quick: Whether `bin/test` runs the fault by default; others take long or need their own environment.
    """

    name: str
    area: str
    description: str
    inject: Callable[[Environment], Injection]
    setup: Setup = PLAIN
    missing: Callable[[], str | None] = nothing_missing
    recovery_s_max: float = 60.0
    memory_margin_bytes: int = MEMORY_MARGIN_BYTES
    single_use: bool = False
    quick: bool = True


@dataclass(slots=True)
class Result:
    """Result of one fault."""

    fault: Fault
    seed: int
    published: int = 0
    dead: int = 0
    duration_s: float = 0.0
    recovered_s: float = 0.0
    counters: dict[str, int] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    duplicated: list[int] = field(default_factory=list)
    memory_bytes: int = 0
    supervisor_bytes: int = 0
    outcome: str = "failed"
    """`passed`, `failed`, or `skipped: reason`."""

    def line(self) -> str:
        """Return a one-line summary."""
        return (
            f"{self.fault.area}: {self.fault.name}: {self.outcome}; {self.published} messages, {self.dead} dead"
            f" letters, fault {self.duration_s:.1f} s, recovered in {self.recovered_s:.1f} s, {self.counters},"
            f" lost {len(self.lost)}, duplicated {len(self.duplicated)},"
            f" memory {self.memory_bytes / 2**20:+.1f} MiB, supervisor {self.supervisor_bytes / 2**20:+.1f} MiB"
            f" (EVENTWRITER_TEST_SEED={self.seed})"
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory and open files of some processes."""

    memory_bytes: int
    files: int

    @classmethod
    def of(cls, pids: Iterable[int]) -> "Usage":
        """Measure the processes with these ids."""
        usages = [(memory_bytes(pid), open_files(pid)) for pid in pids]
        return cls(sum(memory for memory, _ in usages), sum(files for _, files in usages))

    def __sub__(self, before: "Usage") -> "Usage":
        return Usage(self.memory_bytes - before.memory_bytes, self.files - before.files)

    def within(self, margin_bytes: int) -> bool:
        """Return whether this growth is within the margins."""
        return self.memory_bytes <= margin_bytes and self.files <= FILES_MARGIN


@dataclass(frozen=True, slots=True)
class Baseline:
    """State before the fault."""

    workers: int
    worker_usage: Usage
    supervisor: int
    supervisor_usage: Usage
    log_bytes: int
    counters: dict[str, int]

    @classmethod
    def of(cls, env: Environment) -> "Baseline":
        """Measure the daemon's processes."""
        pids, supervisor = env.worker_pids(), supervisor_pid(env)
        usages = Usage.of(pids), Usage.of([supervisor] if supervisor else [])
        return cls(len(pids), usages[0], supervisor, usages[1], env.log_bytes(), counters(env))

    def increase(self, env: Environment) -> dict[str, int]:
        """Return the increase of the counters; a new supervisor has started them at 0."""
        same = supervisor_pid(env) == self.supervisor
        return {name: count - (self.counters[name] if same else 0) for name, count in counters(env).items()}


def supervisor_pid(env: Environment) -> int:
    """Return the process id of the supervisor; 0 if it does not answer."""
    return int((env.daemon.status() or {"pid": 0})["pid"])


def counters(env: Environment) -> dict[str, int]:
    """Return the sums of the counters of all slots."""
    status = env.daemon.status()
    slots = status["slots"] if status else []
    return {name: sum(slot.get(name) or 0 for slot in slots) for name in COUNTED}


def run(env: Environment, fault: Fault, seed: int, result: Result) -> None:
    """
    Inject a fault, and audit the outcome.

    Raises:
        AssertionError: A check failed; `result` contains what was measured.
    """
    env.rng = random.Random(f"{seed} {fault.area} {fault.name}")
    env.until_settled()
    env.sql("TRUNCATE timeseries_metrics, eventwriter_dead_letters")
    publisher = env.publisher
    publisher.reset(f"{fault.name}-{seed}-{time.time_ns()}")
    before = Baseline.of(env)
    publisher.start()
    env.until("rows are written", lambda _: env.sql("SELECT 1 FROM timeseries_metrics LIMIT 1"))
    env.until(f"the environment {fault.setup.name!r} is ready", lambda status: fault.setup.is_ready(env, status))
    env.wait(env.rng.uniform(0, MOMENT_S_MAX))
    began_s = time.monotonic()
    injection = fault.inject(env)
    next(injection)
    ended_s = time.monotonic()
    result.duration_s = ended_s - began_s
    env.wait(AFTER_S)
    publisher.pause()
    result.published = len(publisher.stored)
    try:
        wait_for_recovery(env, fault.recovery_s_max - (time.monotonic() - ended_s))
        result.recovered_s = time.monotonic() - ended_s
    finally:
        check_audit(env, result)
    result.counters = before.increase(env)
    check_ledger(env)
    check_usage(env, before, result)
    check_log(env, before)
    for _ in injection:
        raise AssertionError("an injection yields once")
    result.outcome = "passed"


def wait_for_recovery(env: Environment, limit_s: float) -> None:
    """Wait until everything is written and acknowledged, and the daemon is healthy."""
    until = time.monotonic() + max(limit_s, 0.5)
    env.until_settled(limit_s)
    env.until("healthy", lambda status: status["status"] == "healthy", max(0.5, until - time.monotonic()))


def check_audit(env: Environment, result: Result) -> None:
    """Audit the database; if it differs, audit it again later, as messages may only be delayed on a busy machine."""
    found = audit_database(env)
    result.dead, result.lost, result.duplicated = found.dead, found.lost, found.duplicated
    if found.problems:
        with contextlib.suppress(AssertionError):
            env.until_settled(LATE_S_MAX)
        record_audit(f"{result.fault.name} (seed {result.seed})", "; ".join(audit_database(env).problems) or None)
    assert [] == found.problems, "; ".join(found.problems)


def check_ledger(env: Environment) -> None:
    """Wait until the current ledger row of each consumer is one range up to the last message."""
    until = time.monotonic() + COMPACTION_S_MAX
    while True:
        ledgers = current_ledgers(env)
        if all(len(ranges) <= 1 for ranges in ledgers.values()):
            break
        assert time.monotonic() < until, f"the ledger is not one range: {ledgers}"
        time.sleep(0.2)
    publisher = env.publisher
    # After the stream was restored to an older state, some of the recorded sequences no longer exist.
    end = env.js(lambda js: js.stream_info("events")).state.last_seq
    last = min(end, max(seq for n, seq in publisher.stored.items() if n not in publisher.optional))
    assert any(ranges and ranges[-1][1] > last for ranges in ledgers.values()), f"{ledgers} do not reach {last}"


def current_ledgers(env: Environment) -> dict[str, Ranges]:
    """Return the committed ranges of the newest ledger row of each consumer."""
    rows = env.sql(
        "SELECT DISTINCT ON (consumer) consumer, committed::text FROM eventwriter_ledger"
        " ORDER BY consumer, updated_at DESC, incarnation DESC, epoch DESC"
    )
    return {consumer: parse(text) for consumer, text in rows}


def check_usage(env: Environment, before: Baseline, result: Result) -> None:
    """Wait until memory and open files of the daemon's processes are back at the baseline."""
    until = time.monotonic() + BASELINE_S_MAX
    while True:
        now = Baseline.of(env)
        workers, supervisor = now.worker_usage - before.worker_usage, now.supervisor_usage - before.supervisor_usage
        result.memory_bytes, result.supervisor_bytes = workers.memory_bytes, supervisor.memory_bytes
        is_within = workers.within(result.fault.memory_margin_bytes) and supervisor.within(SUPERVISOR_MARGIN_BYTES)
        if is_within and now.workers == before.workers:
            return
        growth = f"{now.workers - before.workers} workers, {workers}; supervisor {supervisor}"
        assert time.monotonic() < until, f"more than before the fault: {growth}"
        time.sleep(0.1)


def check_log(env: Environment, before: Baseline) -> None:
    """Check that the log since the baseline contains no traceback."""
    with open(env.folder / "daemon.log", "rb") as log:
        log.seek(before.log_bytes)
        text = log.read().decode(errors="replace")
    at = text.find("Traceback")
    assert at < 0, text[max(0, at - 500) : at + 3000]
