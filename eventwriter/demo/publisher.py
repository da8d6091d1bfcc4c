"""
Publisher of the demo, a separate process so that it does not take time from the writer.

Started as `python -m eventwriter.demo.publisher` with its `PublishPlan` as one JSON argument.
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
"""Largest number of messages that a publisher behind its rate sends at once."""


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """
    Messages to publish.

    Attributes:
        url: URL of the NATS server.
        kinds: Kinds to publish, in turn.
        rate: Messages per second, all kinds together.
        seed: Seed of the random generator.
        first: Number of the first message, for each kind.
    """

    url: str
    kinds: tuple[str, ...]
    rate: float
    seed: int
    first: tuple[int, ...]


def pattern(kind: str) -> str:
    """Return the subject pattern of a kind's messages."""
    return f"{TRAFFIC[kind].subject.rpartition('.')[0]}.>"


def payloads(kind: str, seed: int, first: int, now_ns: int | None = None) -> Iterator[bytes]:
    """
    Yield the messages of a kind. The same seed gives the same messages, apart from their times.

    Args:
        kind: Kind of the messages.
        seed: Seed of the random generator.
        first: Number of the first message.
        now_ns: Time in all messages, nanoseconds since 1970; default: now.
    """
    rng = random.Random(f"{seed}/{kind}/{first}")  # noqa: S311  # repeatable traffic
    n = first
    while True:
        yield payload(kind, rng, n, now_ns)
        n += 1


async def make_stream(url: str, kinds: Sequence[str]) -> dict[str, int]:
    """
    Create the JetStream stream of the demo, or add its missing subjects.

    Returns:
        Number of messages in the stream, by kind.
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
    """Return the number of messages in the stream by kind, as counted by the server."""
    client = await nats.connect(url)
    try:
        return await _stored(client, kinds)
    finally:
        await client.close()


async def _stored(client: Client, kinds: Sequence[str]) -> dict[str, int]:
    state = (await client.jetstream().stream_info(STREAM, subjects_filter=">")).state
    return {kind: (state.subjects or {}).get(TRAFFIC[kind].subject, 0) for kind in kinds}


async def publish(plan: PublishPlan, stop: asyncio.Event) -> dict[str, int]:
    """
    Publish until `stop` is set. A message is counted once its PubAck has arrived.

    Returns:
        Number of stored messages, by kind.
    """
    client = await nats.connect(plan.url)
    jetstream = client.jetstream()
    sources = [
        (kind, TRAFFIC[kind].subject, payloads(kind, plan.seed, first))
        for kind, first in zip(plan.kinds, plan.first, strict=True)
    ]
    counts = dict.fromkeys(plan.kinds, 0)
    began_s, sent = clock.monotonic_s(), 0
    while not stop.is_set():
        due = int((clock.monotonic_s() - began_s) * plan.rate) - sent
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


async def _publish_until_sigterm(plan: PublishPlan) -> dict[str, int]:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # The demo starts this process with SIGTERM blocked, so that a signal before this point is not lost.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return await publish(plan, stop)


def main() -> None:
    """Publish until SIGTERM, then print the number of stored messages by kind as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plan = json.loads(sys.argv[1])
    plan.update(kinds=tuple(plan["kinds"]), first=tuple(plan["first"]))
    sys.stdout.write(json.dumps(asyncio.run(_publish_until_sigterm(PublishPlan(**plan)))) + "\n")


if __name__ == "__main__":
    main()
