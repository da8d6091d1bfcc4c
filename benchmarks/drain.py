"""
Throughput of the daemon while it writes a backlog, end to end.

Measured from the first delivery of the consumers until another session sees the last
message in the ledger; the start of the processes is not included.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.environment import WAIT_S_MAX, Cpu, Environment, cpu_used, daemon, delivering, peak_bytes, workers_of


@dataclass(frozen=True, slots=True)
class Drained:
    """Measured figures; CPU in µs per message, memory in bytes."""

    messages_per_s: float
    rows_per_s: float
    worker_us: float
    nats_us: float | None
    postgres_us: float | None
    peak_bytes: int


def drain(env: Environment, kind: str, payloads: Sequence[bytes], workers: int) -> Drained:
    """
    Store `payloads`, start the daemon, wait for the last row.

    Raises:
        SystemExit: Messages are missing, or nothing progresses.
    """
    env.empty(kind)
    last = env.publish(payloads, workers)
    config = env.config(kind, workers)
    with daemon(env, config) as supervisor:
        children = workers_of(supervisor, workers)
        asyncio.run(_first_delivery(env, f"bench-{kind}0"))
        began_s, before = time.monotonic(), cpu_used(env, children)
        ended_s = _wait(env, last)
        after = cpu_used(env, children)
        peak = max(peak_bytes(child) for child in children)
    rows = _rows(env, env.tables(kind), len(payloads))
    took_s, count = ended_s - began_s, len(payloads)
    return Drained(count / took_s, rows / took_s, *_each(before, after, count), peak)


async def _first_delivery(env: Environment, durable: str) -> None:
    async with env.client() as client:
        await delivering(client, env.name, durable)


def _wait(env: Environment, last: Sequence[int]) -> float:
    """Wait until each worker's ledger has reached its last sequence; return the monotonic time in seconds."""
    until = time.monotonic() + WAIT_S_MAX
    with env.connect() as conn:
        while time.monotonic() < until:
            written = conn.execute("SELECT last_seq FROM eventwriter_ledger ORDER BY consumer").fetchall()
            if [seq for (seq,) in written] == list(last):
                return time.monotonic()
            time.sleep(0.005)
    raise SystemExit(f"after {WAIT_S_MAX:.0f} s the ledger says {written}, expected {list(last)}")


def _rows(env: Environment, tables: Sequence[str], messages: int) -> int:
    """Return the number of rows; raise SystemExit if messages are missing, as the figures would be meaningless."""
    with env.connect() as conn:
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
