"""The installed daemon with embedded servers, started as an operator starts it."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import psycopg
import pytest
from fix_losses import record_audit

from eventwriter.control.client import Client
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.errors import EventwriterError

WAIT_S = 60.0


class Daemon:
    """One `eventwriter run` with its servers, and the number of published messages."""

    def __init__(self, folder: Path, servers: EmbeddedServers, **stream: Any) -> None:
        self.folder, self.servers = folder, servers
        self.published = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.config = folder / "eventwriter.json"
        self.socket = str(folder / "control.sock")
        self.environ: dict[str, str] = {}
        self.write_config(servers.nats_url, servers.postgres_dsn(), **stream)
        self.run("migrate", "--dsn", servers.postgres_dsn())
        asyncio.run(self._make_stream())

    def write_config(self, nats_url: str, dsn: str, **stream: Any) -> None:
        """Write the configuration file with these keys of the only entry of `streams`."""
        entry = {"name": "TELEMETRY", "batch_timeout": 100, "ack_wait": "5s", **stream}
        supervisor = {"crash_loop_exits_max": 1000, "backoff_min": 0.05, "backoff_max": 0.2, "drain_max": 20}
        nats_settings = {"servers": [nats_url], "reconnect_wait": 0.1, "ping_interval": 1}
        self.config.write_text(
            json.dumps(
                {
                    "enabled": True,
                    "nats": nats_settings,
                    "postgres": {"dsn": dsn, "statement_timeout": 5},
                    "streams": [entry],
                    "control": {"socket": self.socket},
                    "supervisor": supervisor,
                }
            )
        )

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a subcommand that must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "eventwriter", *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert 0 == done.returncode, done.stderr
        return done

    async def _make_stream(self) -> None:
        client = await nats.connect(self.servers.nats_url)
        await client.jetstream().add_stream(name="events", subjects=["telemetry.>", "netflow.>"])
        await client.close()

    def start(self) -> None:
        """Start the daemon."""
        with open(self.folder / "daemon.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "eventwriter", "--config", str(self.config), "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )

    def stop(self) -> int:
        """Drain and stop the daemon; return its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(WAIT_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the supervisor; its workers must exit with it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def status(self) -> dict[str, Any] | None:
        """Return the answer to `status`; None if the daemon does not answer."""
        client = Client(self.socket)
        try:
            answer: dict[str, Any] = client.call("status")
        except EventwriterError:
            return None
        finally:
            client.close()
        return answer

    def worker_pid(self) -> int | None:
        """Return the process id of the first worker; None if there is none."""
        status = self.status()
        return status["slots"][0]["pid"] if status else None

    def kill_worker(self) -> bool:
        """Kill the first worker; return False if there is none."""
        pid = self.worker_pid()
        if pid:
            os.kill(pid, signal.SIGKILL)
        return bool(pid)

    async def publish(
        self, count: int, garbage_every: int = 0, subject: Callable[[int], str] = lambda _: "telemetry.test"
    ) -> None:
        """Publish numbered samples, and wait until all of them are stored."""
        client = await nats.connect(self.servers.nats_url)
        jetstream = client.jetstream(publish_async_max_pending=1000)
        stored = []
        for n in range(self.published, self.published + count):
            garbage = garbage_every and n % garbage_every == 0
            body = b"garbage" if garbage else json.dumps({"value": n, "metadata": {"n": n}}).encode()
            stored.append(await jetstream.publish_async(subject(n), body))
        for ack in stored:
            await ack
        self.published += count
        await client.close()

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of rows, of distinct messages among them, and of dead letters."""
        [(rows, distinct)] = self.sql("SELECT count(*), count(DISTINCT metadata->>'n') FROM timeseries_metrics")
        [(dead,)] = self.sql("SELECT count(*) FROM eventwriter_dead_letters")
        return rows, distinct, dead

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        with psycopg.connect(self.servers.postgres_dsn(), autocommit=True) as conn:
            cursor = conn.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def api(self, verb: str, **body: Any) -> dict[str, Any]:
        """Send a request to the JetStream API, which must succeed, and return the response."""

        async def request() -> dict[str, Any]:
            client = await nats.connect(self.servers.nats_url)
            response = await client.request(f"$JS.API.{verb}", json.dumps(body).encode() if body else b"", timeout=10)
            await client.close()
            answer: dict[str, Any] = json.loads(response.data)
            assert "error" not in answer, answer
            return answer

        return asyncio.run(request())

    def until(self, what: str, condition: Callable[[], Any], limit_s: float = WAIT_S) -> Any:
        """Wait until a condition is true, and return its value."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if value := condition():
                return value
            time.sleep(0.05)
        raise AssertionError(f"not within {limit_s:g} s: {what}; status: {self.status()}\n{self.log()[-4000:]}")

    def slot(self) -> dict[str, Any]:
        """Return the first slot of `status`; empty if the daemon does not answer."""
        status = self.status()
        return status["slots"][0] if status else {}

    def settled_counts(self) -> tuple[int, int, int]:
        """Return the counts once every published message is a row or a dead letter; duplicates get 0.5 s more."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            _, distinct, dead = self.counts()
            if distinct + dead >= self.published:
                break
            time.sleep(0.1)
        time.sleep(0.5)
        rows, distinct, dead = self.counts()
        problem = f"{self.published} published: {rows} rows of {distinct} messages, {dead} dead letters"
        record_audit(self.socket, None if (rows, distinct + dead) == (distinct, self.published) else problem)
        return rows, distinct, dead

    def log(self) -> str:
        """Return the log."""
        return (self.folder / "daemon.log").read_text()


@pytest.fixture
def daemon(tmp_path: Path, own_servers: EmbeddedServers) -> Iterator[Daemon]:
    """A configured daemon, not yet started, on migrated tables; it is killed at the end."""
    one = Daemon(tmp_path, own_servers)
    yield one
    one.kill()
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # sockets that nats-py left open; collected later, they would fail another test with a warning
