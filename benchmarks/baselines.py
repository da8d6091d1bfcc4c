"""
What the figures are held against: the most that this PostgreSQL takes, and what an afternoon's script reaches.

limit: the same rows, encoded beforehand, through one connection that does nothing else:
COPY in transactions of the daemon's largest batch. naive: nats-py's `fetch`, an INSERT
by `executemany`, an ack for each message.
"""

import asyncio
import datetime as dt
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.bed import Bed
from eventwriter.kinds.registry import Kind
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.postgres.encode import SIGNATURE, TRAILER, encoder
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.schema.conversions import elements
from eventwriter.tables.table import Build, RowBuilder
from eventwriter.worker.table_binding import find_tables

BATCH_ROWS = 5000
"""The daemon's `max_batch_size`."""
FETCH_MESSAGES = 500

_JAN_2000 = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def bindings(bed: Bed, kind: Kind) -> list[Binding]:
    """Bind to the benchmark's tables, as a worker does."""

    async def look() -> list[Binding]:
        async with await psycopg.AsyncConnection.connect(bed.dsn) as conn:
            return [found.bind() for found in await find_tables(conn, bed.entry(kind.name, 0), kind)]

    return asyncio.run(look())


def _builder(bed: Bed, kind: Kind, binding: Binding) -> RowBuilder:
    options = {**bed.entry(kind.name, 0).options, "kind": kind.name}
    return binding.table.builder(Build(Origin(bed.name, 1, 0), Adjustments(), binding.present, options=options))


def _messages(bed: Bed, payloads: Sequence[bytes]) -> Iterator[Message]:
    now_ns = time.time_ns()
    for n, payload in enumerate(payloads, 1):
        yield Message("", bed.subject(0), payload, None, n, n, 1, now_ns)


def limit(bed: Bed, kind: Kind, payloads: Sequence[bytes]) -> float:
    """Return the rows a second that one connection copies, all tables together."""
    bed.empty(kind.name)
    bound = bindings(bed, kind)
    makers = [(_builder(bed, kind, b), encoder(b)) for b in bound]
    batches: list[list[bytearray]] = []
    rows = begun = 0
    for message in _messages(bed, payloads):
        if not batches or rows - begun >= BATCH_ROWS:
            batches.append([bytearray() for _ in bound])
            begun = rows
        for index, record in enumerate(kind.decode(message)):
            for (build, encode), buffer in zip(makers, batches[-1], strict=True):
                if row := build(record, message, index):
                    encode(row, buffer)
                    rows += 1
    with psycopg.connect(bed.dsn) as conn:
        began_s = time.monotonic()
        for batch in batches:
            for binding, buffer in zip(bound, batch, strict=True):
                if buffer:
                    with conn.cursor().copy(binding.copy_sql) as copy:
                        copy.write(SIGNATURE + buffer + TRAILER)
            conn.commit()
        return rows / (time.monotonic() - began_s)


def naive(bed: Bed, kind: Kind, payloads: Sequence[bytes]) -> float:
    """Return the messages a second of the obvious script; it builds the same rows, by the same code."""
    bed.empty(kind.name)
    bed.publish(payloads, 1)
    return asyncio.run(_naive(bed, kind, bindings(bed, kind), len(payloads)))


async def _naive(bed: Bed, kind: Kind, bound: Sequence[Binding], count: int) -> float:
    makers = [(_builder(bed, kind, b), _insert_sql(b), _plainer(b), list[Any]()) for b in bound]
    async with bed.client() as client, await psycopg.AsyncConnection.connect(bed.dsn) as conn:
        subscription = await client.jetstream().pull_subscribe(bed.subject(0), "naive", stream=bed.name)
        done, began_s = 0, time.monotonic()
        while done < count:
            deliveries = await subscription.fetch(FETCH_MESSAGES, timeout=10)
            for delivery in deliveries:
                meta = delivery.metadata
                message = Message(
                    delivery.reply, delivery.subject, delivery.data, None,
                    meta.sequence.stream, meta.sequence.consumer, 1, time.time_ns(),
                )  # fmt: skip
                for index, record in enumerate(kind.decode(message)):
                    for build, _, plain, rows in makers:
                        if row := build(record, message, index):
                            rows.append(plain(row))
            async with conn.cursor() as cursor:
                for _, sql, _, rows in makers:
                    if rows:
                        await cursor.executemany(sql.encode(), rows)
                        rows.clear()
            await conn.commit()
            for delivery in deliveries:
                await delivery.ack()
            done += len(deliveries)
        await client.flush()
        return done / (time.monotonic() - began_s)


def _insert_sql(binding: Binding) -> str:
    names = binding.copy_sql.removeprefix("COPY ").removesuffix(" FROM STDIN (FORMAT BINARY)")
    return f"INSERT INTO {names} VALUES ({', '.join(['%s'] * len(binding.positions))}) ON CONFLICT DO NOTHING"


def _plainer(binding: Binding) -> Callable[[Sequence[Any]], list[Any]]:
    """Return the function that gives a row the Python values that a script would have."""

    def jsonb(value: bytes) -> Jsonb:
        return Jsonb(json.loads(value[1:]))

    def moment(value: int) -> dt.datetime:
        return _JAN_2000 + dt.timedelta(microseconds=value)

    changes: dict[str, Callable[[Any], Any]] = {
        "timestamptz": moment,
        "jsonb": jsonb,
        "uuid": bytes.hex,
        "int4[]": elements,
    }
    columns = [(at, changes.get(binding.table.columns[at].type)) for at in binding.positions]

    def plain(row: Sequence[Any]) -> list[Any]:
        return [row[at] if change is None or row[at] is None else change(row[at]) for at, change in columns]

    return plain
