"""Several workers for one stream: shared out by subject, or sharing a durable; on one host or two."""

import asyncio
import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nats
import psycopg
import pytest
from fix_daemon import WAIT_S, Daemon

from eventwriter.demo.servers import EmbeddedServers

SEED = int(os.environ.get("EVENTWRITER_TEST_SEED", random.randrange(10**6)))


def key(n: int) -> str:
    """Return the subject of message `n`; there are forty."""
    return f"telemetry.k{n % 40}"


def configure(daemon: Daemon, **stream: Any) -> None:
    daemon.write_config(daemon.servers.nats_url, daemon.servers.postgres_dsn(), **stream)


def transform(daemon: Daemon, dest: str) -> None:
    """Have NATS write the partition's number into the subjects of what it stores."""

    async def update() -> None:
        client = await nats.connect(daemon.servers.nats_url)
        info = json.loads((await client.request("$JS.API.STREAM.INFO.events")).data)
        wanted = {**info["config"], "subject_transform": {"src": "telemetry.*", "dest": dest}}
        answer = json.loads((await client.request("$JS.API.STREAM.UPDATE.events", json.dumps(wanted).encode())).data)
        await client.close()
        assert "error" not in answer, answer

    asyncio.run(update())


@contextlib.contextmanager
def load(daemon: Daemon) -> Iterator[None]:
    """Publish all the while, from a thread of its own."""
    ended = threading.Event()

    def publish() -> None:
        while not ended.is_set():
            asyncio.run(daemon.publish(200, subject=key))
            time.sleep(0.03)  # some for those who write

    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        try:
            yield
        finally:
            ended.set()
        publishing.result(WAIT_S)


def kill_some(daemon: Daemon, rng: random.Random, times: int) -> None:
    """Kill a worker picked at random, again and again, at moments picked at random."""
    kills = 0
    while kills < times:
        time.sleep(rng.uniform(0.05, 0.6))
        status = daemon.status()
        pids = [slot["pid"] for slot in status["slots"] if slot["pid"]] if status else []
        if pids:
            with contextlib.suppress(ProcessLookupError):  # it was the one that was just killed
                os.kill(rng.choice(pids), signal.SIGKILL)
                kills += 1


def out_of_order(daemon: Daemon) -> int:
    """Count rows that were committed before an earlier message of the same subject."""
    with psycopg.connect(daemon.servers.postgres_dsn()) as conn:
        rows = conn.execute("SELECT (metadata->>'n')::int, created_at FROM timeseries_metrics ORDER BY 1").fetchall()
    latest: dict[int, Any] = {}
    wrong = 0
    for n, at in rows:
        wrong += at < latest.get(n % 40, at)
        latest[n % 40] = at
    return wrong


def partitions_written(daemon: Daemon) -> int:
    """Count the durables that have written; by the ledger, for a killed worker's last counts are not in `status`."""
    with psycopg.connect(daemon.servers.postgres_dsn()) as conn:
        found = conn.execute(
            "SELECT count(DISTINCT consumer) FROM eventwriter_ledger WHERE NOT isempty(committed)"
        ).fetchone()
    assert found is not None
    return int(found[0])


def at_rest(*daemons: Daemon) -> None:
    """Claim that in the end each ledger is one range of the first epoch, and all is answered and healthy."""
    until = time.monotonic() + WAIT_S
    while True:
        with psycopg.connect(daemons[0].servers.postgres_dsn()) as conn:
            ledgers = conn.execute("SELECT epoch, committed::text FROM eventwriter_ledger").fetchall()
        statuses = [daemon.status() or {"status": "none", "slots": []} for daemon in daemons]
        picture = (
            {epoch for epoch, _ in ledgers},
            max(ranges.count("[") for _, ranges in ledgers),
            sum(slot["ack_pending"] or 0 for status in statuses for slot in status["slots"]),
            {status["status"] for status in statuses},
        )
        if picture == ({0}, 1, 0, {"healthy"}) or time.monotonic() > until:
            break
        time.sleep(0.2)
    assert ({0}, 1, 0, {"healthy"}) == picture, (ledgers, [status.get("reason") for status in statuses])


@pytest.fixture
def second_host(tmp_path: Path, own_servers: EmbeddedServers) -> Iterator[Daemon]:
    """A second daemon, as on another host: a control socket of its own, the same durables."""
    folder = tmp_path / "other"
    folder.mkdir()
    one = Daemon(folder, own_servers)
    yield one
    one.kill()


