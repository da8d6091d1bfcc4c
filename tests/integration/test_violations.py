"""Violations of a batch's constraints found by one query on a real server, compared with splitting."""

import random
from typing import Any

import psycopg
import pytest
from fix_pipeline import Bench, MakeBench

from eventwriter.model import Outcome
from eventwriter.pipeline import copy_stage
from eventwriter.postgres.copy import BatchWrite

CHECKS = "CREATE TABLE things (n int CHECK (n >= 0), v text CONSTRAINT good CHECK (v <> 'bad' AND length(v) > n - n))"
NOT_NULL = "CREATE TABLE things (n int NOT NULL, v text, u numeric(9, 2) NOT NULL CHECK (u < 1000))"
PARENTS = ("CREATE TABLE known (v text PRIMARY KEY)", "INSERT INTO known VALUES ('good'), ('fine')")
FOREIGN_KEY = (*PARENTS, "CREATE TABLE things (n int, v text REFERENCES known DEFERRABLE)")
PARTITIONED = (
    "CREATE TABLE things (n int, v text, CHECK (v <> 'bad')) PARTITION BY RANGE (n)",
    "CREATE TABLE low PARTITION OF things (CHECK (n <> 7)) FOR VALUES FROM (MINVALUE) TO (100)",
    "CREATE TABLE high PARTITION OF things FOR VALUES FROM (100) TO (MAXVALUE)",
)


def payloads(count: int, seed: int) -> list[dict[str, Any]]:
    """Return payloads, of which about 40 % violate a constraint."""
    rng = random.Random(seed)
    return [
        {"n": n, "v": rng.choice(["good", "fine", "good", "bad", "worse"]), "u": rng.choice([1.5, 2000, None, 3, 4])}
        for n in range(count)
    ]


def results(one: Bench, outcomes: Any) -> tuple[Any, ...]:
    # PostgreSQL names the partition, where the search names the table.
    detail = "replace(replace(detail, 'low', 'things'), 'high', 'things')"
    letters = f"SELECT stream_seq, reason, sqlstate, {detail} FROM eventwriter_dead_letters ORDER BY 1"
    ledger = "SELECT committed::text FROM eventwriter_ledger"
    return list(outcomes), one.read("SELECT * FROM things ORDER BY n"), one.read(letters), one.read(ledger)


@pytest.mark.parametrize(
    ("tables", "writes_max"),
    [
        pytest.param((CHECKS,), 8, id="check"),
        pytest.param((NOT_NULL,), 8, id="not null and check"),
        pytest.param(FOREIGN_KEY, 20, id="foreign key, checked after the last row"),
        pytest.param(PARTITIONED, 16, id="constraint of one partition too"),
    ],
)
async def test_search_finds_what_splitting_finds(
    bench: MakeBench,
    tables: tuple[str, ...],
    writes_max: int,
    batches: list[BatchWrite],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows, dead letters, reasons and ledger are the same as with splitting, in a few transactions."""
    one = bench(*tables)
    sent = [one.message(payload) for payload in payloads(200, seed=3)]
    searched = results(one, (await one.settle(*sent)).outcomes)
    writes = len(batches)

    monkeypatch.setattr(copy_stage, "SQLSTATES", frozenset())
    with psycopg.connect(one.dsn, autocommit=True) as conn:
        conn.execute("TRUNCATE things, eventwriter_dead_letters, eventwriter_ledger")
    await one.bind()
    split = results(one, (await one.settle(*sent)).outcomes)

    assert split == searched
    assert 25 < sum(outcome is Outcome.DEAD for outcome in searched[0]) < 150
    assert writes <= writes_max


async def test_trigger_that_corrects_rows_prevents_the_search(bench: MakeBench) -> None:
    """A BEFORE trigger may change rows, so violations cannot be searched."""
    one = bench(
        CHECKS,
        "CREATE FUNCTION correct() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.v = 'bad' AND NEW.n % 2 = 0 THEN NEW.v = 'corrected'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER correct BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION correct()",
    )

    settled = await one.settle(*({"n": n, "v": "bad"} for n in range(40)))

    assert [n % 2 == 1 for n in range(40)] == [outcome is Outcome.DEAD for outcome in settled.outcomes]
    assert [(20,)] == one.read("SELECT count(*) FROM things WHERE v = 'corrected'")


async def test_row_whose_parent_is_in_the_batch_is_written(bench: MakeBench) -> None:
    """A foreign key to a table of the same batch is not searched, because the batch may contain the parent."""
    one = bench(
        "CREATE TABLE parents (n int PRIMARY KEY, v text CHECK (v <> 'bad'))",
        "CREATE TABLE things (n int REFERENCES parents, v text CHECK (v <> 'bad'))",
        tables=("parents", "things"),
    )

    settled = await one.settle(*({"n": n, "v": "bad" if n % 3 == 0 else "good"} for n in range(60)))

    assert [n % 3 == 0 for n in range(60)] == [outcome is Outcome.DEAD for outcome in settled.outcomes]
    assert [(40,)] == one.read("SELECT count(*) FROM things")


async def test_foreign_key_of_an_extension_type_is_left_to_postgresql(bench: MakeBench) -> None:
    """citext compares without case by an operator of its own, which the search does not know."""
    try:
        one = bench(
            "CREATE EXTENSION citext",
            "CREATE TABLE known (v citext PRIMARY KEY)",
            "INSERT INTO known VALUES ('GOOD')",
            "CREATE TABLE things (n int CHECK (n < 1000), v citext REFERENCES known)",
        )
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL has no citext")

    settled = await one.settle(*({"n": n, "v": "good" if n % 2 else "bad"} for n in range(40)))

    assert [n % 2 == 0 for n in range(40)] == [outcome is Outcome.DEAD for outcome in settled.outcomes]
