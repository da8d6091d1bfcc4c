"""
Environment of a measurement: both servers, a stream, tables and the daemon.

All names are unique (`eventwriter_bench_<pid>`), so that servers in use can be given,
and everything is removed afterwards.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import nats.js.errors
import psutil
import psycopg
from nats.aio.client import Client

from eventwriter.config.load import load
from eventwriter.config.settings import StreamSettings
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.demo.traffic import TRAFFIC
from eventwriter.kinds.registry import KINDS

WAIT_S_MAX = 300.0


@dataclass(slots=True)
class Cpu:
    """CPU seconds used so far by workers and servers; None for servers that were given."""

    worker: float
    nats: float | None
    postgres: float | None


@dataclass(slots=True)
class Environment:
    """
    Servers, and the names of stream and schema.

    Attributes:
        nats_pid, postgres_pid: Process ids of embedded servers; None for given ones.
    """

    nats_url: str
    dsn: str
    folder: Path
    nats_pid: int | None = None
    postgres_pid: int | None = None
    name: str = field(default_factory=lambda: f"eventwriter_bench_{os.getpid()}")

    def connect(self) -> "psycopg.Connection[Any]":
        """Return an autocommit connection with the benchmark's schema as search path."""
        conn = psycopg.connect(self.dsn, autocommit=True)
        conn.execute(f"SET search_path = {self.name}")
        return conn

    def subject(self, worker: int) -> str:
        """Return the subject of a worker."""
        return f"{self.name}.{worker}.x"

    def prepare(self) -> None:
        """Create the schema and its tables."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute(f"CREATE SCHEMA {self.name}")
        self.command("migrate", "--dsn", self.dsn, "--schema", self.name)

    def prepare_kind(self, kind: str) -> None:
        """Create the table of a kind, if `eventwriter migrate` does not create it."""
        if ddl := TRAFFIC[kind].ddl:
            with self.connect() as conn:
                conn.execute(ddl.encode())

    def remove(self) -> None:
        """Drop stream and schema."""

        async def drop() -> None:
            async with self.client() as client:
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await client.jetstream().delete_stream(self.name)

        asyncio.run(drop())
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute(f"DROP SCHEMA IF EXISTS {self.name} CASCADE")

    @contextlib.asynccontextmanager
    async def client(self) -> Any:
        """Open a connection to NATS for the duration of the block."""
        client = await nats.connect(self.nats_url)
        try:
            yield client
        finally:
            await client.close()

    def tables(self, kind: str) -> list[str]:
        """Return the names of the tables that a kind fills."""
        named = TRAFFIC[kind].entry.get("table")
        return [named] if named else [table.name for table in KINDS[kind].tables]

    def entry(self, kind: str, worker: int) -> StreamSettings:
        """Return the configuration entry of a worker."""
        return load(None, {}, {"streams": [self._entry(kind, worker)]}).settings.streams[0]

    def _entry(self, kind: str, worker: int) -> dict[str, Any]:
        return {
            "name": f"{kind.upper()}{worker}", "stream_name": self.name, "subject": self.subject(worker),
            "kind": kind, "tables": self.tables(kind), "schema": self.name,
            **{key: value for key, value in TRAFFIC[kind].entry.items() if key in ("map", "rest")},
        }  # fmt: skip

    def empty(self, kind: str) -> None:
        """Recreate the stream, truncate the tables, and checkpoint."""
        tables = self.tables(kind)
        asyncio.run(self._new_stream())
        with self.connect() as conn:
            conn.execute(f"TRUNCATE {', '.join((*tables, 'eventwriter_dead_letters', 'eventwriter_ledger'))}")
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                conn.execute("CHECKPOINT")

    async def _new_stream(self) -> None:
        async with self.client() as client:
            jetstream = client.jetstream()
            with contextlib.suppress(nats.js.errors.NotFoundError):
                await jetstream.delete_stream(self.name)
            await jetstream.add_stream(name=self.name, subjects=[f"{self.name}.>"])

    def publish(self, payloads: Sequence[bytes], workers: int) -> list[int]:
        """Store messages, distributed over the workers round-robin; return each worker's last stream sequence."""
        return asyncio.run(self._publish(payloads, workers))

    async def _publish(self, payloads: Sequence[bytes], workers: int) -> list[int]:
        subjects = [self.subject(w) for w in range(workers)]
        async with self.client() as client:
            for n, payload in enumerate(payloads):
                await client.publish(subjects[n % workers], payload)
                if n % 5000 == 4999:
                    await client.flush()
            await client.flush()
            jetstream = client.jetstream()
            stored = 0
            while stored < len(payloads):
                stored = (await jetstream.stream_info(self.name)).state.messages
            return [(await jetstream.get_last_msg(self.name, subject)).seq or 0 for subject in subjects]

    def config(self, kind: str, workers: int) -> Path:
        """Write the daemon's configuration with one entry per worker."""
        settings = {
            "enabled": True,
            "consumer_name": "bench",
            "nats": {"servers": [self.nats_url]},
            "postgres": {"dsn": self.dsn},
            "streams": [self._entry(kind, worker) for worker in range(workers)],
            "control": {"socket": str(self.folder / "control.sock")},
            "log": {"level": "warning"},
        }
        path = self.folder / "bench.json"
        path.write_text(json.dumps(settings))
        return path

    def command(self, *arguments: str) -> None:
        """Run a subcommand of eventwriter; raise SystemExit with its error output if it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "eventwriter", *arguments],
            check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"eventwriter {' '.join(arguments[:1])} failed: {done.stderr.strip()}")


@contextlib.contextmanager
def daemon(env: Environment, config: Path) -> Iterator[psutil.Process]:
    """Run the daemon during the block, and drain it at the end."""
    with (env.folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "eventwriter", "--config", str(config), "run"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def workers_of(supervisor: psutil.Process, count: int) -> list[psutil.Process]:
    """Wait for `count` worker processes, and return them."""
    until = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < until:
        if not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE:
            raise SystemExit("the daemon exited; see daemon.log in the folder given with --data-dir")
        children = supervisor.children()
        if len(children) == count:
            return children
        time.sleep(0.01)
    raise SystemExit("the daemon's workers did not start")


def cpu_used(env: Environment, workers: Sequence[psutil.Process]) -> Cpu:
    """Return the CPU seconds used so far by workers and servers."""

    def tree(pid: int | None) -> float | None:
        if pid is None:
            return None
        total = 0.0
        for process in (parent := psutil.Process(pid), *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    return Cpu(sum(sum(w.cpu_times()[:2]) for w in workers), tree(env.nats_pid), tree(env.postgres_pid))


def peak_bytes(process: psutil.Process) -> int:
    """Return the peak resident memory of a process. Source: proc(5), VmHWM."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def make_environment(nats_url: str | None, dsn: str | None, folder: Path | None) -> Iterator[Environment]:
    """Create an environment on the given servers, or on embedded ones."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eventwriter-bench-")))
            folder.chmod(0o755)
        folder.mkdir(parents=True, exist_ok=True)
        if nats_url and dsn:
            env = Environment(nats_url, dsn, folder)
        else:
            servers = stack.enter_context(EmbeddedServers(folder / "servers", durable=True))
            env = Environment(servers.nats_url, servers.postgres_dsn(), folder, servers.nats.pid, servers.postgres.pid)
        env.prepare()
        stack.callback(env.remove)
        yield env


async def delivering(client: Client, stream: str, durable: str) -> None:
    """Wait until a consumer has delivered its first message."""
    jetstream = client.jetstream()
    until = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < until:
        with contextlib.suppress(nats.js.errors.NotFoundError):
            if (await jetstream.consumer_info(stream, durable)).delivered.consumer_seq:
                return
        await asyncio.sleep(0.002)
    raise SystemExit(f"consumer {durable} has not delivered any message")
