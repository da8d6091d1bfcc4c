"""
Latency of a message from publish until another session sees it committed.

A separate process publishes at a fixed rate. The ledger is polled every 2 ms, so latencies
are up to 2 ms too high.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray
from statistics import quantiles

import nats

from benchmarks.environment import WAIT_S_MAX, Environment, daemon, workers_of
from eventwriter.control.client import Client
from eventwriter.errors import EventwriterError

_POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class Fresh:
    """Latencies, milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


def freshness(env: Environment, kind: str, payloads: Sequence[bytes], rate: float) -> Fresh:
    """Publish `payloads` at `rate` messages a second into a stream that the daemon keeps up with."""
    env.empty(kind)
    config = env.config(kind, 1)
    sent: SynchronizedArray[float] = multiprocessing.Array("d", len(payloads))
    with daemon(env, config) as supervisor:
        workers_of(supervisor, 1)
        _wait_running(str(env.folder / "control.sock"))
        publisher = multiprocessing.Process(
            target=_publish, args=(env.nats_url, env.subject(0), payloads, rate, sent), daemon=True
        )
        publisher.start()
        seen = _poll(env, len(payloads))
        publisher.join()
    return _latencies(list(sent), seen)


def _wait_running(socket: str) -> None:
    until = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < until:
        client = Client(socket)
        try:
            if client.call("status")["slots"][0]["state"] == "running":
                return
        except EventwriterError:
            pass
        finally:
            client.close()
        time.sleep(0.05)
    raise SystemExit("the daemon does not reach the state running")


def _publish(url: str, subject: str, payloads: Sequence[bytes], rate: float, sent: "SynchronizedArray[float]") -> None:
    async def publish() -> None:
        client = await nats.connect(url)
        began_s, done = time.monotonic(), 0
        while done < len(payloads):
            due = min(len(payloads), int((time.monotonic() - began_s) * rate))
            while done < due:
                sent[done] = time.monotonic()
                await client.publish(subject, payloads[done])
                done += 1
            await client.flush()
            await asyncio.sleep(0.001)
        await client.close()

    asyncio.run(publish())


def _poll(env: Environment, count: int) -> list[tuple[float, int]]:
    """Return the last committed sequence after each increase, with the monotonic time in seconds."""
    seen = [(time.monotonic(), 0)]
    until = time.monotonic() + WAIT_S_MAX
    with env.connect() as conn:
        while seen[-1][1] < count and time.monotonic() < until:
            row = conn.execute("SELECT max(last_seq) FROM eventwriter_ledger").fetchone()
            last = (row[0] if row else 0) or 0
            if last > seen[-1][1]:
                seen.append((time.monotonic(), last))
            time.sleep(_POLL_S)
    if seen[-1][1] < count:
        raise SystemExit(f"of {count} messages only {seen[-1][1]} were written")
    return seen


def _latencies(sent: Sequence[float], seen: Sequence[tuple[float, int]]) -> Fresh:
    waited_ms: list[float] = []
    polls = iter(seen)
    at_s, last = next(polls)
    for number, sent_s in enumerate(sent, 1):
        while last < number:
            at_s, last = next(polls)
        waited_ms.append((at_s - sent_s) * 1000)
    cuts = quantiles(waited_ms, n=100, method="inclusive")
    return Fresh(cuts[49], cuts[94], cuts[98])
