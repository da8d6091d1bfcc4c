"""A database that lost its newest rows, as after the restore of a backup or a failover."""

import asyncio
import time

import nats
import psycopg
import pytest
from fix_daemon import WAIT_S, Daemon


def reason_with(daemon: Daemon, words: str) -> str:
    """Wait until the reason of the status contains these words; return it."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        reason = str((daemon.status() or {}).get("reason"))
        if words in reason:
            return reason
        time.sleep(0.2)
    raise AssertionError(f"{daemon.status()}")


def test_restored_database_is_reported_and_catches_up(daemon: Daemon) -> None:
    """Missing acknowledged messages are reported, and are delivered again once the durable is removed."""
    daemon.start()
    asyncio.run(daemon.publish(300))
    assert (300, 300, 0) == daemon.balance()
    assert 0 == daemon.stop()
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("DELETE FROM timeseries_metrics WHERE (metadata->>'n')::int >= 200")
        conn.execute("UPDATE eventwriter_ledger SET committed = '{[1,201)}', last_seq = 200")
    daemon.start()
    asyncio.run(daemon.publish(50))

    reason = reason_with(daemon, "was acknowledged but is not in this database")
    assert "message 201 of stream events" in reason
    assert "nats consumer rm events eventwriter-telemetry" in reason
    assert (250, 250, 0) == daemon.books()

    async def remove() -> None:
        client = await nats.connect(daemon.servers.nats_url)
        await client.jetstream().delete_consumer("events", "eventwriter-telemetry")
        await client.close()

    asyncio.run(remove())
    assert (350, 350, 0) == daemon.balance()
    until = time.monotonic() + WAIT_S
    while (daemon.status() or {}).get("status") != "healthy" and time.monotonic() < until:
        time.sleep(0.2)
    assert "healthy" == (daemon.status() or {}).get("status")


@pytest.mark.parametrize("traffic", [False, True], ids=["idle", "under load"])
def test_failover_that_lost_rows_is_noticed_by_running_daemon(daemon: Daemon, traffic: bool) -> None:
    """A database that loses its newest rows under a running daemon degrades the slot within seconds."""
    daemon.start()
    asyncio.run(daemon.publish(300))
    assert (300, 300, 0) == daemon.balance()

    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        with conn.transaction():
            conn.execute("DELETE FROM timeseries_metrics WHERE (metadata->>'n')::int >= 200")
            conn.execute("UPDATE eventwriter_ledger SET committed = '{[1,201)}', last_seq = 200")
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    if traffic:
        asyncio.run(daemon.publish(50))

    assert "message 201 of stream events" in reason_with(daemon, "was acknowledged but is not in this database")
    assert "has lost committed messages" in daemon.log()
    expected = 200 + 50 * traffic
    until = time.monotonic() + WAIT_S
    while daemon.books() != (expected, expected, 0) and time.monotonic() < until:
        time.sleep(0.2)
    assert (expected, expected, 0) == daemon.books()
