"""The stages from a message to a committed row, with a real database, without NATS and without processes."""

from collections.abc import Callable
from typing import Any

import orjson
import psycopg
import pytest

from eventwriter.config.settings import PostgresSettings, StreamSettings
from eventwriter.kinds.registry import kind
from eventwriter.model import Adjustments, Message, Origin, Trigger
from eventwriter.pipeline import copy_stage
from eventwriter.pipeline.batch import Settled
from eventwriter.pipeline.batcher import Batcher, BatchLimits, RowWriter
from eventwriter.pipeline.copy_stage import CopyStage, DeadLetterTarget
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.coverage import CoverageTracker
from eventwriter.pipeline.decode import DecodeStage
from eventwriter.postgres.copy import BatchWrite, write_batch
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.encode import ENCODE_ERRORS, encoder
from eventwriter.postgres.ledger.epochs import find_ledger_table, open_ledger
from eventwriter.postgres.ledger.store import LedgerKey, filter_hash
from eventwriter.postgres.migrate.files import shipped_migrations
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.session import PostgresSession
from eventwriter.tables.table import Build
from eventwriter.worker.table_binding import find_table, find_tables

STORED_NS = 1_767_225_600_000_000_000
"""JetStream timestamp of the first message, 2026-01-01 00:00:00 UTC; each later message is one second newer."""


class Bench:
    """One stream entry that is bound to real tables and settles batches of payloads."""

    def __init__(self, dsn: str, **entry: Any) -> None:
        defaults = {"name": "THINGS", "stream_name": "events", "subjects": ("things.>",), "kind": "json"}
        self.stream = StreamSettings.model_validate({**defaults, **entry})
        self.dsn = dsn
        self.postgres = PostgresSession(PostgresSettings.model_validate({"dsn": dsn}))
        self.adjustments = Adjustments()
        self.counters = Counters()
        self.warnings: list[str] = []
        self.outages: list[str | None] = []
        self._seq = 0
        self._copy: CopyStage | None = None

    def create_tables(self, *sql: str) -> "Bench":
        """Create the ledger and the table of dead letters, and run other statements."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            for migration in shipped_migrations():
                if migration.table in ("eventwriter_ledger", "eventwriter_dead_letters"):
                    conn.execute(migration.sql)
            for statement in sql:
                conn.execute(statement)
        return self

    async def bind(self) -> None:
        """Look up the tables and connect the stages."""
        stream_kind = kind(self.stream.kind)
        async with self.postgres.transaction() as conn:
            tables = await find_tables(conn, self.stream, stream_kind)
            dead_letters = await find_table(conn, None, DEAD_LETTERS)
            ledger_table = await find_ledger_table(conn, None)
            key = LedgerKey(Origin("events", 1_000, 0), "bench", filter_hash(self.stream.subjects))
            ledger = await open_ledger(conn, ledger_table, key)
        bindings = [table.bind(self.adjustments) for table in tables]
        warnings = [w for t, b in zip(tables, bindings, strict=True) for w in (*b.warnings, *t.warnings(b))]
        self.warnings = list(dict.fromkeys(warnings))
        dead_letters_binding = dead_letters.bind()
        options = {**self.stream.options, "consumer": "bench", "kind": self.stream.kind}

        def row_writer(binding: Binding) -> RowWriter:
            redact = frozenset({"community"})
            build = Build(ledger.key.origin, self.adjustments, binding.present, redact=redact, options=options)
            return RowWriter(binding.table.builder(build), encoder(binding))

        self.decode = DecodeStage(stream_kind.decode, ())
        limits = BatchLimits(10**6, 10**6, 10**9, 10.0)
        self.batcher = Batcher([row_writer(b) for b in bindings], limits, CoverageTracker(0, 0), ENCODE_ERRORS)
        self._copy = CopyStage(
            self.postgres, ledger, bindings, DeadLetterTarget(dead_letters_binding, row_writer(dead_letters_binding)),
            self.counters, self.outages.append,
        )  # fmt: skip

    def message(self, payload: Any, **more: Any) -> Message:
        """Return the next delivery; the payload is encoded as JSON unless it is bytes."""
        self._seq += 1
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        stored_ns = STORED_NS + (self._seq - 1) * 1_000_000_000
        message = Message("", "things.one", body, None, self._seq, self._seq, 1, stored_ns)
        return message._replace(**more)

    async def settle(self, *payloads: Any) -> Settled:
        """Settle one batch with a message for each payload; messages are used unchanged."""
        if self._copy is None:
            await self.bind()
        assert self._copy is not None
        messages = [p if isinstance(p, Message) else self.message(p) for p in payloads]
        assert [] == list(self.batcher.add(self.decode(messages), False, 10**6, 0.0))
        return await self._copy(self.batcher.seal(Trigger.AGE))

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return the result of a query over another connection, with times in UTC."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute("SET timezone TO 'UTC'")
            return conn.execute(query).fetchall()

    def dead_letters(self) -> list[tuple[Any, ...]]:
        """Return sequence, reason and SQLSTATE of the dead letters."""
        return self.read("SELECT stream_seq, reason, sqlstate FROM eventwriter_dead_letters ORDER BY stream_seq")


@pytest.fixture
async def bench(database: str) -> Any:
    """A function that creates a bench with its own database."""
    benches: list[Bench] = []

    def make(*sql: str, **entry: Any) -> Bench:
        benches.append(Bench(database, **{"tables": ("things",), **entry}).create_tables(*sql))
        return benches[-1]

    yield make
    for one in benches:
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
