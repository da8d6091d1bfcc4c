"""One daemon with several streams, secrets in its settings, and everything that `eventwriter-ctl` may ask of it."""

import asyncio
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nats
import psycopg
import pytest
from fix_run import Run, command

from eventwriter.demo.servers import EmbeddedServers

SECRET = "hunter2"
"""A part of every secret of these tests: of both logins, and of payloads."""
WAIT_S = 30.0


class Site:
    """Servers, a daemon, and what was published."""

    def __init__(
        self, folder: Path, servers: EmbeddedServers, streams: Sequence[Mapping[str, Any]], **top: Any
    ) -> None:
        self.servers, self.folder = servers, folder
        name = f"site_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}")
        self.dsn = servers.postgres_dsn(name)
        assert 0 == command("eventwriter", "migrate", "--dsn", self.dsn).returncode
        # Neither server asks for a password; what is sent unasked is a secret all the same.
        dsn = self.dsn.replace("//postgres@", f"//postgres:{SECRET}-postgres@")
        url = servers.nats_url.replace("//", f"//reader:{SECRET}-nats@")
        self.config: dict[str, Any] = {
            "nats": {"servers": [url]}, "postgres": {"dsn": dsn}, "consumer_name": name,
            "stream_name": name, "streams": [dict(stream) for stream in streams], "redact": ["community"], **top,
        }  # fmt: skip
        self.stream, self.published = name, 0
        self.run = Run(folder, self.config)
        subjects = [f"{stream['name'].lower()}.>" for stream in streams]
        asyncio.run(self._make(subjects))

    async def _make(self, subjects: list[str]) -> None:
        client = await nats.connect(self.servers.nats_url)
        await client.jetstream().add_stream(name=self.stream, subjects=subjects)
        await client.close()

    def close(self) -> None:
        """End the daemon, and make room for the next one's subjects."""

        async def delete() -> None:
            client = await nats.connect(self.servers.nats_url)
            await client.jetstream().delete_stream(self.stream)
            await client.close()

        try:
            self.run.stop()
        finally:
            asyncio.run(delete())

    async def send(self, subject: str, count: int, body: Callable[[int], bytes] | None = None) -> None:
        """Publish numbered samples; each is stored when this returns."""
        client = await nats.connect(self.servers.nats_url)
        jetstream = client.jetstream(publish_async_max_pending=1000)
        stored = []
        for n in range(self.published, self.published + count):
            payload = body(n) if body else json.dumps({"value": n, "metadata": {"n": n}}).encode()
            stored.append(await jetstream.publish_async(subject, payload))
        for ack in stored:
            await ack
        self.published += count
        await client.close()

    def publish(self, subject: str, count: int, body: Callable[[int], bytes] | None = None) -> None:
        """Publish numbered samples, from a test that is no coroutine."""
        asyncio.run(self.send(subject, count, body))

    def counts(self) -> tuple[int, int, int]:
        """Return rows, different messages among them, dead letters."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            rows = conn.execute("SELECT count(*), count(DISTINCT metadata->>'n') FROM timeseries_metrics").fetchone()
            dead = conn.execute("SELECT count(*) FROM eventwriter_dead_letters").fetchone()
        assert rows is not None
        assert dead is not None
        return rows[0], rows[1], dead[0]

    def settled_counts(self) -> tuple[int, int, int]:
        """Wait until every published message has its row or dead letter, and a moment longer; return the audit."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            rows, _, dead = self.counts()
            if rows + dead >= self.published:
                break
            time.sleep(0.05)
        time.sleep(0.3)
        return self.counts()

    def ctl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `eventwriter-ctl` as an operator does; columns as of a small terminal."""
        return command("eventwriter-ctl", "--socket", self.run.socket, *arguments, environ={"COLUMNS": "80"})

    def reply(self, *arguments: str) -> Any:
        """Return what a command prints as JSON."""
        done = self.ctl(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def slots(self) -> dict[str, dict[str, Any]]:
        """Return the snapshot's slots by name."""
        status = self.run.status()
        assert status is not None, self.run.log()
        return {slot["name"]: slot for slot in status["slots"]}

    def pids(self) -> dict[str, int]:
        """Return each slot's worker."""
        return {name: slot["pid"] for name, slot in self.slots().items()}

    def healthy(self) -> dict[str, Any]:
        """Wait until every worker runs and nothing waits."""
        return self.run.until(lambda s: s["status"] == "healthy" and s["totals"]["lag_messages"] == 0, "healthy")

    def configure(self, **changes: Any) -> None:
        """Write the configuration file anew."""
        self.config |= changes
        content = {"enabled": True, "control": {"socket": self.run.socket}, **self.config}
        self.run.config.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def ctl_servers() -> Iterator[EmbeddedServers]:
    """Servers of one module's own."""
    with EmbeddedServers() as embedded:
        yield embedded
