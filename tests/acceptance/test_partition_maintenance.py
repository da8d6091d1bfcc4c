"""Partition maintenance of the tables while the daemon writes to them."""

import asyncio
import datetime as dt
import json
import threading
from collections import Counter
from typing import Any

import nats
import psycopg
from fix_daemon import Daemon
from fix_storage import run_maintenance

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.partitions.executor import Report
from eventwriter.postgres.partitions.maintain import Task


def configure(daemon: Daemon, **section: Any) -> None:
    """Write the section `storage` of the configuration."""
    given = json.loads(daemon.config.read_text())
    daemon.config.write_text(json.dumps({**given, "storage": section}))


def storage_status(daemon: Daemon) -> dict[str, Any]:
    """Return the section `storage` of the slot's status."""
    return daemon.slot().get("storage") or {}


async def publish(daemon: Daemon, now: dt.datetime, count: int, hours: int) -> None:
    """Publish samples whose times cycle through the last hours."""
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
    """Thread that creates hourly partitions, moves rows into them and drops them, without a pause."""

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
            # Every other run pretends to be in the past, so that there is always an expired partition to drop.
            at = self.now if turn % 2 else self.now - dt.timedelta(days=30 + turn)
            task = Task("public", {"timeseries_metrics": "timestamp"}, storage, at)
            self.reports += run_maintenance(self.dsn, task, attempts=5)
            turn += 1


def test_maintenance_loses_and_duplicates_no_rows(daemon: Daemon) -> None:
    """Rows are in the table once, even late ones that are moved while others arrive; none becomes a dead letter."""
    now = dt.datetime.now(dt.UTC)
    daemon.start()
    maintainer = Maintainer(daemon.servers.postgres_dsn(), now)
    maintainer.start()
    try:
        for _ in range(8):
            asyncio.run(publish(daemon, now, 2500, hours=200))
        daemon.settled_counts()
    finally:
        maintainer.over.set()
        maintainer.join()

    # Counted after the maintenance: a query that is planned before a partition is created and runs afterwards reads
    # neither the rows in it nor those that were moved out of the default partition.
    assert (20_000, 20_000, 0) == daemon.counts()
    assert [] == [report.text for report in maintainer.reports if report.undone and not report.retryable]
    counts = Counter(report.code for report in maintainer.reports if report.changed)
    moved = sum(report.rows for report in maintainer.reports if report.code == "partition_created")
    assert min(counts["partition_created"], counts["partition_dropped"], moved) >= 5, counts


def test_daemon_maintains_its_tables(daemon: Daemon) -> None:
    """With `maintain`, the daemon creates partitions for late rows and drops old ones, and reports it in the status."""
    configure(daemon, maintain=True, every="1s", keep="20d")
    now = dt.datetime.now(dt.UTC)
    daemon.start()
    asyncio.run(publish(daemon, now, 300, hours=24 * 60))

    daemon.until("written", lambda: (daemon.slot().get("lag_messages"), daemon.slot().get("rows_total")) == (0, 300))

    def is_maintained() -> bool:
        storage = storage_status(daemon)
        return (True, 0, []) == (storage.get("maintains"), storage.get("default_rows"), storage.get("warnings"))

    def oldest_row() -> dt.datetime:
        oldest: dt.datetime = daemon.sql("SELECT min(timestamp) FROM timeseries_metrics")[0][0]
        return oldest

    daemon.until("maintained", is_maintained)
    daemon.until("old rows are dropped", lambda: now - dt.timedelta(days=21) < oldest_row())
    assert oldest_row() < now - dt.timedelta(days=15)
    assert 0 == daemon.stop()


def test_blocked_maintenance_does_not_block_writing(daemon: Daemon) -> None:
    """A blocked maintenance step is a warning in status and retried; messages are written in the meantime."""
    configure(daemon, maintain=True, every="1s", ahead=12)
    with psycopg.connect(daemon.servers.postgres_dsn()) as reader:
        reader.execute("SELECT count(*) FROM timeseries_metrics_default")
        daemon.start()
        (warning,) = daemon.until("warned", lambda: storage_status(daemon).get("warnings"))
        asyncio.run(publish(daemon, dt.datetime.now(dt.UTC), 500, hours=1))
        written = daemon.settled_counts()
        assert "healthy" == daemon.slot()["health"]
    assert "timeseries_metrics" in warning
    assert (500, 500, 0) == written
    daemon.until("no longer warned", lambda: storage_status(daemon).get("warnings") == [])


def test_daemon_without_maintenance_only_warns(daemon: Daemon) -> None:
    """By default the daemon issues no DDL; it warns of missing partitions."""
    partitions = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'timeseries_metrics'::regclass"
    for (name,) in daemon.sql(partitions):
        if not name.endswith("_default"):
            daemon.sql(f"DROP TABLE {name}")
    daemon.start()

    (warning,) = daemon.until("warned", lambda: storage_status(daemon).get("warnings"))

    assert "timeseries_metrics" in warning
    asyncio.run(publish(daemon, dt.datetime.now(dt.UTC), 50, hours=1))
    assert (50, 50, 0) == daemon.settled_counts()
    assert [("timeseries_metrics_default",)] == daemon.sql(partitions)
