"""Several workers for one stream: partitions by subject or a shared durable, on one host or two."""

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fix_daemon import WAIT_S, Daemon

from eventwriter.demo.servers import EmbeddedServers

SEED = int(os.environ.get("EVENTWRITER_TEST_SEED", random.randrange(10**6)))


def subject_of(n: int) -> str:
    """Return the subject of message `n`, one of forty."""
    return f"telemetry.k{n % 40}"


def configure(daemon: Daemon, **stream: Any) -> None:
    """Write the configuration with these keys of the entry."""
    daemon.write_config(daemon.servers.nats_url, daemon.servers.postgres_dsn(), **stream)


def partition_subjects(daemon: Daemon) -> None:
    """Let NATS insert one of four partition numbers into the subjects of stored messages."""
    transform = {"src": "telemetry.*", "dest": "part.{{partition(4,1)}}.{{wildcard(1)}}"}
    config = daemon.api("STREAM.INFO.events")["config"]
    daemon.api("STREAM.UPDATE.events", **{**config, "subject_transform": transform})


@contextlib.contextmanager
def load(daemon: Daemon) -> Iterator[None]:
    """Publish in another thread during the block."""
    ended = threading.Event()

    def publish() -> None:
        while not ended.is_set():
            asyncio.run(daemon.publish(200, subject=subject_of))
            time.sleep(0.03)  # leave processor time for the workers

    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        try:
            yield
        finally:
            ended.set()
        publishing.result(WAIT_S)


def kill_workers(daemon: Daemon, rng: random.Random, times: int) -> None:
    """Kill random workers at random moments."""
    kills = 0
    while kills < times:
        time.sleep(rng.uniform(0.05, 0.6))
        status = daemon.status()
        pids = [slot["pid"] for slot in status["slots"] if slot["pid"]] if status else []
        if pids:
            with contextlib.suppress(ProcessLookupError):  # the worker that was just killed
                os.kill(rng.choice(pids), signal.SIGKILL)
                kills += 1


def out_of_order(daemon: Daemon) -> int:
    """Count the rows that were committed before an earlier message of the same subject."""
    latest: dict[int, Any] = {}
    count = 0
    for n, at in daemon.sql("SELECT (metadata->>'n')::int, created_at FROM timeseries_metrics ORDER BY 1"):
        count += at < latest.get(n % 40, at)
        latest[n % 40] = at
    return count


def durables_written(daemon: Daemon) -> int:
    """Return the number of durables with rows, from the ledger: `status` lacks the last counts of killed workers."""
    query = "SELECT count(DISTINCT consumer) FROM eventwriter_ledger WHERE NOT isempty(committed)"
    return int(daemon.sql(query)[0][0])


def until_settled(*daemons: Daemon) -> None:
    """Wait until each ledger row is one range of the first epoch, all is acknowledged, and all daemons are healthy."""

    def is_settled() -> bool:
        ledger = daemons[0].sql("SELECT epoch, committed::text FROM eventwriter_ledger")
        statuses = [daemon.status() or {"status": "none", "slots": []} for daemon in daemons]
        return (
            all(epoch == 0 and ranges.count("[") == 1 for epoch, ranges in ledger)
            and all(status["status"] == "healthy" for status in statuses)
            and not any(slot["ack_pending"] for status in statuses for slot in status["slots"])
        )

    daemons[0].until("settled", is_settled)


@pytest.fixture
def second_host(tmp_path: Path, own_servers: EmbeddedServers) -> Iterator[Daemon]:
    """A second daemon, as on another host: its own control socket, the same durables."""
    folder = tmp_path / "other"
    folder.mkdir()
    second = Daemon(folder, own_servers)
    yield second
    second.kill()


NUMBERED: dict[str, Any] = {"subject": "part.{partition}.>", "partitions": 4}
LISTED: dict[str, Any] = {"partition_subjects": [[f"telemetry.k{n}" for n in range(first, 40, 2)] for first in (0, 1)]}


@pytest.mark.parametrize(("entry", "durables"), [(NUMBERED, 4), (LISTED, 2)], ids=["numbered by NATS", "listed"])
def test_killed_workers_of_partitions(daemon: Daemon, entry: dict[str, Any], durables: int) -> None:
    """With partitions by subject and random kills every message is one row, and every partition is written."""
    print(f"repeat this run with EVENTWRITER_TEST_SEED={SEED}")
    if entry is NUMBERED:
        partition_subjects(daemon)
    configure(daemon, **entry)
    daemon.start()

    with load(daemon):
        kill_workers(daemon, random.Random(SEED), 8)

    assert (daemon.published, daemon.published, 0) == daemon.settled_counts()
    until_settled(daemon)
    assert durables == durables_written(daemon)


def test_order_is_kept_within_a_partition(daemon: Daemon) -> None:
    """Rows of one subject are committed in the order of its messages, even across a drain and a restart."""
    partition_subjects(daemon)
    configure(daemon, **NUMBERED)
    daemon.start()
    asyncio.run(daemon.publish(4000, subject=subject_of))
    daemon.until(
        "every worker writes", lambda: (status := daemon.status()) and all(s["rows_total"] for s in status["slots"])
    )
    assert 0 == daemon.stop()
    asyncio.run(daemon.publish(4000, subject=subject_of))
    daemon.start()

    assert (8000, 8000, 0) == daemon.settled_counts()
    assert 0 == out_of_order(daemon)


def test_order_survives_kills(daemon: Daemon) -> None:
    """Rows of one subject are committed in the order of its messages, regardless of killed workers."""
    print(f"repeat this run with EVENTWRITER_TEST_SEED={SEED}")
    partition_subjects(daemon)
    configure(daemon, **NUMBERED)
    daemon.start()

    with load(daemon):
        kill_workers(daemon, random.Random(SEED), 10)

    assert (daemon.published, daemon.published, 0) == daemon.settled_counts()
    assert 0 == out_of_order(daemon)


def test_killed_workers_of_a_shared_durable(daemon: Daemon) -> None:
    """With three workers on one durable and random kills every message is one row, and no epoch starts."""
    print(f"repeat this run with EVENTWRITER_TEST_SEED={SEED}")
    configure(daemon, partitions=3, partition_mode="shared", ack_wait="2s")
    daemon.start()

    with load(daemon):
        kill_workers(daemon, random.Random(SEED), 8)

    assert (daemon.published, daemon.published, 0) == daemon.settled_counts()
    until_settled(daemon)


def written(host: Daemon) -> int:
    """Return the number of rows that a host has written since its start."""
    return sum(slot["rows_total"] for slot in (host.status() or {"slots": []})["slots"])


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
def test_two_hosts_on_one_durable(daemon: Daemon, second_host: Daemon, mode: str) -> None:
    """Two daemons on the same durable, each killed and restarted under load, lose and duplicate nothing."""
    print(f"repeat this run with EVENTWRITER_TEST_SEED={SEED}")
    rng, hosts = random.Random(SEED), (daemon, second_host)
    for host in hosts:
        configure(host, partition_mode=mode, ack_wait="2s", **({"partitions": 2} if mode == "shared" else {}))
        host.start()
    daemon.until("both have started", lambda: all(host.status() for host in hosts))

    with load(daemon):
        for victim in (*hosts, *hosts):
            time.sleep(rng.uniform(0.5, 1.5))
            victim.kill()
            time.sleep(rng.uniform(0.1, 0.5))
            victim.start()
        daemon.until("both have written", lambda: all(map(written, hosts)))

    assert (daemon.published, daemon.published, 0) == daemon.settled_counts()
    until_settled(*hosts)
