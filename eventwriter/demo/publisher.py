"""
The demo's publisher: a program of its own, so that it cannot slow the writer's books down.

Started as `python -m eventwriter.demo.publisher` with its wishes as one JSON argument.
"""

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from eventwriter import clock
from eventwriter.demo.traffic import TRAFFIC, payload

STREAM = "events"
_TICK_S = 0.02
_TICK_MESSAGES_MAX = 2000
"""A publisher that falls behind its rate catches up in steps of this size."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """
    What is to be published.

    Attributes:
        rate: Messages a second, all kinds together.
        first: For each kind, the number of its first message.
    """

    url: str
    kinds: tuple[str, ...]
    rate: float
    seed: int
    first: tuple[int, ...]


def pattern(kind: str) -> str:
    """Return the subjects of a kind's messages."""
    return f"{TRAFFIC[kind].subject.rpartition('.')[0]}.>"


def payloads(kind: str, seed: int, first: int, now_ns: int | None = None) -> Iterator[bytes]:
    """
    Yield a kind's messages: for the same seed the same ones, but for the times in them.

    Args:
        first: The number of the first.
        now_ns: The time in all of them, nanoseconds since 1970; the clock's where it is None.
    """
    rng = random.Random(f"{seed}/{kind}/{first}")  # noqa: S311  # repeatable traffic
    n = first
    while True:
        yield payload(kind, rng, n, now_ns)
        n += 1


async def make_stream(url: str, kinds: Sequence[str]) -> dict[str, int]:
    """
    Create the JetStream stream of the demo, or add the subjects that it lacks.

    Returns:
        For each kind, how many messages it holds.
    """
    client = await nats.connect(url)
    try:
        jetstream, wanted = client.jetstream(), [pattern(kind) for kind in kinds]
        try:
            config = (await jetstream.stream_info(STREAM)).config
            config.subjects = sorted({*(config.subjects or ()), *wanted})
            await jetstream.update_stream(config)
        except nats.js.errors.NotFoundError:
            await jetstream.add_stream(name=STREAM, subjects=wanted)
        return await _stored(client, kinds)
    finally:
        await client.close()


async def stored(url: str, kinds: Sequence[str]) -> dict[str, int]:
    """Return how many messages of each kind the stream holds: what was published, by the server's own count."""
    client = await nats.connect(url)
    try:
        return await _stored(client, kinds)
    finally:
        await client.close()


async def _stored(client: Client, kinds: Sequence[str]) -> dict[str, int]:
    state = (await client.jetstream().stream_info(STREAM, subjects_filter=">")).state
    return {kind: (state.subjects or {}).get(TRAFFIC[kind].subject, 0) for kind in kinds}


async def publish(wishes: Wishes, stop: asyncio.Event) -> dict[str, int]:
    """
    Publish until `stop` is set; every message is stored (its PubAck awaited) before it is counted.

    Returns:
        For each kind, how many are stored.
    """
    client = await nats.connect(wishes.url)
    jetstream = client.jetstream()
    sources = [
        (kind, TRAFFIC[kind].subject, payloads(kind, wishes.seed, first))
        for kind, first in zip(wishes.kinds, wishes.first, strict=True)
    ]
    counts = dict.fromkeys(wishes.kinds, 0)
    began_s, sent = clock.monotonic_s(), 0
    while not stop.is_set():
        due = int((clock.monotonic_s() - began_s) * wishes.rate) - sent
        waiting = []
        for _ in range(min(due, _TICK_MESSAGES_MAX)):
            kind, subject, bodies = sources[sent % len(sources)]
            waiting.append((kind, await jetstream.publish_async(subject, next(bodies))))
            sent += 1
        for kind, acked in waiting:
            await acked
            counts[kind] += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _TICK_S)
    await client.close()
    return counts


async def _until_told(wishes: Wishes) -> dict[str, int]:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # It may wait already: the demo starts us with it blocked, and ^C may come before Python has started.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return await publish(wishes, stop)


def main() -> None:
    """Publish until SIGTERM; then say, as JSON on standard output, how many of each kind are stored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wishes = json.loads(sys.argv[1])
    wishes.update(kinds=tuple(wishes["kinds"]), first=tuple(wishes["first"]))
    sys.stdout.write(json.dumps(asyncio.run(_until_told(Wishes(**wishes)))) + "\n")


if __name__ == "__main__":
    main()
