"""
A NATS node that answers with an old end of the stream, as one does that was cut off from its cluster.

A proxy changes the stream's last sequence in every answer; the consumer's position and the stored messages are real.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import nats
import psycopg
import pytest
from fix_daemon import WAIT_S, Daemon
from fix_proxy import Proxy

LAST_SEQ = re.compile(rb'"last_seq":(\d+)')
STORED = re.compile(rb'\{"type":"[^"]*msg_get_response",\s*"message":\{"subject":"[^"]*","seq":(\d+),.*?\}\}')
NOT_FOUND = b'{"error":{"code":404,"err_code":10037,"description":"no message found"}}'
STALE_SEQ = 900


def with_stale_end(data: bytes) -> bytes:
    """Replace the stream's last sequence by an older one; spaces keep the length."""
    return LAST_SEQ.sub(lambda m: b'"last_seq":' + str(min(STALE_SEQ, int(m[1]))).encode().rjust(len(m[1])), data)


def without_new_messages(data: bytes) -> bytes:
    """Answer lookups of messages after the old end as the stale node does."""
    return STORED.sub(lambda m: m[0] if int(m[1]) <= STALE_SEQ else NOT_FOUND.ljust(len(m[0])), with_stale_end(data))


@pytest.fixture
def proxy(daemon: Daemon) -> Iterator[Proxy]:
    """A proxy between the daemon and its NATS server."""
    port = urlsplit(daemon.servers.nats_url).port
    assert port
    made = Proxy(port)
    url = daemon.servers.nats_url.replace(f":{port}", f":{made.port}")
    daemon.write_config(url, daemon.servers.postgres_dsn())
    yield made
    daemon.kill()
    made.close()


def epochs(daemon: Daemon) -> list[int]:
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        return [row[0] for row in conn.execute("SELECT epoch FROM eventwriter_ledger ORDER BY 1")]


def wait_for_log(daemon: Daemon, text: str) -> None:
    until = time.monotonic() + WAIT_S
    while text not in daemon.log():
        assert time.monotonic() < until, f"{text!r} is not logged"
        time.sleep(0.1)


def wait_until_healthy(daemon: Daemon) -> None:
    until = time.monotonic() + WAIT_S
    while (daemon.status() or {}).get("status") != "healthy":
        assert time.monotonic() < until, daemon.status()
        time.sleep(0.2)


async def delete_consumer(daemon: Daemon) -> None:
    client = await nats.connect(daemon.servers.nats_url)
    await client.jetstream().delete_consumer("events", "eventwriter-telemetry")
    await client.close()


def rows(daemon: Daemon) -> int:
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        found = conn.execute("SELECT count(*) FROM timeseries_metrics").fetchone()
    assert found is not None
    return int(found[0])


def test_old_end_beside_newest_message_is_no_regression(daemon: Daemon, proxy: Proxy) -> None:
    """A stream that still has the ledger's last message did not lose its end, whatever end it reports."""
    daemon.start()
    asyncio.run(daemon.publish(1200))
    assert (1200, 1200, 0) == daemon.balance()

    proxy.rewrite(with_stale_end)
    daemon.kill_worker()
    asyncio.run(daemon.publish(300))

    assert (1500, 1500, 0) == daemon.balance()
    assert "seems to have gone backwards" not in daemon.log()
    assert [0] == epochs(daemon)


def test_stale_node_starts_no_epoch(daemon: Daemon, proxy: Proxy) -> None:
    """Messages after the end that a stale node reports are written once it is known that nothing was lost."""
    daemon.start()
    asyncio.run(daemon.publish(1200))
    assert (1200, 1200, 0) == daemon.balance()

    proxy.rewrite(without_new_messages)
    daemon.kill_worker()
    wait_for_log(daemon, '"verdict": "unconfirmed"')
    asyncio.run(daemon.publish(300))
    wait_for_log(daemon, "is checked again before they are written")
    written = rows(daemon)
    proxy.heal()
    asyncio.run(daemon.publish(100))

    assert (1600, 1600, 0) == daemon.balance()
    assert 1200 == written
    assert [0] == epochs(daemon)
    wait_until_healthy(daemon)


def test_stale_node_skips_nothing_for_a_missing_consumer(daemon: Daemon, proxy: Proxy) -> None:
    """A consumer that is created while the answers are stale starts early enough, and duplicates nothing."""
    daemon.start()
    asyncio.run(daemon.publish(1200))
    assert (1200, 1200, 0) == daemon.balance()
    assert 0 == daemon.stop()

    asyncio.run(delete_consumer(daemon))
    proxy.rewrite(without_new_messages)
    daemon.start()
    asyncio.run(daemon.publish(300))
    wait_for_log(daemon, '"verdict": "unconfirmed"')
    proxy.heal()

    assert (1500, 1500, 0) == daemon.balance()
    assert [0] == epochs(daemon)


def test_messages_before_the_first_range_are_delivered_again(daemon: Daemon) -> None:
    """
    A recreated consumer starts at the first hole of the ledger, even if that lies before the first range.

    Two workers share a durable, the one with the first messages dies, and the consumer is deleted.
    """
    daemon.start()
    asyncio.run(daemon.publish(40))
    assert (40, 40, 0) == daemon.balance()
    assert 0 == daemon.stop()

    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("DELETE FROM timeseries_metrics WHERE timestamp IN"
                     " (SELECT timestamp FROM timeseries_metrics ORDER BY timestamp LIMIT 10)")  # fmt: skip
        conn.execute("UPDATE eventwriter_ledger SET committed = committed - int8multirange(int8range(1, 11))")
    asyncio.run(delete_consumer(daemon))
    daemon.start()

    assert (40, 40, 0) == daemon.balance()
    assert [0] == epochs(daemon)
