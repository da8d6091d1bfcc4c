"""
How long a message takes from being published until another session sees it committed.

Published at a fixed rate by a process of its own; the ledger is looked at every two
milliseconds, so figures are too high by up to that, never too low.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray
from statistics import quantiles

import nats

from benchmarks.bed import WAIT_S_MAX, Bed, daemon, workers_of
from eventwriter.control.client import Client
from eventwriter.errors import EventwriterError

_LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class Fresh:
    """Latencies, milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


def freshness(bed: Bed, kind: str, payloads: Sequence[bytes], rate: float) -> Fresh:
    """Publish `payloads` at `rate` messages a second into a stream that the daemon keeps up with."""
    bed.empty(kind)
    config = bed.config(kind, 1)
    sent: SynchronizedArray[float] = multiprocessing.Array("d", len(payloads))
    with daemon(bed, config) as supervisor:
        workers_of(supervisor, 1)
        _wait_running(str(bed.folder / "control.sock"))
        publisher = multiprocessing.Process(
            target=_publish, args=(bed.nats_url, bed.subject(0), payloads, rate, sent), daemon=True
        )
        publisher.start()
        seen = _look(bed, len(payloads))
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
    raise SystemExit("the daemon does not get to work")


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


def _look(bed: Bed, count: int) -> list[tuple[float, int]]:
    """Return (monotonic seconds, last committed sequence), each time that it grew."""
    seen = [(time.monotonic(), 0)]
    until = time.monotonic() + WAIT_S_MAX
    with bed.connect() as conn:
        while seen[-1][1] < count and time.monotonic() < until:
            row = conn.execute("SELECT max(last_seq) FROM eventwriter_ledger").fetchone()
            last = (row[0] if row else 0) or 0
            if last > seen[-1][1]:
                seen.append((time.monotonic(), last))
            time.sleep(_LOOK_S)
    if seen[-1][1] < count:
        raise SystemExit(f"of {count} messages only {seen[-1][1]} were written")
    return seen


def _latencies(sent: Sequence[float], seen: Sequence[tuple[float, int]]) -> Fresh:
    waited_ms: list[float] = []
    looks = iter(seen)
    at_s, last = next(looks)
    for number, sent_s in enumerate(sent, 1):
        while last < number:
            at_s, last = next(looks)
        waited_ms.append((at_s - sent_s) * 1000)
    cuts = quantiles(waited_ms, n=100, method="inclusive")
    return Fresh(cuts[49], cuts[94], cuts[98])
