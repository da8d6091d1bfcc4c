"""The demo's publisher: a process of its own, so that it cannot slow the writer's books down."""

import asyncio
import contextlib
import random
import signal
from multiprocessing.sharedctypes import Synchronized

import nats
import nats.errors

from eventwriter import clock
from eventwriter.demo.traffic import payload

_TICK_S = 0.02


async def make_stream(url: str, kinds: tuple[str, ...]) -> None:
    """Create the JetStream stream `events` for the demo's subjects, where it is not there yet."""
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="events", subjects=[f"{kind}.>" for kind in kinds])
    await client.close()


def publish(
    url: str, kinds: tuple[str, ...], rate: float, seed: int, counts: "list[Synchronized[int]]", first: list[int]
) -> None:
    """
    Publish until SIGTERM; every message is stored (its PubAck awaited) before it is counted.

    Args:
        rate: Messages a second, all kinds together.
        counts: For each kind, how many are stored; written here, read by the demo.
        first: For each kind, the number of its first message.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_publish(url, kinds, rate, seed, counts, first))


async def _publish(
    url: str, kinds: tuple[str, ...], rate: float, seed: int, counts: "list[Synchronized[int]]", first: list[int]
) -> None:
    rng = random.Random(seed)  # noqa: S311  # repeatable traffic
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await nats.connect(url)
    jetstream = client.jetstream()
    began_s, sent = clock.monotonic_s(), 0
    numbers = list(first)
    while not stop.is_set():
        due = int((clock.monotonic_s() - began_s) * rate) - sent
        waiting = []
        for _ in range(min(due, 2000)):
            which = sent % len(kinds)
            body = payload(kinds[which], rng, numbers[which])
            waiting.append((which, await jetstream.publish_async(f"{kinds[which]}.demo", body)))
            numbers[which] += 1
            sent += 1
        for which, stored in waiting:
            await stored
            counts[which].value += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _TICK_S)
    await client.close()
