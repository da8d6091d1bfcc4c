"""An entry with a start time, in a database with rows of an earlier writer."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fix_daemon import Daemon


def start_at(daemon: Daemon, seq: int) -> None:
    """Set the start of the entry to the time at which a message was stored."""
    stored = daemon.api("STREAM.MSG.GET.events", seq=seq)["message"]["time"]
    daemon.write_config(daemon.servers.nats_url, daemon.servers.postgres_dsn(), start=stored)


def until_written(daemon: Daemon, first: int, last: int) -> None:
    """Wait until each of these numbers has a row; check that no other row and no duplicate exists."""
    numbers = "SELECT (metadata->>'n')::int FROM timeseries_metrics ORDER BY 1"
    rows = daemon.until("written", lambda: len(rows := daemon.sql(numbers)) > last - first and rows)
    assert list(range(first, last + 1)) == [n for (n,) in rows]


def ledger(daemon: Daemon) -> list[str]:
    """Return the committed ranges of each ledger row, in the order of the incarnations."""
    return [ranges for (ranges,) in daemon.sql("SELECT committed::text FROM eventwriter_ledger ORDER BY incarnation")]


def verify(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the result of `eventwriter-ctl verify` for each slot."""
    ctl = Path(sys.executable).with_name("eventwriter-ctl")
    done = subprocess.run(
        [str(ctl), "--config", str(daemon.config), "verify", "--json"], capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr + done.stdout
    slots: list[dict[str, Any]] = json.loads(done.stdout)["slots"]
    return slots


def test_messages_before_the_start_are_not_written(daemon: Daemon) -> None:
    """Every message from the start on is written once, also after the durable is deleted and recreated."""
    asyncio.run(daemon.publish(100))
    start_at(daemon, 61)
    daemon.start()
    until_written(daemon, 60, 99)
    assert ["{[61,101)}"] == ledger(daemon)

    daemon.api("CONSUMER.DELETE.events.eventwriter-telemetry")
    asyncio.run(daemon.publish(20))

    until_written(daemon, 60, 119)
    assert ["{[61,121)}"] == ledger(daemon)
    (slot,) = verify(daemon)
    assert (True, [], 60) == (slot["balanced"], slot["gaps"], slot["sequences"]["known"]), slot


def test_recreated_stream_is_written_from_its_first_message(daemon: Daemon) -> None:
    """All messages of a recreated stream are later than the start, regardless of their sequences."""
    asyncio.run(daemon.publish(100))
    start_at(daemon, 61)
    config = daemon.api("STREAM.INFO.events")["config"]
    daemon.start()
    until_written(daemon, 60, 99)

    daemon.api("STREAM.DELETE.events")
    daemon.api("STREAM.CREATE.events", **config)
    asyncio.run(daemon.publish(30))

    until_written(daemon, 60, 129)
    assert ["{[61,101)}", "{[1,31)}"] == ledger(daemon)
