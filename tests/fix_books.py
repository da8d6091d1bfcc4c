"""A stream that several subjects share, a daemon that has written it, and what verify and doctor say of it."""

import asyncio
import json
import subprocess
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import nats.js.client
import psycopg
import pytest
from fix_run import Run, command

Act = Callable[[nats.js.client.JetStreamContext], Awaitable[Any]]

SUBJECTS = ("t.a", "other", "n.a", "t.b", "other")
"""A round of publishing: two for telemetry, one for flows, two that nobody wants."""


class Shared:
    """One stream, `TELEMETRY` and `NETFLOW` entries on it, and a database of their own."""

    def __init__(self, folder: Path, nats_url: str, dsn: str, **top: Any) -> None:
        self.nats_url, self.dsn, self.stream = nats_url, dsn, f"books_{uuid.uuid4().hex[:8]}"
        self.published = 0
        entries = [
            {"name": "TELEMETRY", "subject": f"{self.stream}.t.>", "stream_name": self.stream, "batch_timeout": 50},
            {"name": "NETFLOW", "subject": f"{self.stream}.n.>", "stream_name": self.stream, "batch_timeout": 50},
        ]
        # Durables of one stream name are one consumer to the ledger: each test has its own.
        config = {
            "consumer_name": self.stream, "nats": {"servers": [nats_url]}, "postgres": {"dsn": dsn},
            "streams": entries, **top,
        }  # fmt: skip
        self.run = Run(folder, config)
        assert 0 == command("eventwriter", "migrate", "--dsn", dsn).returncode
        self.act(lambda js: js.add_stream(name=self.stream, subjects=[f"{self.stream}.>"]))

    def act(self, act: Act) -> Any:
        """Do something to JetStream."""

        async def connected() -> Any:
            client = await nats.connect(self.nats_url)
            try:
                return await act(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(connected())

    def publish(self, rounds: int, garbage: bool = False) -> None:
        """Publish rounds of five messages; the first of all is garbage if asked for."""

        async def each(js: nats.js.client.JetStreamContext) -> None:
            for at in range(rounds):
                for subject in SUBJECTS:
                    body = b"garbage" if garbage and not at and subject == "t.a" else self._body(subject)
                    await js.publish(f"{self.stream}.{subject}", body)
                    self.published += 1

        self.act(each)

    def _body(self, subject: str) -> bytes:
        if subject.startswith("n."):
            return json.dumps({"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "bytes": self.published}).encode()
        return json.dumps({"name": "m", "value": self.published}).encode()

    def written(self, at_least: int | None = None) -> None:
        """
        Run the daemon until everything is written and acknowledged; it goes on running.

        Args:
            at_least: Messages that it writes; all that it wants of what was published where absent.
        """
        count = self.published // 5 * 3 if at_least is None else at_least
        if self.run.process is None:
            self.run.start()
        self.run.until(
            lambda s: (
                all(slot["state"] == "running" and slot["lag_messages"] == 0 for slot in s["slots"])
                and s["totals"]["messages_total"] >= count
            ),
            "all was written",
        )

    def execute(self, query: str, *values: Any) -> int:
        """Change the database; return how many rows."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            return conn.execute(query.encode(), values or None).rowcount

    def verify(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command as an operator does."""
        return command("eventwriter-ctl", "--config", str(self.run.config), "verify", *arguments)

    def proven(self, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """Return the exit code, and the slots' books by name."""
        done = self.verify("--json", *arguments)
        assert done.stdout, done.stderr
        return done.returncode, {slot["slot"]: slot for slot in json.loads(done.stdout)["slots"]}


@pytest.fixture
def shared(tmp_path: Path, nats_url: str, database: str) -> Iterator[Shared]:
    """A stream with nothing in it, configured and migrated; its daemon is gone afterwards."""
    one = Shared(tmp_path, nats_url, database)
    yield one
    one.run.stop()
