"""
Cost of duplicate keys: wall-clock µs per row of a batch of 5,000 rows, with and without the staging table.

Run with ``python -m benchmarks.conflicts``. Rows have ten columns and a primary key of two;
each figure is the best of several batches and includes ledger and COMMIT. A batch with duplicates
pays for the COPY that fails and for the merge through the staging table.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg

from benchmarks.stage_any_table import reading
from eventwriter.config.settings import PostgresSettings
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.postgres.copy import BatchWrite, write_batch
from eventwriter.postgres.encode import encoder
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.ledger.epochs import open_ledger
from eventwriter.postgres.ledger.ranges import Newest
from eventwriter.postgres.ledger.store import LedgerKey
from eventwriter.postgres.migrate.files import shipped_migrations
from eventwriter.postgres.schema.catalog import Binding, bind, read_columns
from eventwriter.postgres.session import PostgresSession
from eventwriter.tables.generic.table import generate_tables
from eventwriter.tables.table import Build

ROWS = 5000
ROUNDS = 7
DDL = (
    "CREATE TABLE readings (time timestamptz NOT NULL, device_id text NOT NULL, site text, sensor varchar(40),"
    " temperature float8, humidity float8, battery int, uptime_s bigint, charging bool, tags jsonb,"
    " PRIMARY KEY (device_id, time))"
)


class Bench:
    """A table, a session, and batches for them."""

    def __init__(self, postgres: PostgresSession, ledger: Any, binding: Binding) -> None:
        self.postgres, self.ledger, self.binding = postgres, ledger, binding
        self.seq = 0

    def rows(self, numbers: Sequence[int]) -> bytearray:
        """Return encoded rows; equal numbers have equal keys."""
        build = self.binding.table.builder(Build(Origin("s", 1, 0), Adjustments(), self.binding.present))
        encode, out = encoder(self.binding), bytearray()
        for n in numbers:
            record = {**reading(random.Random(n), n), "time": 1_767_225_600 + n}
            row = build(record, Message("", "s", b"", None, n + 1, 1, 1, 0), 0)
            assert row is not None
            encode(row, out)
        return out

    async def write(self, rows: bytearray, rule: str) -> tuple[float, int]:
        """Write one batch as the copy stage does; return its µs per row and the number of skipped rows."""
        self.seq += 1
        binding = replace(self.binding, table=replace(self.binding.table, conflict=rule))
        load = BatchWrite([(binding, rows)], [(self.seq, self.seq + 1)], Newest(self.seq, self.seq))
        began = time.perf_counter()
        try:
            skipped = await write_batch(self.postgres, load, self.ledger)
        except Rejected as rejected:
            skipped = await write_batch(self.postgres, load, self.ledger, {0: rejected.constraint})
        return (time.perf_counter() - began) / ROWS * 1e6, skipped


async def measure(bench: Bench, share: float, rule: str) -> tuple[float, int]:
    """Return the best µs per row of batches with a `share` of existing keys, and the number of skipped rows."""
    best, skipped = float("inf"), 0
    for round_ in range(ROUNDS):
        first = (round_ + 1) * 10 * ROWS
        old = round(ROWS * share)
        async with bench.postgres.transaction() as conn:
            await conn.execute("TRUNCATE readings")
        await bench.write(bench.rows(range(ROWS)), "append")
        numbers = [*range(old), *range(first, first + ROWS - old)]
        random.Random(1).shuffle(numbers)
        took, skipped = await bench.write(bench.rows(numbers), rule)
        best = min(best, took)
    return best, skipped


async def main(dsn: str) -> None:
    """Measure and print."""
    postgres = PostgresSession(PostgresSettings.model_validate({"dsn": dsn}))
    async with postgres.transaction() as conn:
        target, real = await read_columns(conn, None, "readings")
        ledger = await open_ledger(conn, '"public"."eventwriter_ledger"', LedgerKey(Origin("s", 1, 0), "c", "f"))
    bench = Bench(postgres, ledger, bind(generate_tables("readings", real, {}, {}).tables[0], real, target))
    print(f"{'batch of 5,000 rows':<34}{'µs per row':>12}{'skipped':>10}")
    for name, share, rule in (
        ("plain, no duplicate", 0.0, "nothing"),
        ("nothing, 1 duplicate", 1 / ROWS, "nothing"),
        ("nothing, 10 % duplicates", 0.1, "nothing"),
        ("nothing, all duplicates", 1.0, "nothing"),
        ("replace, 1 duplicate", 1 / ROWS, "replace"),
        ("replace, 10 % duplicates", 0.1, "replace"),
        ("replace, all duplicates", 1.0, "replace"),
    ):
        took, skipped = await measure(bench, share, rule)
        print(f"{name:<34}{took:>12.2f}{skipped:>10}")
    await postgres.close()


if __name__ == "__main__":
    with EmbeddedServers() as servers:
        with psycopg.connect(servers.postgres_dsn(), autocommit=True) as made:
            made.execute(DDL)
            made.execute("".join(m.sql for m in shipped_migrations() if m.table == "eventwriter_ledger"))
        asyncio.run(main(servers.postgres_dsn()))
