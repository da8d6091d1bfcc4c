"""Batches with invalid messages: all other messages are written to all tables, for every kind."""

import json
import random
from typing import Any

import pytest
from fix_pipeline import Bench, MakeBench
from fuzz.seeds import Seed, seeds

from eventwriter.demo.traffic import READINGS_DDL, TRAFFIC
from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Message, Outcome
from eventwriter.postgres.migrate.files import shipped_migrations

BATCH = 60
GARBAGE = (b"", b"\0", b"{", b"null", b"[7]", b'{"a":', b"\xff\xfe", b'"text"', b"[" * 3000, b'[{"value":1},7]')
CHECKED_DDL = READINGS_DDL.replace("firmware text", "firmware text CHECK (firmware <> 'bad')")


def entry_of(kind: str) -> dict[str, Any]:
    """Return a stream entry that fills all tables of a kind at once."""
    if kind == "json":
        given = TRAFFIC["json"].entry
        return {"kind": kind, "tables": ("demo_readings",), "map": given["map"], "rest": given["rest"]}
    tables = tuple(table.name for table in (*KINDS[kind].tables, *KINDS[kind].also))
    return {"kind": kind, "tables": tables}


def ddl_of(kind: str) -> list[str]:
    return [m.sql for m in shipped_migrations() if m.table in entry_of(kind)["tables"]] or [CHECKED_DDL]


def batch(one: Bench, kind: str, rng: random.Random, share: float) -> list[Message]:
    """Return messages, of which about this share is invalid as a whole or in one of several records."""
    good = [seed for seed in seeds() if seed.kind == kind]
    return [
        one.message(rng.choice(GARBAGE) if rng.random() < share else payload(rng, rng.choice(good), share))
        for _ in range(BATCH)
    ]


def payload(rng: random.Random, seed: Seed, share: float) -> bytes:
    """Return a payload for a seed: sometimes an array whose last record is invalid or violates a CHECK."""
    if not seed.is_json or rng.random() > share:
        return seed.payload
    record = json.loads(seed.payload)
    if seed.kind == "json" and isinstance(record, dict):
        return json.dumps([{**record, "n": 1}, {**record, "firmware": "bad"}]).encode()
    records = record if isinstance(record, list) else [record]
    return json.dumps([*records, {"community": "zzz"}]).encode()


def is_rejected(one: Bench, message: Message) -> bool:
    """Return, without the pipeline, whether a message cannot become rows of the bench's tables."""
    assert one.batcher is not None
    try:
        rows = 0
        records = KINDS[one.stream.kind].decode(message)
        for index, record in enumerate(records):
            made = [target.build(record, message, index) for target in one.batcher._tables]
            rows += any(row is not None for row in made)
            if any(row is not None and "bad" in row for row in made):
                return True
    except Poison:
        return True
    return rows < len(records)


def stored(one: Bench, kind: str) -> dict[str, list[Any]]:
    """Return all rows of all tables of the kind, in order."""
    names = [t.name for t in (*KINDS[kind].tables, *KINDS[kind].also)] or ["demo_readings"]
    return {
        name: [row for (row,) in one.read(f"SELECT (to_jsonb(t) - 'created_at')::text FROM {name} t ORDER BY 1")]
        for name in names
    }


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
async def test_batch_writes_all_valid_messages(bench: MakeBench, kind: str, share: float) -> None:
    """Each invalid message is a dead letter, and the tables contain the rows of all other messages."""
    rng = random.Random(f"{kind} {share}")
    one: Bench = bench(*ddl_of(kind), **entry_of(kind))
    await one.bind()
    messages = batch(one, kind, rng, share)
    poison = [message for message in messages if is_rejected(one, message)]

    settled = await one.settle(*messages)

    dead = [m.stream_seq for m, o in zip(messages, settled.outcomes, strict=True) if o is Outcome.DEAD]
    found = stored(one, kind)
    assert [message.stream_seq for message in poison] == dead
    assert dead == [seq for seq, _, _ in one.dead_letters()]
    await empty(one, found)
    alone = Bench(one.dsn, **entry_of(kind), subjects=("others.>",))  # another page of the ledger
    await alone.settle(*(message for message in messages if message not in poison))
    await alone.postgres.close()
    assert found == stored(one, kind)
    assert (share == 1.0) is not any(found.values())


async def empty(one: Bench, tables: dict[str, list[Any]]) -> None:
    """Empty the tables, but not the ledger."""
    async with one.postgres.transaction() as conn:
        for name in tables:
            await conn.execute(f"TRUNCATE {name}".encode())
