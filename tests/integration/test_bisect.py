"""Cost of finding rejected messages on a real server, in COPY statements."""

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
    """Return payloads, of which the given ones are rejected."""
    return [{"n": n, "v": "bad" if n in bad else "good"} for n in range(count)]


def rejected_sets(count: int, most: int) -> list[list[int]]:
    """Return sets of rejected messages: none, first, last, neighbours, and random sets of each size."""
    rng = random.Random(4)
    return [[], [0], [count - 1], [5, 6, 7], *(sorted(rng.sample(range(count), k)) for k in (1, 2, most))]


@pytest.mark.parametrize("bad", rejected_sets(1000, 20), ids=lambda bad: f"{len(bad)} from {min(bad, default=0)}")
async def test_row_named_by_the_server_costs_three_copies(
    bench: MakeBench, bad: list[int], batches: list[BatchWrite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the server names the row, k rejected messages cost at most 3k + 2 COPYs plus the small pieces."""
    monkeypatch.setattr(copy_stage, "SQLSTATES", frozenset())
    one = bench(CHECKED)

    settled = await one.settle(*batch(1000, bad))

    small_pieces = 1000 // 64 if len(bad) > 8 else 0
    assert len(batches) <= 3 * len(bad) + 2 + small_pieces
    assert_settled(one, settled.outcomes, bad)


@pytest.mark.parametrize("bad", rejected_sets(256, 12), ids=lambda bad: f"{len(bad)} from {min(bad, default=0)}")
async def test_unnamed_row_costs_a_bisection(
    bench: MakeBench, bad: list[int], batches: list[BatchWrite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the server names no row, k rejected messages of n cost at most 2k log2 n + 2 COPYs."""
    monkeypatch.setattr(copy_stage, "SQLSTATES", frozenset())
    one = bench(*REFERRING)

    settled = await one.settle(*batch(256, bad))

    assert len(batches) <= 2 * len(bad) * math.log2(256) + 2
    assert_settled(one, settled.outcomes, bad)


async def test_messages_rejected_only_together_are_all_written(bench: MakeBench, batches: list[BatchWrite]) -> None:
    """A message that is rejected only after another one is written by itself, without a dead letter."""
    one = bench(
        "CREATE TABLE things (n int, v text)",
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.n = 200 AND current_setting('odd.seen', true) = 'yes' THEN RAISE 'odd'; END IF;"
        " IF NEW.n = 100 THEN PERFORM set_config('odd.seen', 'yes', true); END IF; RETURN NEW; END $$",
        "CREATE TRIGGER odd BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION odd()",
    )

    settled = await one.settle(*batch(256, []))

    assert (4, 256) == (len(batches), settled.count(Outcome.WRITTEN))
    assert_settled(one, settled.outcomes, [])


async def test_batch_of_only_rejected_messages_costs_two_copies_each(
    bench: MakeBench, batches: list[BatchWrite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rejected message costs at most two COPYs, including the one for all dead letters."""
    monkeypatch.setattr(copy_stage, "SQLSTATES", frozenset())
    one = bench(CHECKED)

    settled = await one.settle(*batch(40, range(40)))

    assert (len(batches), 40) == (2 * 40, settled.count(Outcome.DEAD))
    assert_settled(one, settled.outcomes, range(40))


async def test_message_with_one_rejected_row_is_rejected_whole(bench: MakeBench, batches: list[BatchWrite]) -> None:
    """The row named by the server is found in any table, and none of its message's rows is written."""
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


async def test_accepted_pieces_are_committed_at_once(bench: MakeBench, batches: list[BatchWrite]) -> None:
    """Each accepted piece is committed with its part of the ledger, which ends as one range."""
    one = bench(CHECKED)

    await one.settle(*batch(100, [60]))

    assert [[(1, 101)], [(1, 61)], [(61, 62)], [(62, 101)], [(61, 62)]] == [load.covered for load in batches]
    assert [("{[1,101)}",)] == one.read("SELECT committed::text FROM eventwriter_ledger")


async def test_dead_letter_has_the_error_without_values(bench: MakeBench) -> None:
    """A dead letter has SQLSTATE, message, table and column of the error, but no values."""
    one = bench("CREATE TABLE things (n int, v varchar(3), u numeric(3, 1) CONSTRAINT small CHECK (u < 10))")

    await one.settle({"n": 1, "v": "long secret"}, {"n": 2, "u": 50}, {"n": 3, "u": 500}, {"n": 4, "v": "ok"})

    logged = one.read("SELECT stream_seq, sqlstate, detail FROM eventwriter_dead_letters ORDER BY 1")
    assert [
        (1, "22001", "value too long for type character varying(3) (column v)"),
        (2, "23514", 'new row for relation "things" violates check constraint "small" (table things)'),
        (3, "22003", "numeric field overflow (column u)"),
    ] == logged


def assert_settled(one: Bench, outcomes: Sequence[Outcome], bad: Sequence[int]) -> None:
    """Assert that accepted messages are rows and rejected ones dead letters, each exactly once."""
    count = len(outcomes)
    good = [n for n in range(count) if n not in bad]
    assert [(n,) for n in good] == one.read("SELECT n FROM things ORDER BY n")
    assert [(n + 1,) for n in bad] == one.read("SELECT stream_seq FROM eventwriter_dead_letters ORDER BY 1")
    assert [(f"{{[1,{count + 1})}}",)] == one.read("SELECT committed::text FROM eventwriter_ledger")
    assert [Outcome.DEAD if n in bad else Outcome.WRITTEN for n in range(count)] == list(outcomes)
