"""
How fast a backlog is written, end to end.

From the moment the consumers deliver their first message to the moment another
session sees the last one in the ledger: the start of the processes is not in it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bed import WAIT_S_MAX, Bed, Cpu, cpu_used, daemon, delivering, peak_bytes, workers_of


@dataclass(frozen=True, slots=True)
class Drained:
    """What was measured; CPU in µs per message, memory in bytes."""

    messages_per_s: float
    rows_per_s: float
    worker_us: float
    nats_us: float | None
    postgres_us: float | None
    peak_bytes: int


def drain(bed: Bed, kind: str, payloads: Sequence[bytes], workers: int) -> Drained:
    """
    Store `payloads`, start the daemon, wait for the last row.

    Raises:
        SystemExit: Messages are missing, or nothing progresses.
    """
    bed.empty(kind)
    last = bed.publish(payloads, workers)
    config = bed.config(kind, workers)
    with daemon(bed, config) as supervisor:
        children = workers_of(supervisor, workers)
        asyncio.run(_first_delivery(bed, f"bench-{kind}0"))
        began_s, before = time.monotonic(), cpu_used(bed, children)
        ended_s = _wait(bed, last)
        after = cpu_used(bed, children)
        peak = max(peak_bytes(child) for child in children)
    rows = _rows(bed, bed.tables(kind), len(payloads))
    took_s, count = ended_s - began_s, len(payloads)
    return Drained(count / took_s, rows / took_s, *_each(before, after, count), peak)


async def _first_delivery(bed: Bed, durable: str) -> None:
    async with bed.client() as client:
        await delivering(client, bed.name, durable)


def _wait(bed: Bed, last: Sequence[int]) -> float:
    """Wait until each worker's ledger has its last sequence; return when that was, monotonic seconds."""
    until = time.monotonic() + WAIT_S_MAX
    with bed.connect() as conn:
        while time.monotonic() < until:
            written = conn.execute("SELECT last_seq FROM eventwriter_ledger ORDER BY consumer").fetchall()
            if [seq for (seq,) in written] == list(last):
                return time.monotonic()
            time.sleep(0.005)
    raise SystemExit(f"after {WAIT_S_MAX:.0f} s the ledger says {written}, expected {list(last)}")


def _rows(bed: Bed, tables: Sequence[str], messages: int) -> int:
    """Return how many rows were written; a benchmark that loses messages measures nothing."""
    with bed.connect() as conn:
        counts = [(conn.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,))[0] for table in tables]
        dead = (conn.execute("SELECT count(*) FROM eventwriter_dead_letters").fetchone() or (0,))[0]
    if dead or sum(counts) < messages:
        raise SystemExit(f"of {messages} messages {sum(counts)} rows and {dead} dead letters were made")
    return sum(counts)


def _each(before: Cpu, after: Cpu, count: int) -> tuple[float, float | None, float | None]:
    def share(then: float | None, now: float | None) -> float | None:
        return None if then is None or now is None else (now - then) / count * 1e6

    return (
        (after.worker - before.worker) / count * 1e6,
        share(before.nats, after.nats),
        share(before.postgres, after.postgres),
    )
