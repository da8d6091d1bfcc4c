"""What finding guilty messages costs, on a real server: COPYs are counted."""

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from fix_pipeline import Bench, MakeBench

from eventwriter.model import Outcome
from eventwriter.pipeline import copy_stage
from eventwriter.postgres.copy import BatchWrite

CHECKED = "CREATE TABLE things (n int, v text CHECK (v <> 'bad'))"
# The server checks it after the last row, and names none.
REFERRING = ("CREATE TABLE known (v text PRIMARY KEY)", "INSERT INTO known VALUES ('good')",
             "CREATE TABLE things (n int, v text REFERENCES known)")  # fmt: skip


def batch(count: int, bad: Sequence[int]) -> list[dict[str, Any]]:
    """Return payloads, the bad ones among them."""
    return [{"n": n, "v": "bad" if n in bad else "good"} for n in range(count)]


def some(count: int, most: int) -> list[list[int]]:
    """Return sets of guilty messages: none, ends, neighbours, and made-up ones of each size."""
    rng = random.Random(4)
    return [[], [0], [count - 1], [5, 6, 7], *(sorted(rng.sample(range(count), k)) for k in (1, 2, most))]


@pytest.mark.parametrize("bad", some(1000, 20), ids=lambda bad: f"{len(bad)} from {min(bad, default=0)}")
async def test_named_rows_cost_three_copies_each(
    bench: MakeBench, bad: list[int], batches: list[BatchWrite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server names the row, k bad messages cost at most 3 k + 2 COPYs, and the small pieces after several."""
    monkeypatch.setattr(copy_stage, "SQLSTATES", frozenset())
    one = bench(CHECKED)

    settled = await one.settle(*batch(1000, bad))

    small_pieces = 1000 // 64 if len(bad) > 8 else 0
    assert len(batches) <= 3 * len(bad) + 2 + small_pieces
    balances(one, settled.outcomes, bad)


@pytest.mark.parametrize("bad", some(256, 12), ids=lambda bad: f"{len(bad)} from {min(bad, default=0)}")
async def test_unnamed_rows_cost_a_halving_each(
    bench: MakeBench, bad: list[int], batches: list[BatchWrite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not, k guilty messages of n cost 2 k log2 n + 2 COPYs at most."""
    monkeypatch.setattr(copy_stage, "SQLSTATES", frozenset())
    one = bench(*REFERRING)

    settled = await one.settle(*batch(256, bad))

    assert len(batches) <= 2 * len(bad) * math.log2(256) + 2
    balances(one, settled.outcomes, bad)


async def test_rows_that_only_clash_are_all_written(bench: MakeBench, batches: list[BatchWrite]) -> None:
    """A message that is refused only for what stands before it is written once it is by itself; nobody dies."""
    one = bench(
        "CREATE TABLE things (n int, v text)",
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.n = 200 AND current_setting('odd.seen', true) = 'yes' THEN RAISE 'odd'; END IF;"
        " IF NEW.n = 100 THEN PERFORM set_config('odd.seen', 'yes', true); END IF; RETURN NEW; END $$",
        "CREATE TRIGGER odd BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION odd()",
    )

    settled = await one.settle(*batch(256, []))

    assert (4, 256) == (len(batches), settled.count(Outcome.WRITTEN))
    balances(one, settled.outcomes, [])


async def test_batch_of_nothing_but_guilty_messages(
    bench: MakeBench, batches: list[BatchWrite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two COPYs for each, and one for all their dead letters."""
    monkeypatch.setattr(copy_stage, "SQLSTATES", frozenset())
    one = bench(CHECKED)

    settled = await one.settle(*batch(40, range(40)))

    assert (len(batches), 40) == (2 * 40, settled.count(Outcome.DEAD))
    balances(one, settled.outcomes, range(40))


async def test_messages_of_many_rows_and_tables(bench: MakeBench, batches: list[BatchWrite]) -> None:
    """The row that the server names is found again in whichever table, and its message dies whole."""
    one = bench(
        CHECKED, "CREATE TABLE others (n int, v text CHECK (v <> 'worse'))", tables=("things", "others"),
    )  # fmt: skip
    payloads = [[{"n": 3 * m + at, "v": "good"} for at in range(3)] for m in range(30)]
    payloads[11][1]["v"] = "bad"
    payloads[20][2]["v"] = "worse"

    settled = await one.settle(*payloads)

    assert [11, 20] == [at for at, outcome in enumerate(settled.outcomes) if outcome is Outcome.DEAD]
    for name in ("things", "others"):
        assert [(84, 84)] == one.read(f"SELECT count(*), count(DISTINCT n) FROM {name}")
    assert len(batches) <= 3 * 2 + 2


async def test_good_messages_are_committed_before_the_guilty_is_found(
    bench: MakeBench, batches: list[BatchWrite]
) -> None:
    """Each good piece is written at once, with its own part of the ledger, which ends as one range."""
    one = bench(CHECKED)

    await one.settle(*batch(100, [60]))

    assert [[(1, 101)], [(1, 61)], [(61, 62)], [(62, 101)], [(61, 62)]] == [load.covered for load in batches]
    assert [("{[1,101)}",)] == one.read("SELECT committed::text FROM eventwriter_ledger")


async def test_letter_says_what_postgres_said(bench: MakeBench) -> None:
    """A dead letter has the SQLSTATE, PostgreSQL's message, table and column where they are known, and no values."""
    one = bench("CREATE TABLE things (n int, v varchar(3), u numeric(3, 1) CONSTRAINT small CHECK (u < 10))")

    await one.settle({"n": 1, "v": "long secret"}, {"n": 2, "u": 50}, {"n": 3, "u": 500}, {"n": 4, "v": "ok"})

    logged = one.read("SELECT stream_seq, sqlstate, detail FROM eventwriter_dead_letters ORDER BY 1")
    assert [
        (1, "22001", "value too long for type character varying(3) (column v)"),
        (2, "23514", 'new row for relation "things" violates check constraint "small" (table things)'),
        (3, "22003", "numeric field overflow (column u)"),
    ] == logged


def balances(one: Bench, outcomes: Sequence[Outcome], bad: Sequence[int]) -> None:
    """Claim that the good ones are rows and the bad ones dead letters, each once."""
    count = len(outcomes)
    good = [n for n in range(count) if n not in bad]
    assert [(n,) for n in good] == one.read("SELECT n FROM things ORDER BY n")
    assert [(n + 1,) for n in bad] == one.read("SELECT stream_seq FROM eventwriter_dead_letters ORDER BY 1")
    assert [(f"{{[1,{count + 1})}}",)] == one.read("SELECT committed::text FROM eventwriter_ledger")
    assert [Outcome.DEAD if n in bad else Outcome.WRITTEN for n in range(count)] == list(outcomes)
