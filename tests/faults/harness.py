"""
The fault matrix's harness: one fault on one bed, from load to audit.

How a fault is written
----------------------
A `Fault` is a line of a literal table (`nats_side.FAULTS`, `postgres_side.FAULTS`,
`process_side.FAULTS`; `table.FAULTS` joins them) with a function `act(bed)`, a
generator with one `yield`::

    def server_killed(bed: Bed) -> Act:
        bed.servers.nats.kill()          # the harm, at a random moment under load
        bed.wait(0.5)
        bed.servers.nats.start()         # its end: the fault is over at the yield
        yield
        assert bed.slot()["restarts"] == 0   # after the audit: what is special to this fault

    FAULTS = (Fault("server killed", "nats", "kill -9, 0.5 s down, started again", server_killed), ...)

`bed` (see `bed.Bed`) has the servers, the two proxies (`fix_proxy.Proxy`) that the
daemon's connections go through, the daemon, the publisher with its book, `js` and
`sql` to change the servers past the proxies, `until`/`until_slot` to wait for a
status, and `log`. Random numbers come from `bed.rng` only, so that
`EVENTWRITER_TEST_SEED` repeats a run.

What the harness does with it
-----------------------------
begin the book → publish → wait for rows, then a random moment → `act` to its yield →
publish a little more, then rest → quiescence → audit → the rest of `act`. The audit:
rows + dead letters = book, each exactly once and with its value; the ledger one range that reaches the
last message; nothing pending and no ack pending; status healthy within
`recovery_s_max` of the fault's end; memory and open files of the workers and of the
supervisor as before, within `MEMORY_MARGIN_BYTES`, `SUPERVISOR_MARGIN_BYTES` and
`FILES_MARGIN`; no traceback in the log.

A bed is shared by faults of the same `Setup` while their audits pass; after one that
failed it is thrown away.
"""

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from faults.audit import look
from faults.bed import PLAIN, Bed, Setup, memory_bytes, open_files
from fix_losses import looked

from eventwriter.postgres.ledger.ranges import Ranges, parse

SEED = int(os.environ.get("EVENTWRITER_TEST_SEED", random.randrange(10**6)))
Act = Iterator[None]

MEMORY_MARGIN_BYTES = 24 * 2**20
"""A worker may keep so much more than it had: malloc's high-water mark of the largest batches."""
SUPERVISOR_MARGIN_BYTES = 4 * 2**20
"""A supervisor holds no messages; it may keep what it took to start workers and to answer us."""
FILES_MARGIN = 1
"""A connection that is being closed may still be there."""
FOLD_S_MAX = 12.0
"""Holes in the ledger are closed every 5 s, and when nothing is in flight."""
LATE_S_MAX = 60.0
"""What is not there after that is lost, however busy the machine is."""
MOMENT_S_MAX = 0.5
AFTER_S = 0.3

COUNTED = ("redelivered_total", "already_written_total", "nats_reconnects", "postgres_reconnects", "restarts")


