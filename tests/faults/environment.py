"""Test environment of the fault matrix: both servers behind proxies, the installed daemon, and the publisher."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
import nats.js.client
import psycopg
from faults.publisher import Publisher, garbage, sample
from fix_daemon import Daemon
from fix_proxy import Proxy

from eventwriter.demo.servers import EmbeddedServers

START_S_MAX = 60.0
WAIT_S_MAX = 60.0
"""Longest wait for a condition; generous, because tests also run on busy machines."""


@dataclass(frozen=True, slots=True)
class Setup:
    """
    Configuration of an environment; faults with the same setup share an environment.

    Attributes:
        prepare: Called after the servers have started and before the daemon does; calls `Environment.write`.
        is_ready: Returns, for a status under load, whether the environment's special condition holds; each fault
            waits for it.
    """

    name: str
    prepare: Callable[["Environment"], None] = lambda env: env.write()
    is_ready: Callable[["Environment", Mapping[str, Any]], object] = lambda env, status: True


PLAIN = Setup("plain")


class Environment:
    """
    Servers, proxies, daemon and publisher that a fault may manipulate.

    Attributes:
        servers: `.nats` and `.postgres` have stop, kill, start, restart, pause, resume.
        nats, postgres: Proxies between the daemon and the servers; the test itself connects directly.
        daemon: The installed daemon.
        publisher: Source of the load, and record of what is stored.
        resources: Objects that a setup creates for its faults.
        body, garbage: Payload functions of the publisher; a setup may replace them.
        rng: Random numbers of the current fault.
        login: Options with which the test itself connects to NATS.
    """

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder, self.setup = folder, setup
        self.login: dict[str, Any] = {}
        self.rng = random.Random()
        self.resources: dict[str, Any] = {}
        self.body, self.garbage = sample, garbage
        self.servers = EmbeddedServers()
        self.servers.__enter__()
        self._cleanup = contextlib.ExitStack()
        self.on_close(self.servers.stop)
        try:
            self.nats, self.postgres = (self._proxy(url) for url in (self.nats_url, self.servers.postgres_dsn()))
            self.daemon = Daemon(folder, self.servers)
            self.on_close(self.daemon.kill)
            # In lame duck mode the server disconnects its clients after the grace period.
            self.configure_nats(lame_duck_duration="30s", lame_duck_grace_period="300ms")
            setup.prepare(self)
            self.publisher = Publisher("warm", self.nats_url, self.login)
            self.publisher.body, self.publisher.garbage = self.body, self.garbage
            self.on_close(self.publisher.close)
            self.daemon.start()
            self.until("healthy", lambda status: status["status"] == "healthy", START_S_MAX)
            # Allocations that Python, the drivers and malloc make once happen before the first measurement.
            self.publisher.add(2500)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop everything, even if one of the steps fails."""
        self._cleanup.close()

    def on_close(self, end: Callable[[], object]) -> None:
        """Register a function that is called when the environment is closed, before the servers stop."""
        self._cleanup.callback(end)

    def _proxy(self, url: str) -> Proxy:
        proxy = Proxy(urlsplit(url).port or 0)
        self.on_close(proxy.close)
        return proxy

    @property
    def nats_url(self) -> str:
        """Address of the NATS server itself, without the proxy."""
        return self.servers.nats_url

    def write(self, **changes: Any) -> None:
        """
        Write the daemon's configuration, with the proxies as its servers.

        Args:
            changes: Merged into the configuration key by key; a dict for `streams` is merged into the only entry.
        """
        dsn = urlsplit(self.servers.postgres_dsn())
        self.daemon.write_config(
            f"nats://localhost:{self.nats.port}",
            dsn._replace(netloc=f"postgres@127.0.0.1:{self.postgres.port}").geturl(),
        )
        config = json.loads(self.daemon.config.read_text())
        fast = {"nats": {"ping_interval": 0.4, "connect_timeout": 2}, "supervisor": {"heartbeat": 0.2}}
        for more in (fast, changes):
            merge(config, more)
        self.daemon.config.write_text(json.dumps(config))

    def configure_nats(self, program: Path | None = None, keep: bool = True, **changes: Any) -> None:
        """
        Restart NATS with a changed configuration; None removes a key.

        Args:
            program: Path of another nats-server.
            keep: Whether to keep the stored data; otherwise the server starts empty, and the stream is recreated.
        """
        server = self.servers.nats
        path = Path(server.command[-1])
        config = {key: value for key, value in {**json.loads(path.read_text()), **changes}.items() if value is not None}
        server.stop()
        if program is not None:
            server.command = [str(program), *server.command[1:]]
        if not keep:
            shutil.rmtree(path.parent / "jetstream", ignore_errors=True)
        path.write_text(json.dumps(config))
        server.start()
        if not keep:
            self.js(lambda js: js.add_stream(name="events", subjects=["telemetry.>", "netflow.>"]))

    def reload_nats(self, **changes: Any) -> None:
        """Change the configuration of the running NATS server; None removes a key."""
        path, server = Path(self.servers.nats.command[-1]), self.servers.nats.process
        assert server is not None
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
        server.send_signal(signal.SIGHUP)
        time.sleep(0.2)

    def js(self, act: Callable[[nats.js.client.JetStreamContext], Awaitable[Any]]) -> Any:
        """Call `act` with a JetStream context over a direct connection."""

        async def connected() -> Any:
            client = await nats.connect(self.nats_url, **self.login)
            try:
                return await act(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(connected())

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement over a direct connection and return its rows."""
        with psycopg.connect(self.servers.postgres_dsn(), autocommit=True) as conn:
            cursor = conn.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def slot(self) -> dict[str, Any]:
        """Return the first slot of `status`; empty if the daemon does not answer."""
        status = self.daemon.status()
        return status["slots"][0] if status else {}

    def until(
        self, what: str, condition: Callable[[dict[str, Any]], object], limit_s: float = WAIT_S_MAX
    ) -> dict[str, Any]:
        """Wait until the status meets a condition, and return it."""
        last: dict[str, Any] | None = None
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            last = self.daemon.status()
            if last is not None and condition(last):
                return last
            time.sleep(0.05)
        raise AssertionError(f"not within {limit_s:g} s: {what}; status: {json.dumps(last)[:1500]}")

    def until_slot(
        self, what: str, condition: Callable[[dict[str, Any]], object], limit_s: float = WAIT_S_MAX
    ) -> dict[str, Any]:
        """Wait until the first slot of the status meets a condition, and return the slot."""
        slots: list[dict[str, Any]] = self.until(what, lambda status: condition(status["slots"][0]), limit_s)["slots"]
        return slots[0]

    def wait(self, duration_s: float) -> None:
        """Sleep while the publisher and the daemon go on."""
        time.sleep(duration_s)

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Pause publishing during the block, which starts once everything is written and acknowledged."""
        with self.publisher.paused():
            self.until_settled()
            yield

    def until_settled(self, limit_s: float = WAIT_S_MAX) -> None:
        """Wait until every stored message is written and acknowledged."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if self.all_written() and self.all_acknowledged():
                return
            time.sleep(0.05)
        raise AssertionError(f"not settled within {limit_s:g} s; slot: {json.dumps(self.slot())[:1500]}")

    def all_written(self) -> bool:
        """Return whether there are at least as many rows and dead letters as required messages."""
        with contextlib.suppress(psycopg.Error):
            query = "SELECT (SELECT count(*) FROM timeseries_metrics) + (SELECT count(*) FROM eventwriter_dead_letters)"
            required = self.publisher.stored.keys() - self.publisher.optional
            count: int = self.sql(query)[0][0]
            return count >= len(required)
        return False

    def all_acknowledged(self) -> bool:
        """Return whether no consumer of the stream has pending or unacknowledged messages."""

        async def ask(js: nats.js.client.JetStreamContext) -> bool:
            infos = await js.consumers_info("events")
            return bool(infos) and not any(one.num_pending or one.num_ack_pending for one in infos)

        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            return bool(self.js(ask))
        return False

    def log(self, since_bytes: int = 0) -> list[dict[str, Any]]:
        """Return the records of the daemon's log."""
        with open(self.folder / "daemon.log", "rb") as file:
            file.seek(since_bytes)
            lines = file.read().decode(errors="replace").splitlines()
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"message": line})
        return found

    def log_bytes(self) -> int:
        """Return the current size of the log."""
        return (self.folder / "daemon.log").stat().st_size

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers."""
        status = self.daemon.status()
        return [slot["pid"] for slot in status["slots"] if slot["pid"]] if status else []


def merge(config: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Merge `changes` into `config`; a dict for a list is merged into its first entry."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(config.get(key), dict):
            merge(config[key], value)
        elif isinstance(value, Mapping) and isinstance(config.get(key), list):
            merge(config[key][0], value)
        else:
            config[key] = value


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process. Source: proc(5)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """Return the number of open file descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))
