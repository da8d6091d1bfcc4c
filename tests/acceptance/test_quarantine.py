"""A message that kills its worker becomes one dead letter; every other message becomes its rows, once."""

import asyncio
import json
import os
import random
import time

import nats
import psycopg
import pytest
from fix_daemon import Daemon
from fix_deadly_kind import ABORT, BLOCK, KIND, SEGFAULT, install

SEED = int(os.environ.get("EVENTWRITER_TEST_SEED", random.randrange(10**6)))
LETTERS = "SELECT stream_seq, reason, num_deliveries FROM eventwriter_dead_letters ORDER BY stream_seq"
GONE = "SELECT count(*) FROM eventwriter_suspects"


@pytest.fixture
def deadly_daemon(daemon: Daemon) -> Daemon:
    """A daemon whose entry has the custom kind `deadly`."""
    daemon.environ |= install(daemon.folder)
    config = json.loads(daemon.config.read_text())
    config["streams"][0]["kind"] = KIND
    daemon.config.write_text(json.dumps(config))
    return daemon


async def publish(daemon: Daemon, count: int, killers: set[int], mark: str = ABORT) -> None:
    """Publish numbered samples; those whose number is in `killers` contain `mark`."""
    client = await nats.connect(daemon.servers.nats_url)
    jetstream = client.jetstream(publish_async_max_pending=1000)
    stored = []
    for n in range(daemon.published, daemon.published + count):
        body = {"value": n, "metadata": {"n": n}} | ({"unit": mark} if n in killers else {})
        stored.append(await jetstream.publish_async("telemetry.test", json.dumps(body).encode()))
    for ack in stored:
        await ack
    daemon.published += count
    await client.close()


def read(daemon: Daemon, query: str) -> list[tuple]:
    """Return what a query finds."""
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        return conn.execute(query).fetchall()


def with_default_supervisor(daemon: Daemon, **supervisor: object) -> None:
    """Leave the supervisor's settings at their defaults, but for these."""
    config = json.loads(daemon.config.read_text())
    config["supervisor"] = supervisor
    daemon.config.write_text(json.dumps(config))


def states_seen(daemon: Daemon, until: float) -> set[str]:
    """Watch the slot until all is accounted for; return the states that it was in."""
    seen = set()
    while time.monotonic() < until:
        if status := daemon.status():
            seen.add(status["slots"][0]["state"])
        rows, _, dead = daemon.books()
        if rows + dead >= daemon.published:
            break
        time.sleep(0.1)
    return seen


@pytest.mark.parametrize("mark", [ABORT, SEGFAULT])
def test_one_killer_among_thousands(deadly_daemon: Daemon, mark: str) -> None:
    """With the default settings one killer costs five workers, and the slot never counts as failed."""
    daemon = deadly_daemon
    with_default_supervisor(daemon)
    asyncio.run(publish(daemon, 5000, {1234}, mark))
    began = time.monotonic()
    daemon.start()

    seen = states_seen(daemon, began + 60)
    took_s = time.monotonic() - began

    assert (4999, 4999, 1) == daemon.balance()
    (seq, reason, deliveries), *rest = read(daemon, LETTERS)
    assert (1235, "crash_loop", True, []) == (seq, reason, deliveries <= 6, rest)
    status = daemon.status()
    assert status is not None
    assert (True, False) == (status["slots"][0]["restarts"] <= 5, "failed" in seen)
    print(f"one killer ({mark}): all settled {took_s:.1f} s after the start")
    assert took_s < 30


def test_several_killers_among_thousands(deadly_daemon: Daemon) -> None:
    """With the default settings killers side by side, and in later batches, become dead letters; no slot fails."""
    daemon = deadly_daemon
    with_default_supervisor(daemon)
    killers = {0, 500, 501, 502, 9000, 29_999}
    asyncio.run(publish(daemon, 30_000, killers))
    began = time.monotonic()
    daemon.start()

    seen = states_seen(daemon, began + 120)
    took_s = time.monotonic() - began

    assert (30_000 - len(killers), 30_000 - len(killers), len(killers)) == daemon.balance()
    assert [(n + 1, "crash_loop") for n in sorted(killers)] == [letter[:2] for letter in read(daemon, LETTERS)]
    assert "failed" not in seen
    print(f"{len(killers)} killers: all settled {took_s:.1f} s after the start")


def test_killer_that_blocks(deadly_daemon: Daemon) -> None:
    """The supervisor kills a worker whose decoding never ends; its message is quarantined like others."""
    daemon = deadly_daemon
    with_default_supervisor(daemon, hang_max=2, heartbeat=0.5)
    asyncio.run(publish(daemon, 2000, {700}, BLOCK))
    daemon.start()

    seen = states_seen(daemon, time.monotonic() + 90)

    assert (1999, 1999, 1) == daemon.balance()
    assert [(701, "crash_loop")] == [letter[:2] for letter in read(daemon, LETTERS)]
    assert "failed" not in seen


def test_notes_are_deleted(deadly_daemon: Daemon) -> None:
    """No note is left once the suspected messages are settled and the time of quarantine is over."""
    daemon = deadly_daemon
    asyncio.run(publish(daemon, 1000, {10}))
    daemon.start()
    assert (999, 999, 1) == daemon.balance()
    assert read(daemon, GONE) > [(0,)]

    until = time.monotonic() + 90
    while read(daemon, GONE) != [(0,)] and time.monotonic() < until:
        time.sleep(0.5)

    assert [(0,)] == read(daemon, GONE)


def test_kills_and_reconnects_quarantine_no_message(daemon: Daemon) -> None:
    """Twenty kills of the worker between restarts of both servers lose, duplicate and quarantine no message."""
    print(f"seed {SEED}: EVENTWRITER_TEST_SEED={SEED} repeats this")
    rng = random.Random(SEED)
    daemon.start()

    kills = 0
    while kills < 20:
        asyncio.run(publish(daemon, rng.randrange(300, 1500), set()))
        time.sleep(rng.random() * 0.15)
        kills += daemon.kill_worker()
        if kills % 5 == 4:
            daemon.servers.nats.restart()
        if kills % 5 == 2:
            daemon.servers.postgres.restart()

    assert (daemon.published, daemon.published, 0) == daemon.balance()


@pytest.mark.parametrize(
    ("statement", "logged"),
    [
        ("DROP TABLE eventwriter_suspects", "eventwriter_suspects does not exist"),
        (
            "CREATE ROLE lesser LOGIN; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO lesser",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON",
        ),
    ],
    ids=["no table", "no privilege"],
)
def test_daemon_works_without_quarantine_table(daemon: Daemon, statement: str, logged: str) -> None:
    """A daemon that cannot write notes logs the reason and does all its other work."""
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute(statement)
    if "lesser" in statement:
        dsn = daemon.servers.postgres_dsn().replace("//postgres@", "//lesser@")
        daemon.write_config(daemon.servers.nats_url, dsn)
    daemon.start()
    asyncio.run(publish(daemon, 1000, set()))
    daemon.kill_worker()
    asyncio.run(publish(daemon, 1000, set()))

    assert (2000, 2000, 0) == daemon.balance()
    assert "no quarantine" in daemon.log()
    assert logged in daemon.log()
