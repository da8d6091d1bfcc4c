"""A paused or drained pull receives deliveries under way, also on a slow network."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fix_proxy import Proxy

from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.credit import PullLimits
from eventwriter.jetstream.pull import Pull
from eventwriter.jetstream.reorder import NOTHING_REDELIVERED, Redelivered

LATE_S = 0.15
COUNT = 400


@pytest.fixture
def proxy(nats_url: str) -> Iterator[Proxy]:
    """A proxy that can delay the network."""
    port = urlsplit(nats_url).port
    assert port
    made = Proxy(port)
    yield made
    made.close()


async def no_redelivery() -> Redelivered:
    """Request no redelivery, so that a lost delivery would show."""
    return NOTHING_REDELIVERED


@pytest.mark.parametrize("how", ["drain", "pause"])
async def test_stopped_pull_receives_all_deliveries(proxy: Proxy, stream: str, how: str) -> None:
    """After a drain or a pause within a backlog, every delivery that the consumer counts was yielded."""
    client = DirectClient()
    await client.connect(f"nats://127.0.0.1:{proxy.port}")
    try:
        jetstream = client.jetstream()
        for n in range(COUNT):
            await client.publish(f"{stream}.a", b"%d" % n)
        await jetstream.add_consumer(stream, durable_name="d", ack_policy="explicit")
        pull = Pull(
            client,
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.d",
            PullLimits(20, 10, 2**20),
            lambda: COUNT,
            lambda: 0.05,
            no_redelivery,
        )
        proxy.latency(LATE_S)
        received, ticks = 0, 0
        async for messages in pull.lists():
            received += len(messages)
            if received and not ticks:
                pull.drain() if how == "drain" else pull.pause(paused=True)
                ticks = 1
            elif ticks and not messages:
                ticks += 1
                if ticks > 10:
                    break
        proxy.latency(0.0)
        info = await jetstream.consumer_info(stream, "d")

        assert 0 < received < COUNT
        assert received == info.delivered.consumer_seq
    finally:
        await client.close()


async def test_resumed_pull_continues_in_order(nats_url: str, stream: str) -> None:
    """A paused pull yields only ticks; after it is resumed, it yields all messages in order."""
    client = DirectClient()
    await client.connect(nats_url)
    try:
        jetstream = client.jetstream()
        await jetstream.add_consumer(stream, durable_name="d", ack_policy="explicit")
        pull = Pull(
            client,
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.d",
            PullLimits(100, 100, 2**20),
            lambda: 100,
            lambda: 0.02,
            no_redelivery,
        )
        pull.pause(paused=True)
        for n in range(50):
            await jetstream.publish(f"{stream}.a", b"%d" % n)
        paused, seqs = 0, []
        async for messages in pull.lists():
            seqs += [message.stream_seq for message in messages]
            paused += not messages
            if not messages and paused == 10:
                assert [] == seqs
                pull.pause(paused=False)
            if len(seqs) == 50:
                break

        assert list(range(1, 51)) == seqs
        await pull.close()
    finally:
        await client.close()
