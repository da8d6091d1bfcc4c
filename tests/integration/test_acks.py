"""Bulk acknowledgements, compared with those of nats-py's public method."""

import nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from eventwriter.jetstream.acks import ACK, NAK, nak_and_wait, publish_answers


async def test_bulk_acks_settle_like_public_ones(nats_url: str, stream: str) -> None:
    """Acks joined into one write settle messages as `publish` does, and joined NAKs cause immediate redelivery."""
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
        again: list[Msg] = []
        while len(again) < 4:  # a fetch may return a part of the redelivered messages
            again += await pull.fetch(4 - len(again), timeout=30)

        assert {m.data for m in messages[6:]} == {m.data for m in again}
        info = await jetstream.consumer_info(stream, "d")
        assert 4 == info.num_ack_pending
        assert 6 == info.ack_floor.stream_seq
    finally:
        await client.close()


async def test_naked_messages_come_before_newer_ones(nats_url: str, stream: str) -> None:
    """Once NAKs are confirmed, a pull gets the redelivered messages before newer ones."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    try:
        for n in range(2000):
            await jetstream.publish_async(f"{stream}.x", b"%d" % n)
        await jetstream.publish_async_completed()
        pull = await jetstream.pull_subscribe(f"{stream}.>", durable="d", config=ConsumerConfig(max_ack_pending=5000))
        first = await pull.fetch(1000)

        assert await nak_and_wait(client, [m.reply for m in first])
        again = await pull.fetch(1001)

        assert [*range(1, 1001), 1001] == [m.metadata.sequence.stream for m in again]
    finally:
        await client.close()
