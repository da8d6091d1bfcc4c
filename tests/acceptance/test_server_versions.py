"""The daemon on NATS servers of several versions: what it promises does not depend on the server's age."""

import asyncio
import json
import shutil
from pathlib import Path

import nats
import pytest
from faults.nats_version_faults import find, missing
from fix_daemon import Daemon

from eventwriter.demo.binaries import nats_binary

VERSIONS = ("2.9", "2.10", "2.11", "2.12", "newest")


def program(version: str) -> Path:
    """Return the server's program; skips where it is not here."""
    if version == "newest":
        return nats_binary()
    if (reason := missing(version)) is not None:
        pytest.skip(reason)
    found = find(version)
    assert found is not None
    return found


def with_server(daemon: Daemon, server: Path) -> None:
    """Go on with another NATS server, which begins empty."""
    nats_server = daemon.servers.nats
    config = Path(nats_server.command[-1])
    nats_server.stop()
    shutil.rmtree(config.parent / "jetstream")
    nats_server.command = [str(server), *nats_server.command[1:]]
    nats_server.start()
    asyncio.run(daemon._make_stream())


async def delete_consumer(daemon: Daemon) -> None:
    """Delete the daemon's consumer, as an operator may."""
    client = await nats.connect(daemon.servers.nats_url)
    await client.jetstream().delete_consumer("events", "eventwriter-telemetry")
    await client.close()


async def settled(daemon: Daemon) -> tuple[int, int]:
    """Return how many messages are not delivered, and how many not answered."""
    client = await nats.connect(daemon.servers.nats_url)
    answer = await client.request("$JS.API.CONSUMER.INFO.events.eventwriter-telemetry")
    await client.close()
    info = json.loads(answer.data)
    return info["num_pending"], info["num_ack_pending"]


@pytest.mark.parametrize("version", VERSIONS)
def test_books_balance_on_every_version(daemon: Daemon, version: str) -> None:
    """Garbage, a killed worker, a killed server and a deleted consumer: each message is one row or one dead letter."""
    with_server(daemon, program(version))
    daemon.start()
    asyncio.run(daemon.publish(1000, garbage_every=100))
    while not daemon.kill_worker():
        pass
    asyncio.run(daemon.publish(1000, garbage_every=100))
    daemon.servers.nats.kill()
    daemon.servers.nats.start()
    asyncio.run(daemon.publish(1000, garbage_every=100))
    assert (2970, 2970, 30) == daemon.balance()
    asyncio.run(delete_consumer(daemon))
    asyncio.run(daemon.publish(1000, garbage_every=100))

    assert (3960, 3960, 40) == daemon.balance()
    assert (0, 0) == asyncio.run(settled(daemon))
    assert 0 == daemon.stop()
