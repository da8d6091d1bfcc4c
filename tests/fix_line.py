"""The stages from a message to a committed row, on a real database, without NATS and without processes."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import orjson
import psycopg
import pytest

from eventwriter.config.settings import PostgresSettings, StreamSettings
from eventwriter.kinds.registry import kind
from eventwriter.model import Adjustments, Message, Origin, Trigger
from eventwriter.pipeline import copy_stage
from eventwriter.pipeline.batch import Settled
from eventwriter.pipeline.batcher import BatchLimits, Rows, Target
from eventwriter.pipeline.copy_stage import Copy, Letters
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.coverage import Tracker
from eventwriter.pipeline.decode import Decode
from eventwriter.postgres.copy import BatchWrite, write_batch
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.encode import ENCODE_ERRORS, encoder
from eventwriter.postgres.ledger.epochs import StreamEnd, open_ledger
from eventwriter.postgres.ledger.store import LedgerKey, filter_hash
from eventwriter.postgres.schema.catalog import Binding, read_columns
from eventwriter.postgres.session import PostgresSession
from eventwriter.tables.table import Build
from eventwriter.worker.table_binding import find_table, find_tables

STORED_NS = 1_767_225_600_000_000_000
"""2026-01-01 00:00:00 UTC: when JetStream stored the first message; each later one comes a second later."""


async def nothing_stored(_seq: int) -> None:
    """Know of no stored message."""


async def far_end() -> StreamEnd:
    """Say that the stream's end is far away."""
    return StreamEnd(10**9, nothing_stored)


class Bench:
    """One stream entry, bound to its real tables; given batches of payloads, it settles them."""

    def __init__(self, dsn: str, **entry: Any) -> None:
        given = {"name": "THINGS", "stream_name": "events", "subjects": ("things.>",), "kind": "json"}
        self.stream = StreamSettings.model_validate({**given, **entry})
        self.dsn = dsn
        self.postgres = PostgresSession(PostgresSettings.model_validate({"dsn": dsn}))
        self.tally = Adjustments()
        self.counters = Counters()
        self.warnings: list[str] = []
        self.said: list[str | None] = []
        self._seq = 0
        self._copy: Copy | None = None

    def make(self, *sql: str) -> "Bench":
        """Make the books' tables, and whatever else."""
        migrations = files("eventwriter.postgres.migrate.sql")
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            for name in ("0001_eventwriter_ledger.sql", "0002_eventwriter_dead_letters.sql"):
                conn.execute(migrations.joinpath(name).read_text())
            for statement in sql:
                conn.execute(statement)
        return self

    async def bind(self) -> None:
        """Look the tables up and put the stages together."""
        of_kind = kind(self.stream.kind)
        async with self.postgres.transaction() as conn:
            found = await find_tables(conn, self.stream, of_kind)
            letters = await find_table(conn, None, DEAD_LETTERS)
            ledger_table, _ = await read_columns(conn, None, "eventwriter_ledger")
            key = LedgerKey(Origin("events", 1_000, 0), "bench", filter_hash(self.stream.subjects))
            ledger = await open_ledger(conn, ledger_table, key, far_end)
        bindings = [table.bind(self.tally) for table in found]
        said = [w for t, b in zip(found, bindings, strict=True) for w in (*b.warnings, *t.warnings(b))]
        self.warnings = list(dict.fromkeys(said))
        letters_binding = letters.bind()
        options = {**self.stream.options, "consumer": "bench", "kind": self.stream.kind}

        def target(binding: Binding) -> Target:
            redact = frozenset({"community"})
            build = Build(ledger.key.origin, self.tally, binding.present, redact=redact, options=options)
            return Target(binding.table.builder(build), encoder(binding))

        self.decode = Decode(of_kind.decode, ())
        limits = BatchLimits(10**6, 10**6, 10**9, 10.0)
        self.rows = Rows([target(b) for b in bindings], limits, Tracker(0, 0), ENCODE_ERRORS)
        self._copy = Copy(
            self.postgres, ledger, bindings, Letters(letters_binding, target(letters_binding)), self.counters,
            self.said.append,
        )  # fmt: skip

    def message(self, payload: Any, **more: Any) -> Message:
        """Return the next delivery, of a payload that is JSON unless it is bytes."""
        self._seq += 1
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        stored_ns = STORED_NS + (self._seq - 1) * 1_000_000_000
        message = Message("", "things.one", body, None, self._seq, self._seq, 1, stored_ns)
        return message._replace(**more)

    async def settle(self, *payloads: Any) -> Settled:
        """Write one batch with a message for each payload (or message)."""
        if self._copy is None:
            await self.bind()
        assert self._copy is not None
        messages = [p if isinstance(p, Message) else self.message(p) for p in payloads]
        assert [] == list(self.rows.add(self.decode(messages), False, 10**6, 0.0))
        return await self._copy(self.rows.seal(Trigger.AGE))

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds, from another connection, in UTC."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute("SET timezone TO 'UTC'")
            return conn.execute(query).fetchall()

    def letters(self) -> list[tuple[Any, ...]]:
        """Return the dead letters: sequence, reason, SQLSTATE."""
        return self.read("SELECT stream_seq, reason, sqlstate FROM eventwriter_dead_letters ORDER BY stream_seq")


@pytest.fixture
async def bench(database: str) -> Any:
    """The maker of a bench over a database of its own."""
    made: list[Bench] = []

    def make(*sql: str, **entry: Any) -> Bench:
        made.append(Bench(database, **{"tables": ("things",), **entry}).make(*sql))
        return made[-1]

    yield make
    for one in made:
        await one.postgres.close()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[BatchWrite]:
    """Record every batch that the copy stage attempts to write."""
    batches: list[BatchWrite] = []

    async def recording_write(session: PostgresSession, batch: BatchWrite, *more: Any) -> int:
        batches.append(batch)
        return await write_batch(session, batch, *more)

    monkeypatch.setattr(copy_stage, "write_batch", recording_write)
    return batches


MakeBench = Callable[..., Bench]
