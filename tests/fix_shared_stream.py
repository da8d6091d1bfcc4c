"""A stream with several subjects, a daemon that writes it, and its checks by `verify`."""

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

JetStreamFunction = Callable[[nats.js.client.JetStreamContext], Awaitable[Any]]

SUBJECTS = ("t.a", "other", "n.a", "t.b", "other")
"""The subjects of one round: two for telemetry, one for flows, and two outside of all filters."""


class SharedStream:
    """One stream with the entries `TELEMETRY` and `NETFLOW`, and their database."""

    def __init__(self, folder: Path, nats_url: str, dsn: str, **top: Any) -> None:
        self.nats_url, self.dsn, self.stream = nats_url, dsn, f"books_{uuid.uuid4().hex[:8]}"
        self.published = 0
        entries = [
            {"name": "TELEMETRY", "subject": f"{self.stream}.t.>", "stream_name": self.stream, "batch_timeout": 50},
            {"name": "NETFLOW", "subject": f"{self.stream}.n.>", "stream_name": self.stream, "batch_timeout": 50},
        ]
        # The ledger identifies a consumer by stream and durable, so each test has its own.
        config = {
            "consumer_name": self.stream, "nats": {"servers": [nats_url]}, "postgres": {"dsn": dsn},
            "streams": entries, **top,
        }  # fmt: skip
        self.run = Run(folder, config)
        assert 0 == command("eventwriter", "migrate", "--dsn", dsn).returncode
        self.jetstream(lambda js: js.add_stream(name=self.stream, subjects=[f"{self.stream}.>"]))

    def jetstream(self, function: JetStreamFunction) -> Any:
        """Call a function with a JetStream context and return its result."""

        async def connected() -> Any:
            client = await nats.connect(self.nats_url)
            try:
                return await function(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(connected())

    def publish(self, rounds: int, garbage: bool = False) -> None:
        """Publish rounds of five messages; with `garbage` the very first one is invalid."""

        async def each(js: nats.js.client.JetStreamContext) -> None:
            for at in range(rounds):
                for subject in SUBJECTS:
                    body = b"garbage" if garbage and not at and subject == "t.a" else self._body(subject)
                    await js.publish(f"{self.stream}.{subject}", body)
                    self.published += 1

        self.jetstream(each)

    def _body(self, subject: str) -> bytes:
        if subject.startswith("n."):
            return json.dumps({"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "bytes": self.published}).encode()
        return json.dumps({"name": "m", "value": self.published}).encode()

    def run_until_written(self, at_least: int | None = None) -> None:
        """
        Run the daemon until all messages are written and acknowledged; it continues to run.

        Args:
            at_least: Number of messages to wait for; by default all published messages that match a filter.
        """
        count = self.published // 5 * 3 if at_least is None else at_least
        if self.run.process is None:
            self.run.start()
        self.run.until(
            lambda s: (
                all(slot["state"] == "running" and slot["lag_messages"] == 0 for slot in s["slots"])
                and s["totals"]["messages_total"] >= count
            ),
            "wrote all messages",
        )

    def execute(self, query: str, *values: Any) -> int:
        """Execute a statement and return the number of affected rows."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            return conn.execute(query.encode(), values or None).rowcount

    def verify(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `eventwriter-ctl verify`."""
        return command("eventwriter-ctl", "--config", str(self.run.config), "verify", *arguments)

    def verify_slots(self, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """Run `verify --json`; return the exit code and the slots of its report by name."""
        done = self.verify("--json", *arguments)
        assert done.stdout, done.stderr
        return done.returncode, {slot["slot"]: slot for slot in json.loads(done.stdout)["slots"]}


@pytest.fixture
def shared(tmp_path: Path, nats_url: str, database: str) -> Iterator[SharedStream]:
    """An empty stream with a configuration and a migrated database; its daemon is stopped after the test."""
    one = SharedStream(tmp_path, nats_url, database)
    yield one
    one.run.stop()
