"""A bed: both servers, a proxy before each, the installed daemon, and the publisher with its book."""

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
from faults.book import Publisher, garbage, sample
from fix_daemon import Daemon
from fix_proxy import Proxy

from eventwriter.demo.servers import EmbeddedServers

START_S_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Setup:
    """
    How a bed differs from the plain one; faults with the same setup share a bed.

    Attributes:
        prepare: Called when the servers stand and the daemon is configured (by `Bed.write`) and not started.
        shows: Says of a status under load whether the bed is what it is for; waited for before each fault.
    """

    name: str
    prepare: Callable[["Bed"], None] = lambda bed: bed.write()
    shows: Callable[["Bed", Mapping[str, Any]], object] = lambda bed, status: True


PLAIN = Setup("plain")


class Bed:
    """
    Everything that a fault may touch.

    Attributes:
        servers: `.nats` and `.postgres` have stop, kill, start, restart, pause, resume.
        nats, postgres: The proxies through which the daemon (and nobody else) reaches the servers.
        daemon: The installed daemon.
        publisher: Load, and the book.
        kept: What a setup made that its faults need.
        body, garbage: What makes the publisher's messages; a setup may change them.
        rng: The fault's own random numbers.
        login: Options with which the test itself connects to NATS.
    """

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder, self.setup = folder, setup
        self.login: dict[str, Any] = {}
        self.rng = random.Random()
        self.kept: dict[str, Any] = {}
        self.body, self.garbage = sample, garbage
        self.servers = EmbeddedServers()
        self.servers.__enter__()
        self._ended = contextlib.ExitStack()
        self.on_close(self.servers.stop)
        try:
            self.nats, self.postgres = (self._proxy(url) for url in (self.nats_url, self.servers.postgres_dsn()))
            self.daemon = Daemon(folder, self.servers)
            self.on_close(self.daemon.kill)
            # A lame duck waits at most so long before it sends its clients away.
            self.configure_nats(lame_duck_duration="30s", lame_duck_grace_period="300ms")
            setup.prepare(self)
            self.publisher = Publisher("warm", self.nats_url, self.login)
            self.publisher.body, self.publisher.garbage = self.body, self.garbage
            self.on_close(self.publisher.close)
            self.daemon.start()
            self.until("the daemon is healthy", lambda status: status["status"] == "healthy", START_S_MAX)
            # What Python, the drivers and malloc take once, they take now.
            self.publisher.add(2500)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything, also after something that cannot be ended."""
        self._ended.close()

    def on_close(self, end: Callable[[], object]) -> None:
        """Have something a setup made ended with the bed, before the servers."""
        self._ended.callback(end)

    def _proxy(self, url: str) -> Proxy:
        proxy = Proxy(urlsplit(url).port or 0)
        self.on_close(proxy.close)
        return proxy

    @property
    def nats_url(self) -> str:
        """NATS's own address, past the proxy."""
        return self.servers.nats_url

    def write(self, **changes: Any) -> None:
        """
        Write the daemon's configuration, with its servers behind the proxies.

        Args:
            changes: Merged into it, dicts key by key; `streams` is merged into the one entry.
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
        Restart NATS with more configuration; None takes a key out.

        Args:
            program: Another nats-server.
            keep: Stored data to keep; otherwise the server starts empty, and its stream is recreated.
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
        """Have NATS read more configuration while it runs; None takes a key out."""
        path, server = Path(self.servers.nats.command[-1]), self.servers.nats.process
        assert server is not None
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
        server.send_signal(signal.SIGHUP)
        time.sleep(0.2)

    def js(self, act: Callable[[nats.js.client.JetStreamContext], Awaitable[Any]]) -> Any:
        """Do something to JetStream over a connection of the test's own."""

        async def connected() -> Any:
            client = await nats.connect(self.nats_url, **self.login)
            try:
                return await act(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(connected())

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database, past the proxy."""
        with psycopg.connect(self.servers.postgres_dsn(), autocommit=True) as conn:
            cursor = conn.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def slot(self) -> dict[str, Any]:
        """Return what `status` says of the (first) slot; empty where the daemon does not answer."""
        status = self.daemon.status()
        return status["slots"][0] if status else {}

    def until(self, what: str, true: Callable[[dict[str, Any]], object], limit_s: float = 30.0) -> dict[str, Any]:
        """Wait until `status` is as wanted, and return it."""
        last: dict[str, Any] | None = None
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            last = self.daemon.status()
            if last is not None and true(last):
                return last
            time.sleep(0.05)
        raise AssertionError(f"not within {limit_s:g} s: {what}; status: {json.dumps(last)[:1500]}")

    def until_slot(self, what: str, true: Callable[[dict[str, Any]], object], limit_s: float = 30.0) -> dict[str, Any]:
        """Wait until the (first) slot's part of `status` is as wanted, and return it."""
        slots: list[dict[str, Any]] = self.until(what, lambda status: true(status["slots"][0]), limit_s)["slots"]
        return slots[0]

    def wait(self, duration_s: float) -> None:
        """Let time pass, under load."""
        time.sleep(duration_s)

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Have the publisher rest and everything written; publish on afterwards."""
        with self.publisher.resting():
            self.until_settled()
            yield

    def until_settled(self, limit_s: float = 20.0) -> None:
        """Wait until everything that is in the book is accounted for, and the consumer waits for no ack."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if self.accounted() and self.answered():
                return
            time.sleep(0.05)
        raise AssertionError(f"not settled within {limit_s:g} s; slot: {json.dumps(self.slot())[:1500]}")

    def accounted(self) -> bool:
        """Say whether there are as many rows and dead letters as messages in the book."""
        with contextlib.suppress(psycopg.Error):
            query = "SELECT (SELECT count(*) FROM timeseries_metrics) + (SELECT count(*) FROM eventwriter_dead_letters)"
            missing = self.publisher.stored.keys() - self.publisher.excused
            count: int = self.sql(query)[0][0]
            return count >= len(missing)
        return False

    def answered(self) -> bool:
        """Say whether JetStream has nothing to deliver, and waits for no ack, on any of the stream's consumers."""

        async def ask(js: nats.js.client.JetStreamContext) -> bool:
            infos = await js.consumers_info("events")
            return bool(infos) and not any(one.num_pending or one.num_ack_pending for one in infos)

        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            return bool(self.js(ask))
        return False

    def log(self, since_bytes: int = 0) -> list[dict[str, Any]]:
        """Return the daemon's log lines."""
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
        """Return how long the log is."""
        return (self.folder / "daemon.log").stat().st_size

    def worker_pids(self) -> list[int]:
        """Return the workers' process ids."""
        status = self.daemon.status()
        return [slot["pid"] for slot in status["slots"] if slot["pid"]] if status else []


def merge(config: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Merge `changes` into `config`; a dict for `streams` into its one entry."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(config.get(key), dict):
            merge(config[key], value)
        elif isinstance(value, Mapping) and isinstance(config.get(key), list):
            merge(config[key][0], value)
        else:
            config[key] = value


def memory_bytes(pid: int) -> int:
    """Return a process's resident memory. Source: proc(5)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """Return how many file descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))
