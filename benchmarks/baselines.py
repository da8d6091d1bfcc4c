"""
Baselines: the maximum rate of this PostgreSQL server, and the rate of a simple script.

limit: the same rows, encoded in advance, are copied over one connection, in transactions of
the daemon's largest batch. naive: a script with nats-py's `fetch`, INSERT by `executemany`,
and an ack per message.
"""

import asyncio
import datetime as dt
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.environment import Environment
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


def bindings(env: Environment, kind: Kind) -> list[Binding]:
    """Bind a kind to the benchmark's tables, as a worker does."""

    async def find() -> list[Binding]:
        async with await psycopg.AsyncConnection.connect(env.dsn) as conn:
            return [found.bind() for found in await find_tables(conn, env.entry(kind.name, 0), kind)]

    return asyncio.run(find())


def _builder(env: Environment, kind: Kind, binding: Binding) -> RowBuilder:
    options = {**env.entry(kind.name, 0).options, "kind": kind.name}
    return binding.table.builder(Build(Origin(env.name, 1, 0), Adjustments(), binding.present, options=options))


def _messages(env: Environment, payloads: Sequence[bytes]) -> Iterator[Message]:
    now_ns = time.time_ns()
    for n, payload in enumerate(payloads, 1):
        yield Message("", env.subject(0), payload, None, n, n, 1, now_ns)


def limit(env: Environment, kind: Kind, payloads: Sequence[bytes]) -> float:
    """Return the rows per second that one connection copies, all tables together."""
    env.empty(kind.name)
    bound = bindings(env, kind)
    makers = [(_builder(env, kind, b), encoder(b)) for b in bound]
    batches: list[list[bytearray]] = []
    rows = begun = 0
    for message in _messages(env, payloads):
        if not batches or rows - begun >= BATCH_ROWS:
            batches.append([bytearray() for _ in bound])
            begun = rows
        for index, record in enumerate(kind.decode(message)):
            for (build, encode), buffer in zip(makers, batches[-1], strict=True):
                if row := build(record, message, index):
                    encode(row, buffer)
                    rows += 1
    with psycopg.connect(env.dsn) as conn:
        began_s = time.monotonic()
        for batch in batches:
            for binding, buffer in zip(bound, batch, strict=True):
                if buffer:
                    with conn.cursor().copy(binding.copy_sql) as copy:
                        copy.write(SIGNATURE + buffer + TRAILER)
            conn.commit()
        return rows / (time.monotonic() - began_s)


def naive(env: Environment, kind: Kind, payloads: Sequence[bytes]) -> float:
    """Return the messages per second of the simple script, which builds the same rows with the same code."""
    env.empty(kind.name)
    env.publish(payloads, 1)
    return asyncio.run(_naive(env, kind, bindings(env, kind), len(payloads)))


async def _naive(env: Environment, kind: Kind, bound: Sequence[Binding], count: int) -> float:
    makers = [(_builder(env, kind, b), _insert_sql(b), _converter(b), list[Any]()) for b in bound]
    async with env.client() as client, await psycopg.AsyncConnection.connect(env.dsn) as conn:
        subscription = await client.jetstream().pull_subscribe(env.subject(0), "naive", stream=env.name)
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


def _converter(binding: Binding) -> Callable[[Sequence[Any]], list[Any]]:
    """Return a function that converts a row to the Python values that a script would insert."""

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
