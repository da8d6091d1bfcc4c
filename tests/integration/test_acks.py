"""Answers written in bulk are answers."""

import nats
from nats.js.api import ConsumerConfig

from eventwriter.jetstream.acks import ACK, NAK, give_back, publish_answers


async def test_bulk_answers_are_what_public_ones_are(nats_url: str, stream: str) -> None:
    """Acks joined into one write settle messages as `publish` does; joined naks bring theirs back at once."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    try:
        for n in range(10):
            await jetstream.publish(f"{stream}.x", b"%d" % n)
        pull = await jetstream.pull_subscribe(f"{stream}.>", durable="d")
        messages = await pull.fetch(10)

        await client.publish(messages[0].reply, ACK)
        assert await publish_answers(client, [m.reply for m in messages[1:6]], ACK)
        assert await publish_answers(client, [m.reply for m in messages[6:]], NAK)
        again = await pull.fetch(4, timeout=5)

        assert {m.data for m in messages[6:]} == {m.data for m in again}
        info = await jetstream.consumer_info(stream, "d")
        assert 4 == info.num_ack_pending
        assert 6 == info.ack_floor.stream_seq
    finally:
        await client.close()


async def test_what_is_given_back_comes_before_anything_newer(nats_url: str, stream: str) -> None:
    """When giving back has returned, the server has taken it: a pull at once brings it, and then what is new."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    try:
        for n in range(2000):
            await jetstream.publish_async(f"{stream}.x", b"%d" % n)
        await jetstream.publish_async_completed()
        pull = await jetstream.pull_subscribe(f"{stream}.>", durable="d", config=ConsumerConfig(max_ack_pending=5000))
        first = await pull.fetch(1000)

        assert await give_back(client, [m.reply for m in first])
        again = await pull.fetch(1001)

        assert [*range(1, 1001), 1001] == [m.metadata.sequence.stream for m in again]
    finally:
        await client.close()
