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
STALE_SEQ = 900


def with_stale_end(data: bytes) -> bytes:
    """Replace the stream's last sequence by an older one; spaces keep the length."""
    return LAST_SEQ.sub(lambda m: b'"last_seq":' + str(min(STALE_SEQ, int(m[1]))).encode().rjust(len(m[1])), data)


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


def test_stale_answers_start_no_epoch(daemon: Daemon, proxy: Proxy) -> None:
    """While the answers are stale, the daemon writes on in the same epoch; nothing is lost or duplicated."""
    daemon.start()
    asyncio.run(daemon.publish(1200))
    assert (1200, 1200, 0) == daemon.balance()

    proxy.rewrite(with_stale_end)
    daemon.kill_worker()
    wait_for_log(daemon, '"verdict": "unconfirmed"')
    asyncio.run(daemon.publish(300))
    assert (1500, 1500, 0) == daemon.balance()
    proxy.heal()
    asyncio.run(daemon.publish(100))

    assert (1600, 1600, 0) == daemon.balance()
    assert [0] == epochs(daemon)
    wait_until_healthy(daemon)


def test_stale_answers_skip_nothing_for_a_missing_consumer(daemon: Daemon, proxy: Proxy) -> None:
    """A consumer that is created while the answers are stale starts early enough, and duplicates nothing."""

    async def delete_consumer() -> None:
        client = await nats.connect(daemon.servers.nats_url)
        await client.jetstream().delete_consumer("events", "eventwriter-telemetry")
        await client.close()

    daemon.start()
    asyncio.run(daemon.publish(1200))
    assert (1200, 1200, 0) == daemon.balance()
    assert 0 == daemon.stop()

    asyncio.run(delete_consumer())
    proxy.rewrite(with_stale_end)
    daemon.start()
    asyncio.run(daemon.publish(300))

    assert (1500, 1500, 0) == daemon.balance()
    assert [0] == epochs(daemon)
