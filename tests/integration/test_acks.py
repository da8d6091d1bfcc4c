"""Answers written in bulk are answers."""

import nats
from fix_servers import Addresses

from eventwriter.jetstream.acks import ACK, NAK, publish_answers


async def test_bulk_answers_are_what_public_ones_are(servers: Addresses) -> None:
    """Acks joined into one write settle messages as `publish` does; joined naks bring theirs back at once."""
    client = await nats.connect(servers.nats_url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="acks", subjects=["acks.>"])
    try:
        for n in range(10):
            await jetstream.publish("acks.x", b"%d" % n)
        pull = await jetstream.pull_subscribe("acks.>", durable="d")
        messages = await pull.fetch(10)

        await client.publish(messages[0].reply, ACK)
        assert await publish_answers(client, [m.reply for m in messages[1:6]], ACK)
        assert await publish_answers(client, [m.reply for m in messages[6:]], NAK)
        again = await pull.fetch(4, timeout=5)

        assert {m.data for m in messages[6:]} == {m.data for m in again}
        info = await jetstream.consumer_info("acks", "d")
        assert 4 == info.num_ack_pending
        assert 6 == info.ack_floor.stream_seq
    finally:
        await jetstream.delete_stream("acks")
        await client.close()
