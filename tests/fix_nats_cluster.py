"""A cluster of three nats-servers on loopback, and a daemon that writes from an R3 stream of it."""

import asyncio
import gc
import json
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import nats.js.client
import pytest
from fix_daemon import Daemon
from fix_proxy import Proxy

from eventwriter.demo.binaries import nats_binary
from eventwriter.demo.process import Server, free_port
from eventwriter.demo.servers import EmbeddedServers

NODES = 3
LIMIT_S = 120.0


def wait_for(what: str, condition: Callable[[], object], limit_s: float = LIMIT_S) -> float:
    """Wait until a condition holds; return the seconds that it took."""
    started_s = time.monotonic()
    while not condition():
        assert time.monotonic() - started_s < limit_s, f"not within {limit_s:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - started_s


class NatsCluster:
    """
    Three nats-servers with JetStream.

    Args:
        with_proxies: Whether routes pass proxies, so that a node can be partitioned.
    """

    def __init__(self, folder: Path, *, with_proxies: bool = False) -> None:
        self.ports = [free_port() for _ in range(NODES)]
        self._route_ports = [free_port() for _ in range(NODES)]
        # One proxy for each ordered pair of nodes: a node is partitioned if all routes to and from it are held.
        self._proxies = {
            (source, target): Proxy(self._route_ports[target])
            for source in range(NODES)
            for target in range(NODES)
            if with_proxies and source != target
        }
        self.nodes = [self._server(folder, number) for number in range(NODES)]

    def _server(self, folder: Path, number: int) -> Server:
        store = folder / f"node-{number}"
        store.mkdir()
        targets = [other for other in range(NODES) if other != number]
        ports = [self._proxies[number, other].port if self._proxies else self._route_ports[other] for other in targets]
        config: dict[str, Any] = {
            "server_name": f"node-{number}",
            "listen": f"127.0.0.1:{self.ports[number]}",
            "jetstream": {"store_dir": str(store)},
            "lame_duck_duration": "30s",
            "lame_duck_grace_period": "1s",
            "cluster": {
                "name": "test",
                "listen": f"127.0.0.1:{self._route_ports[number]}",
                "routes": [f"nats://127.0.0.1:{port}" for port in ports],
                # Otherwise nodes tell each other the addresses behind the proxies.
                "no_advertise": bool(self._proxies),
                "pool_size": -1,
            },
        }
        path = store / "nats.conf"
        path.write_text(json.dumps(config))

        def ready(_pid: int) -> bool:
            try:
                with socket.create_connection(("127.0.0.1", self.ports[number]), 1) as probe:
                    return probe.recv(4) == b"INFO"
            except OSError:
                return False

        return Server(f"node-{number}", [str(nats_binary()), "-c", str(path)], ready, folder, signal.SIGTERM)

    @property
    def urls(self) -> list[str]:
        """Addresses of all nodes."""
        return [f"nats://127.0.0.1:{port}" for port in self.ports]

    def start(self) -> None:
        """Start all nodes."""
        for node in self.nodes:
            node.start()

    def stop(self) -> None:
        """Stop all nodes and proxies."""
        for node in self.nodes:
            node.kill()
        for proxy in self._proxies.values():
            proxy.close()

    def partition(self, number: int) -> None:
        """Let no byte pass between a node and the others."""
        for other in set(range(NODES)) - {number}:
            pairs = ((number, other), (other, number))
            assert any(self._proxies[pair].connections for pair in pairs), "a route does not pass the proxies"
        for pair, proxy in self._proxies.items():
            if number in pair:
                proxy.black_hole()

    def heal(self) -> None:
        """End all partitions. Routes that were held have lost their timing, so they are connected again."""
        for proxy in self._proxies.values():
            proxy.cut()
            proxy.heal()

    async def run(self, act: Callable[[nats.js.client.JetStreamContext], Awaitable[Any]]) -> Any:
        """Call `act` with a JetStream context."""
        client = await nats.connect(self.urls, allow_reconnect=True, max_reconnect_attempts=-1, reconnect_time_wait=0.2)
        try:
            return await act(client.jetstream(timeout=5))
        finally:
            await client.close()

    def js(self, act: Callable[[nats.js.client.JetStreamContext], Awaitable[Any]]) -> Any:
        """Call `act` with a JetStream context, again until JetStream answers."""
        until_s = time.monotonic() + LIMIT_S
        while True:
            try:
                return asyncio.run(self.run(act))
            except (nats.errors.Error, OSError, TimeoutError):
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.2)

    def leader(self) -> int:
        """Return the number of the stream's leader."""

        async def ask(js: nats.js.client.JetStreamContext) -> str | None:
            info = await js.stream_info("events")
            return info.cluster.leader if info.cluster else None

        name = None
        while not name:
            name = self.js(ask)
        return int(name.rpartition("-")[2])

    def step_down(self, what: str) -> None:
        """Ask the leader of `STREAM.…` or `CONSUMER.…` to step down."""

        async def ask(js: nats.js.client.JetStreamContext) -> None:
            await js._nc.request(f"$JS.API.{what}", b"", timeout=5)

        self.js(ask)

    def has_caught_up(self) -> bool:
        """Return whether all replicas of the stream are current."""

        async def ask(js: nats.js.client.JetStreamContext) -> bool:
            cluster = (await js.stream_info("events")).cluster
            replicas = (cluster.replicas or []) if cluster else []
            return len(replicas) == NODES - 1 and all(peer.current and not peer.offline for peer in replicas)

        return bool(self.js(ask))