WAYS = {
    "numbered by NATS": {"subject": "part.{partition}.>", "partitions": 4},
    "lists": {"partition_subjects": [[f"telemetry.k{n}" for n in range(first, 40, 2)] for first in (0, 1)]},
}


@pytest.mark.parametrize("way", WAYS)
def test_partitions_under_kills(daemon: Daemon, way: str) -> None:
    """Partitions by subject, their workers killed at random: every message has its row, once, and each worker works."""
    print(f"seed {SEED}")
    if way == "numbered by NATS":
        transform(daemon, "part.{{partition(4,1)}}.{{wildcard(1)}}")
    configure(daemon, **WAYS[way])
    daemon.start()

    with load(daemon):
        kill_some(daemon, random.Random(SEED), 8)

    rows, different, dead = daemon.balance()
    assert (daemon.published, daemon.published, 0) == (rows, different, dead)
    at_rest(daemon)
    assert (4 if way == "numbered by NATS" else 2) == partitions_written(daemon)


def test_order_is_kept_within_a_partition(daemon: Daemon) -> None:
    """Rows of one subject are committed in the order of its messages, also over a drain and a restart."""
    transform(daemon, "part.{{partition(4,1)}}.{{wildcard(1)}}")
    configure(daemon, **WAYS["numbered by NATS"])
    daemon.start()
    asyncio.run(daemon.publish(4000, subject=key))
    while not all(slot["rows_total"] for slot in (daemon.status() or {"slots": [{"rows_total": 0}]})["slots"]):
        time.sleep(0.05)
    assert 0 == daemon.stop()
    asyncio.run(daemon.publish(4000, subject=key))
    daemon.start()

    assert (8000, 8000, 0) == daemon.balance()
    assert 0 == out_of_order(daemon)


def test_order_survives_kills(daemon: Daemon) -> None:
    """Rows of one subject are committed in the order of its messages, whichever workers are killed."""
    print(f"seed {SEED}")
    transform(daemon, "part.{{partition(4,1)}}.{{wildcard(1)}}")
    configure(daemon, **WAYS["numbered by NATS"])
    daemon.start()

    with load(daemon):
        kill_some(daemon, random.Random(SEED), 10)

    rows, different, dead = daemon.balance()
    assert (daemon.published, daemon.published, 0) == (rows, different, dead)
    assert 0 == out_of_order(daemon)


def test_shared_durable_under_kills(daemon: Daemon) -> None:
    """Three workers on one durable, killed at random: every message has its row, once, and no epoch is begun."""
    print(f"seed {SEED}")
    configure(daemon, partitions=3, partition_mode="shared", ack_wait="2s")
    daemon.start()

    with load(daemon):
        kill_some(daemon, random.Random(SEED), 8)

    rows, different, dead = daemon.balance()
    assert (daemon.published, daemon.published, 0) == (rows, different, dead)
    at_rest(daemon)


def written(host: Daemon) -> int:
    """Return how many rows a host's workers have written since it was started."""
    return sum(slot["rows_total"] for slot in (host.status() or {"slots": []})["slots"])


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
def test_two_hosts_on_one_durable(daemon: Daemon, second_host: Daemon, mode: str) -> None:
    """Two supervisors on the same durable, each killed whole and started again under load: nothing lost or twice."""
    print(f"seed {SEED}")
    rng, hosts = random.Random(SEED), (daemon, second_host)
    for one in hosts:
        configure(one, partition_mode=mode, ack_wait="2s", **({"partitions": 2} if mode == "shared" else {}))
        one.start()
    until = time.monotonic() + WAIT_S
    while not all(one.status() for one in hosts) and time.monotonic() < until:
        time.sleep(0.05)

    with load(daemon):
        for victim in (*hosts, *hosts):
            time.sleep(rng.uniform(0.5, 1.5))
            victim.kill()
            time.sleep(rng.uniform(0.1, 0.5))
            victim.start()
        until = time.monotonic() + WAIT_S
        while not all(map(written, hosts)) and time.monotonic() < until:
            time.sleep(0.1)

    rows, different, dead = daemon.balance()
    assert (daemon.published, daemon.published, 0) == (rows, different, dead)
    at_rest(*hosts)
    assert all(map(written, hosts))
