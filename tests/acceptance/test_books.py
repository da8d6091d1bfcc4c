"""Every published message becomes its rows, or a dead letter, never neither, never twice."""

import asyncio
import os
import random
import signal
import time

import nats
import pytest
from fix_daemon import Daemon
from fix_fault_points import FAULT_POINTS, FaultPoints

SEED = int(os.environ.get("EVENTWRITER_TEST_SEED", random.randrange(10**6)))


def test_garbage_becomes_dead_letters_and_neighbours_are_written(daemon: Daemon) -> None:
    """Garbage on the subject becomes dead letters; the messages around it become rows."""
    daemon.start()

    asyncio.run(daemon.publish(2000, garbage_every=50))

    assert (1960, 1960, 40) == daemon.balance()
    assert 0 == daemon.stop()


def test_worker_killed_at_random_moments(daemon: Daemon) -> None:
    """Twenty kills of the worker under load lose nothing and double nothing."""
    print(f"seed {SEED}: EVENTWRITER_TEST_SEED={SEED} repeats this")
    rng = random.Random(SEED)
    daemon.start()

    kills = 0
    while kills < 20:
        asyncio.run(daemon.publish(rng.randrange(300, 1500), garbage_every=100))
        time.sleep(rng.random() * 0.15)
        kills += daemon.kill_worker()

    rows, different, dead = daemon.balance()
    assert (daemon.published, rows) == (rows + dead, different)


def test_supervisor_killed(daemon: Daemon) -> None:
    """After a kill of the supervisor its workers exit, and the next daemon continues where the ledger ends."""
    daemon.start()
    asyncio.run(daemon.publish(3000))
    worker = None
    until = time.monotonic() + 20
    while worker is None and time.monotonic() < until:
        worker = daemon.worker_pid()
    assert worker is not None

    daemon.kill()
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < until:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")
    asyncio.run(daemon.publish(1000))
    daemon.start()

    assert (4000, 4000, 0) == daemon.balance()


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_worker_killed_at_each_point_of_a_batch(fault_points: FaultPoints, point: str) -> None:
    """A worker that is killed at any point in the life of a batch, again and again, loses and duplicates nothing."""
    daemon = fault_points.daemon
    daemon.start()
    for _ in range(3):
        fault_points.kill_at(point)
        asyncio.run(daemon.publish(1000))
        fault_points.wait_for_kill()

    assert (3000, 3000, 0) == daemon.balance()
    status = daemon.status()
    assert status is not None
    slot = status["slots"][0]
    assert slot["restarts"] >= 3
    if point == "after_commit":
        assert slot["already_written_total"] > 0, "the ledger recognizes what was committed"


def test_servers_restarted(daemon: Daemon) -> None:
    """Restarts of NATS and of PostgreSQL under load lose nothing and double nothing."""
    daemon.start()
    asyncio.run(daemon.publish(3000))
    daemon.servers.postgres.restart()
    asyncio.run(daemon.publish(3000))
    daemon.servers.nats.restart()
    asyncio.run(daemon.publish(3000))
    daemon.servers.postgres.kill()
    daemon.servers.postgres.start()
    asyncio.run(daemon.publish(1000))

    assert (10000, 10000, 0) == daemon.balance()


def test_consumer_deleted_by_hand(daemon: Daemon) -> None:
    """A deleted consumer is recreated, and messages in the ledger are not written again."""

    async def delete() -> None:
        client = await nats.connect(daemon.servers.nats_url)
        await client.jetstream().delete_consumer("events", "eventwriter-telemetry")
        await client.close()

    daemon.start()
    asyncio.run(daemon.publish(2000))
    assert (2000, 2000, 0) == daemon.balance()
    asyncio.run(delete())
    asyncio.run(daemon.publish(2000))

    assert (4000, 4000, 0) == daemon.balance()


def test_whole_stream_replayed(daemon: Daemon) -> None:
    """A consumer recreated at the start of the stream redelivers everything; the ledger prevents duplicates."""

    async def recreate() -> None:
        client = await nats.connect(daemon.servers.nats_url)
        jetstream = client.jetstream()
        await jetstream.delete_consumer("events", "eventwriter-telemetry")
        await jetstream.add_consumer(
            "events", durable_name="eventwriter-telemetry", ack_policy="explicit", filter_subject="telemetry.>"
        )
        await client.close()

    daemon.start()
    asyncio.run(daemon.publish(2000))
    assert (2000, 2000, 0) == daemon.balance()
    assert 0 == daemon.stop()
    asyncio.run(recreate())
    daemon.start()
    asyncio.run(daemon.publish(500))

    assert (2500, 2500, 0) == daemon.balance()
    time.sleep(1.5)
    status = daemon.status()
    assert status is not None
    assert 2000 == status["slots"][0]["already_written_total"]


def test_stopped_server_goes_on(daemon: Daemon) -> None:
    """A PostgreSQL that stops without closing its connections only delays: nothing is lost or doubled."""
    daemon.start()
    asyncio.run(daemon.publish(500))
    assert (500, 500, 0) == daemon.balance()
    os.kill(daemon.servers.postgres.pid, signal.SIGSTOP)
    asyncio.run(daemon.publish(500))
    time.sleep(1)
    os.kill(daemon.servers.postgres.pid, signal.SIGCONT)

    assert (1000, 1000, 0) == daemon.balance()