def nothing_needed() -> str | None:
    """Say that the fault needs nothing but wheels."""
    return None


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One line of the table.

    Attributes:
        area: `nats`, `postgres` or `process`.
        does: What is done, and how long it lasts; for people.
        act: The harm, its end, `yield`, further claims.
        setup: The bed it needs.
        needs: Says what is missing here, as the reason to skip; None where nothing is.
        recovery_s_max: From the fault's end until everything is written and healthy again.
        memory_margin_bytes: How much more memory workers may keep; more where batches are of large messages.
        spoils: The bed cannot be used again.
        brief: It is part of the short form, which `bin/test` runs; the others need a bed of their own, or long.
    """

    name: str
    area: str
    does: str
    act: Callable[[Bed], Act]
    setup: Setup = PLAIN
    needs: Callable[[], str | None] = nothing_needed
    recovery_s_max: float = 10.0
    memory_margin_bytes: int = MEMORY_MARGIN_BYTES
    spoils: bool = False
    brief: bool = True


@dataclass(slots=True)
class Result:
    """What came of one fault."""

    fault: Fault
    seed: int
    published: int = 0
    dead: int = 0
    lasted_s: float = 0.0
    recovered_s: float = 0.0
    counted: dict[str, int] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)
    memory_bytes: int = 0
    supervisor_bytes: int = 0
    outcome: str = "failed"
    """`passed`, `failed`, or `skipped: reason`."""

    def line(self) -> str:
        """Say it in one line."""
        return (
            f"{self.fault.area}: {self.fault.name}: {self.outcome}; {self.published} messages, {self.dead} dead"
            f" letters, fault {self.lasted_s:.1f} s, well after {self.recovered_s:.1f} s, {self.counted},"
            f" lost {len(self.lost)}, twice {len(self.twice)}, memory {self.memory_bytes / 2**20:+.1f} MiB,"
            f" the supervisor's {self.supervisor_bytes / 2**20:+.1f} MiB"
            f" (EVENTWRITER_TEST_SEED={self.seed})"
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes take."""

    memory_bytes: int
    files: int

    @classmethod
    def of(cls, pids: Iterable[int]) -> "Usage":
        """Look."""
        taken = [(memory_bytes(pid), open_files(pid)) for pid in pids]
        return cls(sum(memory for memory, _ in taken), sum(files for _, files in taken))

    def __sub__(self, before: "Usage") -> "Usage":
        return Usage(self.memory_bytes - before.memory_bytes, self.files - before.files)

    def within(self, margin_bytes: int) -> bool:
        """Say whether it is no growth."""
        return self.memory_bytes <= margin_bytes and self.files <= FILES_MARGIN


@dataclass(frozen=True, slots=True)
class Baseline:
    """How things were before the fault."""

    workers: int
    working: Usage
    supervisor: int
    supervising: Usage
    log_bytes: int
    counted: dict[str, int]

    @classmethod
    def of(cls, bed: Bed) -> "Baseline":
        """Look."""
        pids, chief = bed.worker_pids(), supervisor(bed)
        usages = Usage.of(pids), Usage.of([chief] if chief else [])
        return cls(len(pids), usages[0], chief, usages[1], bed.log_bytes(), counted(bed))

    def risen(self, bed: Bed) -> dict[str, int]:
        """Return how far the counters have risen; those of another supervisor began at nought."""
        same = supervisor(bed) == self.supervisor
        return {name: count - (self.counted[name] if same else 0) for name, count in counted(bed).items()}


def supervisor(bed: Bed) -> int:
    """Return the supervisor's process id, 0 where it does not answer."""
    return int((bed.daemon.status() or {"pid": 0})["pid"])


def counted(bed: Bed) -> dict[str, int]:
    """Return the counters of all slots."""
    status = bed.daemon.status()
    slots = status["slots"] if status else []
    return {name: sum(slot.get(name) or 0 for slot in slots) for name in COUNTED}


def run(bed: Bed, fault: Fault, seed: int, result: Result) -> None:
    """
    Have the fault happen, and audit.

    Raises:
        AssertionError: What is not as it is to be; `result` has what is known.
    """
    bed.rng = random.Random(f"{seed} {fault.area} {fault.name}")
    bed.until_settled()
    bed.sql("TRUNCATE timeseries_metrics, eventwriter_dead_letters")
    publisher = bed.publisher
    publisher.begin(f"{fault.name}-{seed}-{time.time_ns()}")
    before = Baseline.of(bed)
    publisher.start()
    bed.until("rows come", lambda _: bed.sql("SELECT 1 FROM timeseries_metrics LIMIT 1"))
    bed.until(f"the bed shows {fault.setup.name}", lambda status: fault.setup.shows(bed, status))
    bed.wait(bed.rng.uniform(0, MOMENT_S_MAX))
    began_s = time.monotonic()
    acting = fault.act(bed)
    next(acting)
    ended_s = time.monotonic()
    result.lasted_s = ended_s - began_s
    bed.wait(AFTER_S)
    publisher.rest()
    result.published = len(publisher.stored)
    try:
        well(bed, fault.recovery_s_max - (time.monotonic() - ended_s))
        result.recovered_s = time.monotonic() - ended_s
    finally:
        books(bed, result)
    result.counted = before.risen(bed)
    one_range(bed)
    as_before(bed, before, result)
    no_traceback(bed, before)
    for _ in acting:
        raise AssertionError("an act has one yield")
    result.outcome = "passed"


