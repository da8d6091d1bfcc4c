"""The daemon and the care for its tables, at the same time."""

import asyncio
import datetime as dt
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import nats
import psycopg
from fix_daemon import WAIT_S, Daemon
from fix_storage import run_maintenance

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.partitions.executor import Report
from eventwriter.postgres.partitions.maintain import Task


def configure(daemon: Daemon, **section: Any) -> None:
    """Put `storage` into the daemon's file."""
    given = json.loads(daemon.config.read_text())
    daemon.config.write_text(json.dumps({**given, "storage": section}))


def until(wanted: Callable[[], Any], daemon: Daemon) -> Any:
    """Wait for something to be so, and return it."""
    limit_s = time.monotonic() + WAIT_S
    while time.monotonic() < limit_s:
        if found := wanted():
            return found
        time.sleep(0.1)
    raise AssertionError(f"never so: {daemon.status()}\n{daemon.log()[-4000:]}")


def storage_of(daemon: Daemon) -> dict[str, Any]:
    """Return what the daemon says of its tables."""
    status = daemon.status()
    found: dict[str, Any] = (status["slots"][0]["storage"] if status else None) or {}
    return found


async def publish(daemon: Daemon, now: dt.datetime, count: int, hours: int) -> None:
    """Publish samples whose times go through the last so many hours, again and again."""
    client = await nats.connect(daemon.servers.nats_url)
    jetstream = client.jetstream(publish_async_max_pending=1000)
    stored = []
    for n in range(daemon.published, daemon.published + count):
        at = now - dt.timedelta(hours=n * 7 % hours)
        body = {"value": n, "timestamp": at.isoformat(), "metadata": {"n": n}}
        stored.append(await jetstream.publish_async("telemetry.test", json.dumps(body).encode()))
    for ack in stored:
        await ack
    daemon.published += count
    await client.close()


class Maintainer(threading.Thread):
    """Makes, moves and drops partitions of an hour each, without a pause."""

    def __init__(self, dsn: str, now: dt.datetime) -> None:
        super().__init__()
        self.dsn, self.now = dsn, now
        self.over = threading.Event()
        self.reports: list[Report] = []

    def run(self) -> None:
        options = {"partition": "1h", "ahead": 3, "behind": 1000, "keep": "10d"}
        storage = StorageSettings.model_validate(options)
        turn = 0
        while not self.over.is_set():
            # Every other run is in the past, so that there is always an expired partition to drop.
            at = self.now if turn % 2 else self.now - dt.timedelta(days=30 + turn)
            task = Task("public", {"timeseries_metrics": "timestamp"}, storage, at)
            self.reports += run_maintenance(self.dsn, task, attempts=5)
            turn += 1


def test_writer_loses_nothing_while_partitions_come_and_go(daemon: Daemon) -> None:
    """Rows, also late ones that move while more of their kind arrive, are in the table once; none is a dead letter."""
    now = dt.datetime.now(dt.UTC)
    daemon.start()
    maintainer = Maintainer(daemon.servers.postgres_dsn(), now)
    maintainer.start()
    try:
        for _ in range(8):
            asyncio.run(publish(daemon, now, 2500, hours=200))
        daemon.balance()
    finally:
        maintainer.over.set()
        maintainer.join()

    # Counted once nothing moves: a query that was planned before a partition came, and runs afterwards, reads neither
    # the rows in it nor those that left the default partition for it.
    assert (20_000, 20_000, 0) == daemon.books()
    assert [] == [report.text for report in maintainer.reports if report.undone and not report.retryable]
    counts = Counter(report.code for report in maintainer.reports if report.changed)
    moved = sum(report.rows for report in maintainer.reports if report.code == "partition_created")
    assert min(counts["partition_created"], counts["partition_dropped"], moved) >= 5, counts


def test_daemon_looks_after_its_tables(daemon: Daemon) -> None:
    """With `maintain`, late rows get their partitions and old ones go, while the line runs; status tells of it."""
    configure(daemon, maintain=True, every="1s", keep="20d")
    now = dt.datetime.now(dt.UTC)
    daemon.start()
    asyncio.run(publish(daemon, now, 300, hours=24 * 60))

    def idle() -> bool:
        status = daemon.status()
        return bool(status and status["slots"][0]["lag_messages"] == 0 and status["slots"][0]["rows_total"] == 300)

    until(idle, daemon)
    looks = [storage_of(daemon).get("looked_at_ns")]
    for _ in range(2):  # the first may have begun before the last row was there
        looks.append(until(lambda: (at := storage_of(daemon).get("looked_at_ns")) != looks[-1] and at, daemon))

    state = storage_of(daemon)
    assert (True, 0, []) == (state["maintains"], state["default_rows"], state["warnings"])
    with psycopg.connect(daemon.servers.postgres_dsn()) as conn:
        oldest = conn.execute("SELECT min(timestamp) FROM timeseries_metrics").fetchone()
    assert oldest is not None
    assert now - dt.timedelta(days=21) < oldest[0] < now - dt.timedelta(days=15)
    assert "moved into it" in daemon.log()
    assert 0 == daemon.stop()


def test_daemon_that_cannot_look_after_its_tables_goes_on_writing(daemon: Daemon) -> None:
    """A blocked maintenance step is a warning in status and retried; messages are written in the meantime."""
    configure(daemon, maintain=True, every="1s", ahead=12)
    with psycopg.connect(daemon.servers.postgres_dsn()) as reader:
        reader.execute("SELECT count(*) FROM timeseries_metrics_default")
        daemon.start()
        warnings = until(lambda: storage_of(daemon).get("warnings"), daemon)
        asyncio.run(publish(daemon, dt.datetime.now(dt.UTC), 500, hours=1))
        written = daemon.balance()
        assert daemon.status()["slots"][0]["health"] == "healthy"  # type: ignore[index]
    assert "timeseries_metrics: partition" in warnings[0]
    assert "was not created" in warnings[0]
    assert (500, 500, 0) == written
    until(lambda: storage_of(daemon).get("warnings") == [], daemon)


def test_daemon_without_maintenance_changes_nothing_and_says_what_is_due(daemon: Daemon) -> None:
    """By default the daemon issues no DDL; of partitions that run out it warns."""
    with psycopg.connect(daemon.servers.postgres_dsn()) as conn:
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'timeseries_metrics'::regclass"
        names = [row[0] for row in conn.execute(query).fetchall() if not row[0].endswith("_default")]
        for name in names:
            conn.execute(f"DROP TABLE {name}")  # type: ignore[call-overload]
    daemon.start()

    (warning,) = until(lambda: storage_of(daemon).get("warnings"), daemon)

    assert warning.startswith("timeseries_metrics: it has no partition for now")
    asyncio.run(publish(daemon, dt.datetime.now(dt.UTC), 50, hours=1))
    assert (50, 50, 0) == daemon.balance()
    with psycopg.connect(daemon.servers.postgres_dsn()) as conn:
        count = conn.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'timeseries_metrics'::regclass")
        assert (1,) == count.fetchone()
