"""The direct path of deliveries, compared with nats-py's public path."""

import pytest

from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.pull import Pull, PullLimits
from eventwriter.jetstream.reorder import NOTHING_REDELIVERED, Redelivered
from eventwriter.model import Message


class PublicPathClient(DirectClient):
    """A client that never uses the direct path."""

    def attach(self, subscription, receive) -> None:
        """Leave the deliveries to the subscription's callback."""


async def pulled(client: DirectClient, stream: str, durable: str, count: int) -> tuple[list[Message], int]:
    """Return the messages of a new consumer, and how many of them passed through nats-py's subscription."""
    await client.jetstream().add_consumer(stream, durable_name=durable, ack_policy="explicit")

    async def no_redelivery() -> Redelivered:
        return NOTHING_REDELIVERED

    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
    pull = Pull(client, subject, PullLimits(100, 100, 2**20), lambda: 100, lambda: 0.1, no_redelivery)
    messages: list[Message] = []
    async for some in pull.lists():
        messages += some
        if len(messages) >= count:
            break
    received = pull._subscription._received if pull._subscription else -1
    await pull.close()
    return messages, received


@pytest.mark.parametrize("client_class", [DirectClient, PublicPathClient])
async def test_pull_yields_published_messages(nats_url: str, stream: str, client_class: type[DirectClient]) -> None:
    """Messages arrive complete and in order on both paths; the direct one bypasses nats-py's subscription."""
    client = client_class()
    await client.connect(nats_url)
    try:
        for n in range(50):
            headers = {"A": f"ü{n}"} if n % 3 == 0 else None
            await client.jetstream().publish(f"{stream}.{n}", b"%d" % n, headers=headers)

        messages, received = await pulled(client, stream, client_class.__name__, 50)

        assert [
            (f"{stream}.{n}", b"%d" % n, {"A": f"ü{n}"} if n % 3 == 0 else None, n + 1, n + 1, 1) for n in range(50)
        ] == [(m.subject, m.payload, m.headers, m.stream_seq, m.consumer_seq, m.num_delivered) for m in messages]
        assert (0 if client_class is DirectClient else 50) == received
    finally:
        await client.close()
