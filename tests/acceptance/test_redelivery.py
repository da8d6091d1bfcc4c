"""Sequences that JetStream delivers twice: the same message again, or another message with the same sequence."""

import asyncio

import nats
from fix_daemon import Daemon
from nats.js.errors import NotFoundError

DURABLE = "eventwriter-telemetry"


async def fetch_without_ack(daemon: Daemon, count: int) -> int:
    """Fetch messages and disconnect, as a worker that is killed does; return the number of messages."""
    client = await nats.connect(daemon.servers.nats_url)
    subscription = await client.jetstream().pull_subscribe_bind(DURABLE, "events")
    fetched = len(await subscription.fetch(count, timeout=30))
    await client.close()
    return fetched


async def ack_pending(daemon: Daemon) -> int:
    """Return the number of delivered, unacknowledged messages; 0 before the consumer exists."""
    client = await nats.connect(daemon.servers.nats_url)
    try:
        return (await client.jetstream().consumer_info("events", DURABLE)).num_ack_pending or 0
    except NotFoundError:
        return 0
    finally:
        await client.close()


def epochs(daemon: Daemon) -> list[int]:
    """Return the epochs in the ledger."""
    return [epoch for (epoch,) in daemon.sql("SELECT epoch FROM eventwriter_ledger ORDER BY epoch")]


def test_new_messages_with_known_sequences_are_written(daemon: Daemon) -> None:
    """Messages that a killed worker left are written, although the ledger has their sequences from older messages."""
    daemon.start()
    asyncio.run(daemon.publish(20))
    assert (20, 20, 0) == daemon.settled_counts()
    assert 0 == daemon.stop()
    asyncio.run(daemon.publish(20))
    assert 20 == asyncio.run(fetch_without_ack(daemon, 20))
    # As if 21 to 40 had been written for other messages, before these were stored.
    daemon.sql("UPDATE eventwriter_ledger SET committed = '{[1,41)}', last_seq = 40")

    daemon.start()

    assert (40, 40, 0) == daemon.settled_counts()
    assert [0, 1] == epochs(daemon)


def test_consumer_reset_during_an_open_batch_duplicates_nothing(daemon: Daemon) -> None:
    """A reset consumer delivers messages in flight again; each of them is written once."""
    daemon.write_config(daemon.servers.nats_url, daemon.servers.postgres_dsn(), batch_timeout=4000, batch_size=1000)
    daemon.start()
    asyncio.run(daemon.publish(50))
    daemon.until("in flight", lambda: asyncio.run(ack_pending(daemon)) == 50)
    assert (0, 0, 0) == daemon.counts(), "the batch is no longer open"

    daemon.api(f"CONSUMER.RESET.events.{DURABLE}", seq=1)

    assert (50, 50, 0) == daemon.settled_counts()


def test_stream_that_lost_its_end_and_grew_past_it_is_written(daemon: Daemon) -> None:
    """The stored message under the last sequence of the ledger shows that the stream has other messages now."""
    daemon.start()
    asyncio.run(daemon.publish(20))
    assert (20, 20, 0) == daemon.settled_counts()
    assert 0 == daemon.stop()
    # As if the stream had lost its last messages, and others had been stored under their sequences later.
    daemon.sql("UPDATE eventwriter_ledger SET last_timestamp = last_timestamp - interval '1 hour'")
    asyncio.run(daemon.publish(20))

    daemon.start()

    assert (40, 40, 0) == daemon.settled_counts()
    assert [0, 1] == epochs(daemon)