class ClusterDaemon(Daemon):
    """A daemon that is connected to a cluster."""

    def __init__(self, folder: Path, servers: EmbeddedServers, cluster: NatsCluster, **stream: Any) -> None:
        self.cluster = cluster
        super().__init__(folder, servers, **stream)

    def write_config(self, nats_url: str, dsn: str, **stream: Any) -> None:
        """Write the configuration file, with all nodes of the cluster."""
        super().write_config(nats_url, dsn, **stream)
        config = json.loads(self.config.read_text())
        config["nats"]["servers"] = self.cluster.urls
        self.config.write_text(json.dumps(config))

    async def _make_stream(self) -> None:
        async def create(js: nats.js.client.JetStreamContext) -> None:
            await js.add_stream(name="events", subjects=["telemetry.>"], num_replicas=NODES)

        until_s = time.monotonic() + LIMIT_S
        while True:
            try:
                await self.cluster.run(create)
                return
            except (nats.errors.Error, OSError, TimeoutError):
                assert time.monotonic() < until_s, "the cluster has no JetStream leader"
                await asyncio.sleep(0.2)

    def publish_all(self, count: int) -> None:
        """Publish numbered messages; each is sent again, under the same Nats-Msg-Id, until it is stored."""

        async def send(js: nats.js.client.JetStreamContext) -> None:
            while self.published < end:
                n = self.published
                body = json.dumps({"value": n, "metadata": {"n": n}}).encode()
                await js.publish("telemetry.test", body, headers={"Nats-Msg-Id": str(n)})
                self.published += 1

        end = self.published + count
        self.cluster.js(send)

    def is_healthy(self) -> bool:
        """Return whether the daemon reports health."""
        status = self.status()
        return status is not None and status["status"] == "healthy"

    def written(self) -> bool:
        """Return whether each published message is at least once in the database."""
        return self.counts()[1] >= self.published

    def audit(self) -> None:
        """Wait for all messages; assert one row each, no new epoch, health, and that `verify` agrees."""
        wait_for("every message is written", self.written)
        wait_for("healthy", self.is_healthy)
        assert (self.published, self.published, 0) == self.counts()
        assert [(0,)] == self.sql("SELECT DISTINCT epoch FROM eventwriter_ledger")
        assert [True] == [report["balanced"] for report in self.verify()]

    def verify(self) -> list[dict[str, Any]]:
        """Return the reports of `eventwriter-ctl verify`."""
        done = self.run_ctl("verify", "--json")
        reports: list[dict[str, Any]] = json.loads(done)["slots"]
        return reports

    def run_ctl(self, *arguments: str) -> str:
        """Run a command of `eventwriter-ctl` and return its output."""
        command = [str(Path(sys.executable).with_name("eventwriter-ctl")), "--config", str(self.config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert done.stdout, done.stderr
        return done.stdout


def _cluster_daemon(folder: Path, servers: EmbeddedServers, *, with_proxies: bool) -> Iterator[ClusterDaemon]:
    cluster = NatsCluster(folder, with_proxies=with_proxies)
    daemon: ClusterDaemon | None = None
    try:
        cluster.start()
        daemon = ClusterDaemon(folder, servers, cluster)
        daemon.start()
        wait_for("healthy after the start", daemon.is_healthy)
        yield daemon
    finally:
        if daemon is not None:
            daemon.kill()
        cluster.stop()
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()


@pytest.fixture
def cluster_daemon(tmp_path: Path, own_servers: EmbeddedServers) -> Iterator[ClusterDaemon]:
    """A running daemon on a cluster of three nodes."""
    yield from _cluster_daemon(tmp_path, own_servers, with_proxies=False)


@pytest.fixture
def partitionable_daemon(tmp_path: Path, own_servers: EmbeddedServers) -> Iterator[ClusterDaemon]:
    """A running daemon on a cluster whose nodes can be partitioned."""
    yield from _cluster_daemon(tmp_path, own_servers, with_proxies=True)
