"""Answers written in bulk are answers."""

import nats

from eventwriter.jetstream.acks import ACK, NAK, publish_answers


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
