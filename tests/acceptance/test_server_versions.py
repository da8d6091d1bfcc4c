"""The daemon's guarantees on several NATS server versions."""

import asyncio
import shutil
from pathlib import Path

import pytest
from faults.nats_version_faults import find, missing
from fix_daemon import Daemon

from eventwriter.demo.binaries import nats_binary

VERSIONS = ("2.9", "2.10", "2.11", "2.12", "newest")


def server_binary(version: str) -> Path:
    """Return the binary of a server version; skip the test if it is not installed."""
    if version == "newest":
        return nats_binary()
    if (reason := missing(version)) is not None:
        pytest.skip(reason)
    found = find(version)
    assert found is not None
    return found


def replace_server(daemon: Daemon, binary: Path) -> None:
    """Replace the NATS server by another one, which starts empty."""
    nats_server = daemon.servers.nats
    config = Path(nats_server.command[-1])
    nats_server.stop()
    shutil.rmtree(config.parent / "jetstream")
    nats_server.command = [str(binary), *nats_server.command[1:]]
    nats_server.start()
    asyncio.run(daemon._make_stream())


def is_acknowledged(daemon: Daemon) -> bool:
    """Return whether the consumer has no pending or unacknowledged message."""
    info = daemon.api("CONSUMER.INFO.events.eventwriter-telemetry")
    return (info["num_pending"], info["num_ack_pending"]) == (0, 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_message_is_written_once_on_every_version(daemon: Daemon, version: str) -> None:
    """Garbage, a killed worker, a killed server and a deleted consumer lose and duplicate nothing."""
    replace_server(daemon, server_binary(version))
    daemon.start()
    asyncio.run(daemon.publish(1000, garbage_every=100))
    while not daemon.kill_worker():
        pass
    asyncio.run(daemon.publish(1000, garbage_every=100))
    daemon.servers.nats.kill()
    daemon.servers.nats.start()
    asyncio.run(daemon.publish(1000, garbage_every=100))
    assert (2970, 2970, 30) == daemon.settled_counts()
    daemon.api("CONSUMER.DELETE.events.eventwriter-telemetry")
    asyncio.run(daemon.publish(1000, garbage_every=100))

    assert (3960, 3960, 40) == daemon.settled_counts()
    daemon.until("acknowledged", lambda: is_acknowledged(daemon))
    assert 0 == daemon.stop()
