"""What JetStream gives a second time: the same messages as if they were new, or new ones as if they were the same."""

import asyncio
import time
from typing import Any

import nats
import psycopg
from fix_daemon import Daemon
from nats.js.errors import NotFoundError

DURABLE = "eventwriter-telemetry"


async def ask(daemon: Daemon, verb: str, body: bytes) -> None:
    client = await nats.connect(daemon.servers.nats_url)
    answer = await client.request(f"$JS.API.{verb}", body, timeout=5)
    await client.close()
    assert b'"error"' not in answer.data, answer.data


async def take(daemon: Daemon, count: int) -> int:
    """Be a worker that dies with so many messages in hand."""
    client = await nats.connect(daemon.servers.nats_url)
    held = await client.jetstream().pull_subscribe_bind(DURABLE, "events")
    taken = len(await held.fetch(count, timeout=5))
    await client.close()
    return taken


async def in_hand(daemon: Daemon) -> int:
    """Return how many messages are delivered and not answered; 0 where there is no consumer yet."""
    client = await nats.connect(daemon.servers.nats_url)
    try:
        return (await client.jetstream().consumer_info("events", DURABLE)).num_ack_pending or 0
    except NotFoundError:
        return 0
    finally:
        await client.close()


def execute(daemon: Daemon, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        cursor = conn.execute(query)
        return cursor.fetchall() if cursor.description else []


def test_new_messages_under_known_sequences_are_not_acknowledged_unwritten(daemon: Daemon) -> None:
    """What a dead worker had in hand is written, though the ledger has its sequences from an earlier life of them."""
    daemon.start()
    asyncio.run(daemon.publish(20))
    assert (20, 20, 0) == daemon.balance()
    assert 0 == daemon.stop()
    asyncio.run(daemon.publish(20))
    assert 20 == asyncio.run(take(daemon, 20))
    # As if 21 to 40 had been others, written before these were stored.
    execute(daemon, "UPDATE eventwriter_ledger SET committed = '{[1,41)}', last_seq = 40")

    daemon.start()

    assert (40, 40, 0) == daemon.balance()
    assert [(0,), (1,)] == execute(daemon, "SELECT epoch FROM eventwriter_ledger ORDER BY epoch")


def test_consumer_reset_under_an_open_batch_doubles_nothing(daemon: Daemon) -> None:
    """A reset consumer delivers messages in flight again as new; each is written once."""
    daemon.write_config(daemon.servers.nats_url, daemon.servers.postgres_dsn(), batch_timeout=4000, batch_size=1000)
    daemon.start()
    asyncio.run(daemon.publish(50))
    until = time.monotonic() + 20
    while asyncio.run(in_hand(daemon)) != 50:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert (0, 0, 0) == daemon.books(), "the batch is still open"

    asyncio.run(ask(daemon, f"CONSUMER.RESET.events.{DURABLE}", b'{"seq":1}'))

    assert (50, 50, 0) == daemon.balance()


def test_new_messages_are_written_though_the_new_end_came_first(daemon: Daemon) -> None:
    """A stream that lost its end and grew beyond it is told by the message under the ledger's last sequence."""
    daemon.start()
    asyncio.run(daemon.publish(20))
    assert (20, 20, 0) == daemon.balance()
    assert 0 == daemon.stop()
    # As if the stream had lost 11 to 20, which are others now, stored after what the ledger knows of.
    execute(daemon, "UPDATE eventwriter_ledger SET last_timestamp = last_timestamp - interval '1 hour'")
    asyncio.run(daemon.publish(20))

    daemon.start()

    assert (40, 40, 0) == daemon.balance()
    assert [(0,), (1,)] == execute(daemon, "SELECT epoch FROM eventwriter_ledger ORDER BY 1")
