"""Deliveries straight from the parser are the deliveries of the public way."""

import pytest

from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.pull import Pull, PullLimits
from eventwriter.jetstream.reorder import NOTHING, Redelivered
from eventwriter.model import Message


class LongClient(DirectClient):
    """A client that never takes the short way."""

    def shorten(self, subscription, receive) -> None:
        """Leave the subscription to its callback."""


async def pulled(client: DirectClient, stream: str, durable: str, count: int) -> tuple[list[Message], int]:
    """Return messages of a new consumer, and how many of them went through nats-py's own subscription."""
    await client.jetstream().add_consumer(stream, durable_name=durable, ack_policy="explicit")

    async def nothing() -> Redelivered:
        return NOTHING

    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
    pull = Pull(client, subject, PullLimits(100, 100, 2**20), lambda: 100, lambda: 0.1, nothing)
    messages: list[Message] = []
    async for some in pull.lists():
        messages += some
        if len(messages) >= count:
            break
    received = pull._subscription._received if pull._subscription else -1
    await pull.close()
    return messages, received


@pytest.mark.parametrize("way", [DirectClient, LongClient])
async def test_pull_yields_what_was_published(nats_url: str, stream: str, way: type[DirectClient]) -> None:
    """Order, subject, payload, headers and sequences arrive, by the short way past nats-py's subscription."""
    client = way()
    await client.connect(nats_url)
    try:
        for n in range(50):
            headers = {"A": f"ü{n}"} if n % 3 == 0 else None
            await client.jetstream().publish(f"{stream}.{n}", b"%d" % n, headers=headers)

        messages, received = await pulled(client, stream, way.__name__, 50)

        assert [
            (f"{stream}.{n}", b"%d" % n, {"A": f"ü{n}"} if n % 3 == 0 else None, n + 1, n + 1, 1) for n in range(50)
        ] == [(m.subject, m.payload, m.headers, m.stream_seq, m.consumer_seq, m.num_delivered) for m in messages]
        assert (0 if way is DirectClient else 50) == received
    finally:
        await client.close()
