"""A database that lost its newest rows, as after a restored backup."""

import asyncio
import time

import nats
import psycopg
from fix_daemon import WAIT_S, Daemon


def reason_with(daemon: Daemon, words: str) -> str:
    """Wait until the status says these words; return its reason."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        reason = str((daemon.status() or {}).get("reason"))
        if words in reason:
            return reason
        time.sleep(0.2)
    raise AssertionError(f"{daemon.status()}")


def test_restored_database_is_noticed_and_can_be_caught_up(daemon: Daemon) -> None:
    """What is acknowledged and not in the database is said, never folded away, and comes again with a new durable."""
    daemon.start()
    asyncio.run(daemon.publish(300))
    assert (300, 300, 0) == daemon.balance()
    assert 0 == daemon.stop()
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("DELETE FROM timeseries_metrics WHERE (metadata->>'n')::int >= 200")
        conn.execute("UPDATE eventwriter_ledger SET committed = '{[1,201)}', last_seq = 200")
    daemon.start()
    asyncio.run(daemon.publish(50))

    reason = reason_with(daemon, "was acknowledged and is not in this database")
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
