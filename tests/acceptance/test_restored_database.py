"""A database that lost its newest rows, as after restoring a backup or an asynchronous failover."""

import asyncio

import psycopg
import pytest
from fix_daemon import Daemon

LOSE_ROWS = "DELETE FROM timeseries_metrics WHERE (metadata->>'n')::int >= 200"
LOSE_LEDGER = "UPDATE eventwriter_ledger SET committed = '{[1,201)}', last_seq = 200"


def reason_of_lost_rows(daemon: Daemon) -> str:
    """Wait until the status reports the first lost message, and return the reason."""
    reason: str = daemon.until(
        "lost rows are reported",
        lambda: (reason := str(daemon.slot().get("reason"))) and "message 201" in reason and reason,
    )
    return reason


def test_restored_database_is_reported_and_catches_up(daemon: Daemon) -> None:
    """Missing acknowledged messages are reported, and are delivered again once the durable is deleted."""
    daemon.start()
    asyncio.run(daemon.publish(300))
    assert (300, 300, 0) == daemon.settled_counts()
    assert 0 == daemon.stop()
    daemon.sql(LOSE_ROWS)
    daemon.sql(LOSE_LEDGER)
    daemon.start()
    asyncio.run(daemon.publish(50))

    assert "nats consumer rm events eventwriter-telemetry" in reason_of_lost_rows(daemon)
    daemon.until("new messages are written", lambda: daemon.counts() == (250, 250, 0))

    daemon.api("CONSUMER.DELETE.events.eventwriter-telemetry")

    assert (350, 350, 0) == daemon.settled_counts()
    daemon.until("healthy", lambda: daemon.slot().get("health") == "healthy")


@pytest.mark.parametrize("traffic", [False, True], ids=["idle", "under load"])
def test_failover_that_lost_rows_is_reported_by_the_running_daemon(daemon: Daemon, traffic: bool) -> None:
    """A database that loses its newest rows while the daemon runs degrades the slot."""
    daemon.start()
    asyncio.run(daemon.publish(300))
    assert (300, 300, 0) == daemon.settled_counts()

    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        with conn.transaction():
            conn.execute(LOSE_ROWS.encode())
            conn.execute(LOSE_LEDGER.encode())
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    if traffic:
        asyncio.run(daemon.publish(50))

    reason_of_lost_rows(daemon)
    expected = 200 + 50 * traffic
    daemon.until("new messages are written", lambda: daemon.counts() == (expected, expected, 0))