def well(bed: Bed, limit_s: float) -> None:
    """Wait until everything is accounted for, answered, and the daemon healthy."""
    until = time.monotonic() + max(limit_s, 0.5)
    bed.until_settled(limit_s)
    bed.until("status is healthy", lambda status: status["status"] == "healthy", max(0.5, until - time.monotonic()))


def books(bed: Bed, result: Result) -> None:
    """Compare rows and dead letters with the book, number by number; on a busy machine some may only be late."""
    found = look(bed)
    result.dead, result.lost, result.twice = found.dead, found.lost, found.twice
    if found.wrong:
        with contextlib.suppress(AssertionError):
            bed.until_settled(LATE_S_MAX)
        looked(f"{result.fault.name} (seed {result.seed})", "; ".join(look(bed).wrong) or None)
    assert [] == found.wrong, "; ".join(found.wrong)


def one_range(bed: Bed) -> None:
    """Wait until each consumer's present ledger row is one range up to the last message; holes are closed in time."""
    until = time.monotonic() + FOLD_S_MAX
    while True:
        ledgers = current_ledgers(bed)
        if all(len(ranges) <= 1 for ranges in ledgers.values()):
            break
        assert time.monotonic() < until, f"the ledger is not one range: {ledgers}"
        time.sleep(0.2)
    publisher = bed.publisher
    # Where the stream was restored to an older state, some of the book's sequences are of what is no more.
    end = bed.js(lambda js: js.stream_info("events")).state.last_seq
    last = min(end, max(seq for n, seq in publisher.stored.items() if n not in publisher.excused))
    assert any(ranges and ranges[-1][1] > last for ranges in ledgers.values()), f"{ledgers} do not reach {last}"


def current_ledgers(bed: Bed) -> dict[str, Ranges]:
    """Return the newest ledger row of each consumer and filter."""
    rows = bed.sql(
        "SELECT DISTINCT ON (consumer) consumer, committed::text FROM eventwriter_ledger"
        " ORDER BY consumer, updated_at DESC, incarnation DESC, epoch DESC"
    )
    return {consumer: parse(text) for consumer, text in rows}


def as_before(bed: Bed, before: Baseline, result: Result) -> None:
    """Wait a little until memory and open files of the daemon's processes are as they were."""
    until = time.monotonic() + 3.0
    while True:
        now = Baseline.of(bed)
        working, supervising = now.working - before.working, now.supervising - before.supervising
        result.memory_bytes, result.supervisor_bytes = working.memory_bytes, supervising.memory_bytes
        well = working.within(result.fault.memory_margin_bytes) and supervising.within(SUPERVISOR_MARGIN_BYTES)
        if well and now.workers == before.workers:
            return
        more = f"{now.workers - before.workers} workers, with {working}, supervisor {supervising}"
        assert time.monotonic() < until, f"more than before: {more}"
        time.sleep(0.1)


def no_traceback(bed: Bed, before: Baseline) -> None:
    """Claim that nothing unforeseen was raised."""
    with open(bed.folder / "daemon.log", "rb") as log:
        log.seek(before.log_bytes)
        said = log.read().decode(errors="replace")
    at = said.find("Traceback")
    assert at < 0, said[max(0, at - 500) : at + 3000]
