"""Health of a daemon without messages: servers that are stopped, restarted or frozen, and a paused consumer."""

import datetime as dt
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import nats
import psycopg
import pytest
from fix_daemon import Daemon
from fix_stopped_servers import StoppablePostgres, slot_when
from fix_web import until

from eventwriter.control.client import Client


@pytest.fixture
def idle(daemon: Daemon) -> Daemon:
    """A started daemon whose stream is empty, with the default interval of NATS pings, which is longer."""
    config = json.loads(daemon.config.read_text())
    del config["nats"]["ping_interval"]
    daemon.config.write_text(json.dumps(config))
    daemon.start()
    slot_when(daemon, lambda slot: slot["health"] == "healthy" and slot["lag_messages"] == 0)
    return daemon


@pytest.fixture
def postgres(idle: Daemon) -> Iterator[StoppablePostgres]:
    """The idle daemon's PostgreSQL server; it continues after the test."""
    server = StoppablePostgres(idle.servers.postgres_dsn())
    yield server
    server.resume()


def messages(daemon: Daemon) -> list[str]:
    """Return the messages of the daemon's log in order."""
    return [json.loads(line).get("event", "") for line in daemon.log().splitlines() if line.startswith("{")]


async def test_stopped_postgres_is_reported_while_idle(idle: Daemon, postgres: StoppablePostgres) -> None:
    """A probe that PostgreSQL does not answer degrades an idle slot; after the server continues it is healthy."""
    postgres.stop()

    degraded = slot_when(idle, lambda slot: slot["health"] == "degraded")

    assert ("probe", 0) == (degraded["postgres_statement"], degraded["lag_messages"])
    postgres.resume()
    slot = slot_when(idle, lambda slot: slot["health"] == "healthy")
    assert None is slot["reason"]


async def test_closed_connection_is_reestablished_while_idle(idle: Daemon) -> None:
    """A connection that PostgreSQL closed is replaced without a message, and both events are logged."""
    with psycopg.connect(idle.servers.postgres_dsn(), autocommit=True) as conn:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        conn.execute(f"{others} AND backend_type = 'client backend'")

    slot = slot_when(idle, lambda slot: slot["postgres_reconnects"] == 1 and slot["postgres_connected"])

    said = until(lambda: "postgres connection lost" in (said := messages(idle)) and said, idle.log)
    assert said.index("postgres connection lost") < len(said) - 1 - said[::-1].index("postgres connected")
    assert ("healthy", 0) == (slot["health"], slot["lag_messages"])


def call(daemon: Daemon, verb: str, **fields: Any) -> None:
    """Send a request to the daemon."""
    client = Client(daemon.socket)
    client.call(verb, **fields)
    client.close()


def nats_pid(daemon: Daemon) -> int:
    """Return the process of the daemon's NATS server."""
    return daemon.servers.nats.pid


async def test_frozen_nats_is_reported_while_idle(idle: Daemon) -> None:
    """A NATS server that is stopped by SIGSTOP is named, then degrades the slot; after SIGCONT the slot is healthy."""
    os.kill(nats_pid(idle), signal.SIGSTOP)
    try:
        noticed = slot_when(idle, lambda slot: slot["reason"])
        slot_when(idle, lambda slot: slot["health"] == "degraded")
    finally:
        os.kill(nats_pid(idle), signal.SIGCONT)

    assert "NATS has not answered a JetStream request" in noticed["reason"]
    slot_when(idle, lambda slot: slot["health"] == "healthy" and slot["nats_unanswered_s"] == 0.0)
    await idle.publish(10)
    assert (10, 10, 0) == idle.settled_counts()


async def test_consumer_paused_in_jetstream_is_reported(idle: Daemon) -> None:
    """A consumer that was paused in JetStream shows as paused with the command that resumes it, until it is resumed."""
    client = await nats.connect(idle.servers.nats_url)
    until_text = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    name = (idle.status() or {})["slots"][0]["durable"]

    async def pause(end: str) -> None:
        subject = f"$JS.API.CONSUMER.PAUSE.events.{name}"
        answer = json.loads((await client.request(subject, json.dumps({"pause_until": end}).encode())).data)
        assert "error" not in answer, answer

    await pause(until_text)
    paused = slot_when(idle, lambda slot: slot["worker_state"] == "paused")
    await pause("0001-01-01T00:00:00Z")
    await client.close()

    assert ("degraded", True) == (paused["health"], f"nats consumer resume events {name}" in paused["reason"])
    slot_when(idle, lambda slot: slot["health"] == "healthy" and slot["worker_state"] == "running")


async def test_drained_daemon_says_nothing_about_its_servers(idle: Daemon) -> None:
    """Without a living worker the connections are unknown; the restart of an operator is counted separately."""
    call(idle, "drain", slot="all")

    drained = until(lambda: (status := idle.status()) and not status["nats"]["workers"] and status, idle.log)
    call(idle, "restart", slot="all")

    slot = slot_when(idle, lambda slot: slot["health"] == "healthy")
    assert (None, None) == (drained["nats"]["connected"], drained["postgres"]["connected"])
    assert (0, 1) == (slot["restarts"], slot["restarts_requested"])


def test_abort_of_the_supervisor_writes_its_stacks(daemon: Daemon) -> None:
    """SIGABRT, which systemd's watchdog sends, writes the stacks of the supervisor to the log."""
    daemon.start()
    until(lambda: (daemon.status() or {}).get("slots"), daemon.log)
    assert daemon.process is not None

    daemon.process.send_signal(signal.SIGABRT)
    daemon.process.wait(30)

    assert "Fatal Python error: Aborted" in daemon.log()
    assert "supervisor/main.py" in daemon.log()
