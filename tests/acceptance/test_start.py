"""An entry that begins at a time, beside rows that a predecessor wrote."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nats
import psycopg
from fix_daemon import WAIT_S, Daemon


def asked(daemon: Daemon, verb: str, **body: Any) -> dict[str, Any]:
    """Ask JetStream's API."""

    async def ask() -> dict[str, Any]:
        client = await nats.connect(daemon.servers.nats_url)
        answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{verb}", json.dumps(body).encode())).data)
        await client.close()
        assert "error" not in answer, answer
        return answer

    return asyncio.run(ask())


def begin_at(daemon: Daemon, seq: int) -> None:
    """Have the entry start at the time at which a message was stored."""
    stored = asked(daemon, "STREAM.MSG.GET.events", seq=seq)["message"]["time"]
    daemon.write_config(daemon.servers.nats_url, daemon.servers.postgres_dsn(), start=stored)


def until_written(daemon: Daemon, first: int, last: int) -> None:
    """Wait until there is a row of each of these numbers; claim that there is no other, and none twice."""
    wanted, until = list(range(first, last + 1)), time.monotonic() + WAIT_S
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        while True:
            rows = conn.execute("SELECT (metadata->>'n')::int AS n FROM timeseries_metrics ORDER BY 1").fetchall()
            if len(rows) >= len(wanted) or time.monotonic() > until:
                break
            time.sleep(0.05)
    assert wanted == [n for (n,) in rows]


def ledger(daemon: Daemon) -> list[str]:
    """Return the ranges of each row of the ledger, in the order of the incarnations."""
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        rows = conn.execute("SELECT committed::text FROM eventwriter_ledger ORDER BY incarnation").fetchall()
    return [text for (text,) in rows]


def verified(daemon: Daemon) -> list[dict[str, Any]]:
    """Return what `eventwriter-ctl verify` finds, for each slot."""
    ctl = Path(sys.executable).with_name("eventwriter-ctl")
    done = subprocess.run(
        [str(ctl), "--config", str(daemon.config), "verify", "--json"], capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr + done.stdout
    slots: list[dict[str, Any]] = json.loads(done.stdout)["slots"]
    return slots


def test_messages_before_the_start_are_left_alone(daemon: Daemon) -> None:
    """Every message from that time on is written once, also after the durable is deleted and recreated."""
    asyncio.run(daemon.publish(100))
    begin_at(daemon, 61)
    daemon.start()
    until_written(daemon, 60, 99)
    assert ["{[61,101)}"] == ledger(daemon)

    asked(daemon, "CONSUMER.DELETE.events.eventwriter-telemetry")
    asyncio.run(daemon.publish(20))

    until_written(daemon, 60, 119)
    assert ["{[61,121)}"] == ledger(daemon)
    (explained,) = verified(daemon)
    assert (True, [], 60) == (explained["balanced"], explained["gaps"], explained["sequences"]["known"]), explained


def test_stream_made_anew_is_written_from_its_beginning(daemon: Daemon) -> None:
    """All messages of a recreated stream are later than the start, whatever their sequences."""
    asyncio.run(daemon.publish(100))
    begin_at(daemon, 61)
    config = asked(daemon, "STREAM.INFO.events")["config"]
    daemon.start()
    until_written(daemon, 60, 99)

    asked(daemon, "STREAM.DELETE.events")
    asked(daemon, "STREAM.CREATE.events", **config)
    asyncio.run(daemon.publish(30))

    until_written(daemon, 60, 129)
    assert ["{[61,101)}", "{[1,31)}"] == ledger(daemon)
