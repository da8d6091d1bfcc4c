"""
A NATS node that reports an old end of the stream, as a node that was partitioned from its cluster does.

A proxy changes the stream's last sequence in every response; the consumer and the stored messages are real.
"""

import asyncio
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fix_daemon import Daemon
from fix_proxy import Proxy

LAST_SEQ = re.compile(rb'"last_seq":(\d+)')
STORED = re.compile(rb'\{"type":"[^"]*msg_get_response",\s*"message":\{"subject":"[^"]*","seq":(\d+),.*?\}\}')
NOT_FOUND = b'{"error":{"code":404,"err_code":10037,"description":"no message found"}}'
STALE_SEQ = 900


def with_stale_end(data: bytes) -> bytes:
    """Replace the stream's last sequence by an older one, padded with spaces to keep the length."""
    return LAST_SEQ.sub(lambda m: b'"last_seq":' + str(min(STALE_SEQ, int(m[1]))).encode().rjust(len(m[1])), data)


def without_new_messages(data: bytes) -> bytes:
    """Also replace the responses to lookups of messages after the old end."""
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
    """Return the epochs in the ledger."""
    return [epoch for (epoch,) in daemon.sql("SELECT epoch FROM eventwriter_ledger ORDER BY 1")]


def wait_for_log(daemon: Daemon, text: str) -> None:
    """Wait until the log contains a text."""
    daemon.until(f"{text!r} is logged", lambda: text in daemon.log())


def delete_consumer(daemon: Daemon) -> None:
    """Delete the daemon's consumer."""
    daemon.api("CONSUMER.DELETE.events.eventwriter-telemetry")


def test_stale_end_is_no_regression_while_the_last_message_exists(daemon: Daemon, proxy: Proxy) -> None:
    """A stream that still has the last message of the ledger did not lose its end, even if it reports an older one."""
    daemon.start()
    asyncio.run(daemon.publish(1200))
    assert (1200, 1200, 0) == daemon.settled_counts()

    proxy.rewrite(with_stale_end)
    daemon.kill_worker()
    asyncio.run(daemon.publish(300))

    assert (1500, 1500, 0) == daemon.settled_counts()
    assert "seems to have gone backwards" not in daemon.log()
    assert [0] == epochs(daemon)


def test_stale_node_starts_no_epoch(daemon: Daemon, proxy: Proxy) -> None:
    """Messages after the stale end are written as soon as it is certain that the stream did not lose its end."""
    daemon.start()
    asyncio.run(daemon.publish(1200))
    assert (1200, 1200, 0) == daemon.settled_counts()

    proxy.rewrite(without_new_messages)
    daemon.kill_worker()
    wait_for_log(daemon, '"verdict": "unconfirmed"')
    asyncio.run(daemon.publish(300))
    wait_for_log(daemon, "is checked again before they are written")
    written = daemon.counts()
    proxy.heal()
    asyncio.run(daemon.publish(100))

    assert (1600, 1600, 0) == daemon.settled_counts()
    assert (1200, 1200, 0) == written
    assert [0] == epochs(daemon)
    daemon.until("healthy", lambda: daemon.slot().get("health") == "healthy")


def test_stale_node_skips_nothing_for_a_missing_consumer(daemon: Daemon, proxy: Proxy) -> None:
    """A consumer that is created while the responses are stale skips and duplicates nothing."""
    daemon.start()
    asyncio.run(daemon.publish(1200))
    assert (1200, 1200, 0) == daemon.settled_counts()
    assert 0 == daemon.stop()

    delete_consumer(daemon)
    proxy.rewrite(without_new_messages)
    daemon.start()
    asyncio.run(daemon.publish(300))
    wait_for_log(daemon, '"verdict": "unconfirmed"')
    proxy.heal()

    assert (1500, 1500, 0) == daemon.settled_counts()
    assert [0] == epochs(daemon)


def test_messages_before_the_first_range_are_delivered_again(daemon: Daemon) -> None:
    """
    A recreated consumer starts at the first hole of the ledger, even if that lies before the first range.

    This happens when two workers share a durable, the one with the first messages is killed, and the consumer is
    deleted.
    """
    daemon.start()
    asyncio.run(daemon.publish(40))
    assert (40, 40, 0) == daemon.settled_counts()
    assert 0 == daemon.stop()

    daemon.sql("DELETE FROM timeseries_metrics WHERE timestamp IN"
               " (SELECT timestamp FROM timeseries_metrics ORDER BY timestamp LIMIT 10)")  # fmt: skip
    daemon.sql("UPDATE eventwriter_ledger SET committed = committed - int8multirange(int8range(1, 11))")
    delete_consumer(daemon)
    daemon.start()

    assert (40, 40, 0) == daemon.settled_counts()
    assert [0] == epochs(daemon)
