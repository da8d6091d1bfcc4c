"""Every published message becomes its rows or one dead letter: no message is lost or duplicated."""

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


def test_garbage_becomes_dead_letters(daemon: Daemon) -> None:
    """Garbage becomes dead letters; the valid messages of the same batches become rows."""
    daemon.start()

    asyncio.run(daemon.publish(2000, garbage_every=50))

    assert (1960, 1960, 40) == daemon.settled_counts()
    assert 0 == daemon.stop()


def test_worker_killed_at_random_moments(daemon: Daemon) -> None:
    """Twenty kills of the worker under load lose and duplicate nothing."""
    print(f"repeat this run with EVENTWRITER_TEST_SEED={SEED}")
    rng = random.Random(SEED)
    daemon.start()

    kills = 0
    while kills < 20:
        asyncio.run(daemon.publish(rng.randrange(300, 1500), garbage_every=100))
        time.sleep(rng.random() * 0.15)
        kills += daemon.kill_worker()

    rows, distinct, dead = daemon.settled_counts()
    assert (daemon.published, rows) == (rows + dead, distinct)


def test_supervisor_killed(daemon: Daemon) -> None:
    """When the supervisor is killed its workers exit, and the next daemon continues where the ledger ends."""
    daemon.start()
    asyncio.run(daemon.publish(3000))
    worker = daemon.until("started", daemon.worker_pid)

    daemon.kill()
    daemon.until("the worker exited", lambda: not os.path.exists(f"/proc/{worker}"))
    asyncio.run(daemon.publish(1000))
    daemon.start()

    assert (4000, 4000, 0) == daemon.settled_counts()


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_worker_killed_at_each_point_of_a_batch(fault_points: FaultPoints, point: str) -> None:
    """A worker that is killed repeatedly at any point of a batch loses and duplicates nothing."""
    daemon = fault_points.daemon
    daemon.start()
    for _ in range(3):
        fault_points.kill_at(point)
        asyncio.run(daemon.publish(1000))
        fault_points.wait_for_kill()

    assert (3000, 3000, 0) == daemon.settled_counts()
    # Two of the kills may hit the same worker.
    daemon.until("restarted", lambda: daemon.slot()["restarts"] >= 2)
    if point == "after_commit":
        daemon.until("skipped by the ledger", lambda: daemon.slot()["already_written_total"] > 0)


def test_servers_restarted(daemon: Daemon) -> None:
    """Restarts of NATS and PostgreSQL under load lose and duplicate nothing."""
    daemon.start()
    asyncio.run(daemon.publish(3000))
    daemon.servers.postgres.restart()
    asyncio.run(daemon.publish(3000))
    daemon.servers.nats.restart()
    asyncio.run(daemon.publish(3000))
    daemon.servers.postgres.kill()
    daemon.servers.postgres.start()
    asyncio.run(daemon.publish(1000))

    assert (10000, 10000, 0) == daemon.settled_counts()


def test_consumer_deleted(daemon: Daemon) -> None:
    """A deleted consumer is recreated, and messages in the ledger are not written again."""
    daemon.start()
    asyncio.run(daemon.publish(2000))
    assert (2000, 2000, 0) == daemon.settled_counts()
    daemon.api("CONSUMER.DELETE.events.eventwriter-telemetry")
    asyncio.run(daemon.publish(2000))

    assert (4000, 4000, 0) == daemon.settled_counts()


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
    assert (2000, 2000, 0) == daemon.settled_counts()
    assert 0 == daemon.stop()
    asyncio.run(recreate())
    daemon.start()
    asyncio.run(daemon.publish(500))

    assert (2500, 2500, 0) == daemon.settled_counts()
    daemon.until("skipped by the ledger", lambda: daemon.slot()["already_written_total"] == 2000)


def test_frozen_server_resumes(daemon: Daemon) -> None:
    """A PostgreSQL server that freezes with open connections only delays: nothing is lost or duplicated."""
    daemon.start()
    asyncio.run(daemon.publish(500))
    assert (500, 500, 0) == daemon.settled_counts()
    os.kill(daemon.servers.postgres.pid, signal.SIGSTOP)
    asyncio.run(daemon.publish(500))
    time.sleep(1)
    os.kill(daemon.servers.postgres.pid, signal.SIGCONT)

    assert (1000, 1000, 0) == daemon.settled_counts()
