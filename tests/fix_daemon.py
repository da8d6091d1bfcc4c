"""The installed daemon, started as an operator starts it, against real servers."""

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
from fix_losses import looked

from eventwriter.control.client import Client
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.errors import EventwriterError

WAIT_S = 60.0


class Daemon:
    """One `eventwriter run`, its servers, and its books."""

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
        """Write the configuration file."""
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
        """Run a subcommand and require that it succeeds."""
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
        """Drain and end it; return its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the supervisor with SIGKILL; its workers must die with it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def status(self) -> dict[str, Any] | None:
        """Return `status`, None where nobody answers."""
        client = Client(self.socket)
        try:
            answer: dict[str, Any] = client.call("status")
        except EventwriterError:
            return None
        finally:
            client.close()
        return answer

    def worker_pid(self) -> int | None:
        """Return the worker's pid, None where there is none."""
        status = self.status()
        return status["slots"][0]["pid"] if status else None

    def kill_worker(self) -> bool:
        """Kill the worker; False where there was none."""
        pid = self.worker_pid()
        if pid:
            os.kill(pid, signal.SIGKILL)
        return bool(pid)

    async def publish(
        self, count: int, garbage_every: int = 0, subject: Callable[[int], str] = lambda _: "telemetry.test"
    ) -> None:
        """Publish numbered samples, each stored before it counts."""
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

    def books(self) -> tuple[int, int, int]:
        """Return rows, different messages among them, dead letters."""
        with psycopg.connect(self.servers.postgres_dsn(), autocommit=True) as conn:
            rows = conn.execute("SELECT count(*), count(DISTINCT metadata->>'n') FROM timeseries_metrics").fetchone()
            dead = conn.execute("SELECT count(*) FROM eventwriter_dead_letters").fetchone()
        assert rows is not None
        assert dead is not None
        return rows[0], rows[1], dead[0]

    def balance(self) -> tuple[int, int, int]:
        """Wait until as many are accounted for as were published; then look a little longer for duplicates."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            _, different, dead = self.books()
            if different + dead >= self.published:
                break
            time.sleep(0.1)
        time.sleep(0.5)
        rows, different, dead = self.books()
        wrong = f"{self.published} published: {rows} rows of {different} messages, {dead} dead letters"
        looked(self.socket, None if (rows, different + dead) == (different, self.published) else wrong)
        return rows, different, dead

    def log(self) -> str:
        """Return what the daemon said."""
        return (self.folder / "daemon.log").read_text()


@pytest.fixture
def daemon(tmp_path: Path, own_servers: EmbeddedServers) -> Iterator[Daemon]:
    """A daemon that is configured and migrated, not started; it is gone afterwards."""
    one = Daemon(tmp_path, own_servers)
    yield one
    one.kill()
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # nats-py leaves sockets that were cut to the collector; elsewhere it would be another's failure
