"""Health of a daemon whose PostgreSQL does not answer: stopped by SIGSTOP, and blocked by a lock."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from fix_daemon import Daemon
from fix_stopped_servers import StoppablePostgres, slot_when
from fix_web import until


@pytest.fixture
def running(daemon: Daemon) -> Daemon:
    """A started daemon with the default statement timeout, which is longer than the health rules need."""
    config = json.loads(daemon.config.read_text())
    del config["postgres"]["statement_timeout"]
    daemon.config.write_text(json.dumps(config))
    daemon.start()
    until(lambda: (daemon.status() or {}).get("status") == "healthy", daemon.log)
    return daemon


@pytest.fixture
def postgres(running: Daemon) -> Iterator[StoppablePostgres]:
    """The daemon's PostgreSQL server; it continues after the test."""
    server = StoppablePostgres(running.servers.postgres_dsn())
    yield server
    server.resume()


async def test_stopped_server_is_reported_by_the_slot(running: Daemon, postgres: StoppablePostgres) -> None:
    """A statement that a stopped server does not answer gives a reason, then degrades the slot, and counts as copy."""
    await running.publish(10)
    until(lambda: running.counts()[1] == 10, running.log)
    postgres.stop()
    await running.publish(10)

    noticed = slot_when(running, lambda slot: slot["reason"])
    degraded = slot_when(running, lambda slot: slot["health"] == "degraded")

    assert ("healthy", "running") == (noticed["health"], noticed["worker_state"])
    assert noticed["postgres_statement"] in ("BEGIN", "COPY", "ledger update", "COMMIT")
    assert "PostgreSQL has not answered a " in degraded["reason"]
    copy_s = [slot["histograms"]["stage_s"]["copy"]["sum"] for slot in (noticed, degraded)]
    assert copy_s[1] - copy_s[0] >= 3.0


async def test_continued_server_makes_the_slot_healthy(running: Daemon, postgres: StoppablePostgres) -> None:
    """When the server answers again, the slot is healthy without a reason, and every message is written once."""
    postgres.stop()
    await running.publish(10)
    slot_when(running, lambda slot: slot["health"] == "degraded")

    postgres.resume()

    slot = slot_when(running, lambda slot: slot["health"] == "healthy" and slot["lag_messages"] == 0)
    assert (None, None, 0.0) == (slot["reason"], slot["postgres_statement"], slot["postgres_unanswered_s"])
    assert (10, 10, 0) == running.settled_counts()


async def test_locked_table_names_the_blocking_session(running: Daemon) -> None:
    """A COPY that waits for a lock names the session that holds it, before and after the lock timeout."""
    with psycopg.connect(running.servers.postgres_dsn(), application_name="maintenance") as conn:
        conn.execute("LOCK TABLE timeseries_metrics IN ACCESS EXCLUSIVE MODE")
        holder = f"session {conn.info.backend_pid} ("
        await running.publish(10)

        blocked = slot_when(running, lambda slot: slot["postgres_blocked_by"] and slot["worker_state"] == "running")
        degraded = slot_when(running, lambda slot: slot["health"] == "degraded")
        waiting = slot_when(running, lambda slot: slot["worker_state"] == "waiting")

        assert blocked["postgres_blocked_by"].startswith(holder)
        assert "maintenance" in blocked["postgres_blocked_by"]
        # A batch begins with a check of its tables, which waits for the same lock as its COPY.
        assert blocked["postgres_statement"] in ("BEGIN", "COPY")
        assert all(holder in slot["reason"] for slot in (degraded, waiting))

    slot = slot_when(running, lambda slot: slot["health"] == "healthy" and slot["lag_messages"] == 0)
    assert (None, None) == (slot["reason"], slot["postgres_blocked_by"])
    assert (10, 10, 0) == running.settled_counts()


async def test_commit_without_standby_is_reported(running: Daemon) -> None:
    """A COMMIT that waits for a missing synchronous standby is named, and its time counts in the stage commit."""
    with psycopg.connect(running.servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
        conn.execute("SELECT pg_reload_conf()")
        await running.publish(10)

        slot = slot_when(running, lambda slot: slot["reason"])

        conn.execute("ALTER SYSTEM RESET synchronous_standby_names")
        conn.execute("SELECT pg_reload_conf()")
    assert ("COMMIT", True) == (slot["postgres_statement"], "a COMMIT" in slot["reason"])
    assert slot["histograms"]["stage_s"]["commit"]["sum"] >= 2.0
    slot_when(running, lambda slot: slot["health"] == "healthy" and slot["lag_messages"] == 0)
    assert (10, 10, 0) == running.settled_counts()
