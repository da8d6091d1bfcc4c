"""Rows whose key exists already: conflict rules, kinds of keys, and mixed batches."""

import asyncio
import random

import psycopg
import pytest
from fix_pipeline import Bench, MakeBench

from eventwriter.errors import Fatal
from eventwriter.model import Outcome

KEYED = "CREATE TABLE things (id int PRIMARY KEY, v text, made timestamptz NOT NULL DEFAULT now())"
THINGS = "SELECT id, v FROM things ORDER BY id, v"


async def test_nothing_keeps_the_first_row(bench: MakeBench) -> None:
    """`nothing` keeps the existing row, and the first of several rows in a batch."""
    one: Bench = bench(KEYED, "INSERT INTO things VALUES (1, 'old')")

    settled = await one.settle({"id": 1, "v": "new"}, {"id": 2, "v": "first"}, {"id": 2, "v": "second"}, {"id": 3})

    assert [(1, "old"), (2, "first"), (3, None)] == one.read(THINGS)
    assert ([Outcome.WRITTEN] * 4, 2, 1) == (settled.outcomes, settled.duplicates, one.counters.staged_merges_total)


async def test_replace_keeps_the_last_row(bench: MakeBench) -> None:
    """`replace` keeps the last row of a key, and leaves columns that are not written unchanged."""
    one: Bench = bench(KEYED, "INSERT INTO things VALUES (1, 'old', '2020-01-01Z')", on_conflict="replace")

    settled = await one.settle({"id": 2, "v": "first"}, {"id": 1, "v": "new"}, {"id": 2}, {"id": 2, "v": "last"})

    assert [(1, "new"), (2, "last")] == one.read(THINGS)
    assert [(2020,)] == one.read("SELECT extract(year FROM made)::int FROM things WHERE id = 1")
    assert 2 == settled.duplicates


async def test_replace_keeps_the_order_of_rows_of_different_sizes(bench: MakeBench) -> None:
    """Rows of very different sizes keep their order in the staging table."""
    one: Bench = bench(KEYED, "INSERT INTO things VALUES (0, 'old')", on_conflict="replace")
    rng = random.Random(7)
    rows = [{"id": rng.randrange(40), "v": f"{n} " + "x" * rng.choice((0, 10, 900, 5000))} for n in range(2000)]
    rows.append({"id": 0, "v": "2000 "})

    await one.settle(*rows)

    last = {row["id"]: row["v"] for row in rows}
    assert sorted(last.items()) == one.read(THINGS)


async def test_append_makes_dead_letters_of_duplicates(bench: MakeBench) -> None:
    """With `append`, a message whose key exists becomes a dead letter, and other messages are written."""
    one: Bench = bench(KEYED, "INSERT INTO things VALUES (5, 'old')", on_conflict="append")

    settled = await one.settle(*({"id": n, "v": "new"} for n in range(10)), {"id": 3, "v": "again"})

    assert [(n, "old" if n == 5 else "new") for n in range(10)] == one.read(THINGS)
    assert [(6, "rejected", "23505"), (11, "rejected", "23505")] == one.dead_letters()
    assert (0, 0) == (settled.duplicates, one.counters.staged_merges_total)


async def test_next_batch_is_not_staged(bench: MakeBench) -> None:
    """Only a batch with a duplicate uses the staging table."""
    one: Bench = bench(KEYED)

    await one.settle({"id": 1})
    await one.settle({"id": 1}, {"id": 2})
    await one.settle({"id": 3})

    assert 1 == one.counters.staged_merges_total
    assert [(1,), (2,), (3,)] == one.read("SELECT id FROM things ORDER BY id")


async def test_dead_letters_and_duplicates_share_a_transaction(bench: MakeBench) -> None:
    """Invalid messages beside duplicates become dead letters in the same transaction."""
    one: Bench = bench(KEYED, "INSERT INTO things VALUES (1, 'old')")

    settled = await one.settle(b"garbage", {"id": 1}, {"v": "no id"}, {"id": 2})

    assert [(1, "old"), (2, None)] == one.read(THINGS)
    assert [(1, "malformed", None), (3, "missing_field", None)] == one.dead_letters()
    assert [Outcome.DEAD, Outcome.WRITTEN, Outcome.DEAD, Outcome.WRITTEN] == settled.outcomes


async def test_rejected_value_beside_a_duplicate_is_the_only_dead_letter(bench: MakeBench) -> None:
    """A value that the server rejects is found among duplicates and is the only dead letter."""
    one: Bench = bench(
        "CREATE TABLE things (id int PRIMARY KEY, v text CHECK (v <> 'bad'))", "INSERT INTO things VALUES (1, 'old')"
    )

    settled = await one.settle({"id": 1, "v": "new"}, {"id": 2, "v": "bad"}, {"id": 3, "v": "good"})

    assert [(1, "old"), (3, "good")] == one.read(THINGS)
    assert [(2, "rejected", "23514")] == one.dead_letters()
    assert 1 == settled.duplicates


async def test_only_the_conflicting_table_is_staged(bench: MakeBench) -> None:
    """Of two tables in one transaction, the one without a duplicate gets all its rows, in either order."""
    one: Bench = bench(
        KEYED, "CREATE TABLE others (id int, v text)", "INSERT INTO things VALUES (1, 'old')",
        tables=("others", "things"),
    )  # fmt: skip

    settled = await one.settle({"id": 1, "v": "new"}, {"id": 2, "v": "new"})

    assert [(1, "old"), (2, "new")] == one.read(THINGS)
    assert [(1, "new"), (2, "new")] == one.read("SELECT id, v FROM others ORDER BY id")
    assert (1, 1) == (settled.duplicates, one.counters.staged_merges_total)


async def test_both_tables_can_conflict(bench: MakeBench) -> None:
    """Both tables of one transaction may have duplicates."""
    one: Bench = bench(
        KEYED, "CREATE TABLE others (id int PRIMARY KEY, v text)", "INSERT INTO things VALUES (1, 'old')",
        "INSERT INTO others VALUES (2, 'old')", tables=("others", "things"), on_conflict="replace",
    )  # fmt: skip

    await one.settle({"id": 1, "v": "new"}, {"id": 2, "v": "new"})

    assert [(1, "new"), (2, "new")] == one.read(THINGS)
    assert [(1, "new"), (2, "new")] == one.read("SELECT id, v FROM others ORDER BY id")


@pytest.mark.parametrize(
    ("ddl", "expected"),
    [
        pytest.param(
            "CREATE TABLE things (id int, v text, w int, UNIQUE (v, id))", [(1, "a", 2), (1, "b", 3)], id="other order"
        ),
        pytest.param(
            "CREATE TABLE things (id int, v text, w int); CREATE UNIQUE INDEX ON things (id, lower(v))",
            [(1, "a", 2), (1, "b", 3)],
            id="expression",
        ),
        pytest.param(
            "CREATE TABLE things (id int, v text, w int); CREATE UNIQUE INDEX ON things (id, v) WHERE v = 'a'",
            [(1, "a", 2), (1, "b", 3)],
            id="partial index",
        ),
        pytest.param(
            "CREATE TABLE things (id int, v text, w int) PARTITION BY LIST (id);"
            "CREATE TABLE things_1 PARTITION OF things FOR VALUES IN (1); CREATE UNIQUE INDEX ON things (id, v)",
            [(1, "a", 2), (1, "b", 3)],
            id="partitioned",
        ),
        pytest.param(
            'CREATE TABLE things (id int, v text, w int, "or der" serial PRIMARY KEY); CREATE UNIQUE INDEX "a ""b"'
            " ON things (v, id)",
            [(1, "a", 2), (1, "b", 3)],
            id="beside a key that is not written",
        ),
        pytest.param(
            "CREATE TABLE things (id int, v text, w int, PRIMARY KEY (id, v)); CREATE UNIQUE INDEX ON things (w)",
            [(1, "a", 2), (1, "b", 3)],
            id="two keys",
        ),
    ],
)
async def test_replace_uses_the_keys_of_the_real_table(bench: MakeBench, ddl: str, expected: list[object]) -> None:
    """The last row of a key is kept for every form of unique key."""
    one: Bench = bench(ddl, "INSERT INTO things VALUES (1, 'a', 0)", on_conflict="replace")

    await one.settle({"id": 1, "v": "a", "w": 1}, {"id": 1, "v": "b", "w": 3}, {"id": 1, "v": "a", "w": 2})

    assert expected == one.read("SELECT id, v, w FROM things ORDER BY id, v")
    assert [] == one.dead_letters()


@pytest.mark.parametrize("rule", ["nothing", "replace"])
async def test_conflict_rules_hold_on_a_hypertable(bench: MakeBench, rule: str) -> None:
    """The rules also hold on a TimescaleDB hypertable, whose chunks have their own indexes."""
    one: Bench = bench(
        "CREATE TABLE things (at timestamptz NOT NULL, id int, v text, PRIMARY KEY (id, at))", on_conflict=rule
    )
    if not one.read("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"):
        pytest.skip("this server has no TimescaleDB")
    with psycopg.connect(one.dsn, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION timescaledb")
        conn.execute("SELECT create_hypertable('things', 'at')")

    await one.settle({"id": 1, "at": "2026-01-01", "v": "old"})
    await one.settle(*({"id": 1, "at": f"2026-01-0{day}", "v": "new"} for day in (1, 2, 9, 2)))

    assert [("old" if rule == "nothing" else "new",), ("new",), ("new",)] == one.read(
        "SELECT v FROM things ORDER BY at"
    )


async def test_nulls_in_a_key_are_distinct(bench: MakeBench) -> None:
    """Rows with NULL in their key are all kept; NULLS NOT DISTINCT merges them."""
    one: Bench = bench(
        "CREATE TABLE things (id int, v text, UNIQUE (id))", "INSERT INTO things VALUES (1, 'old')",
        "CREATE TABLE others (id int, v text, UNIQUE NULLS NOT DISTINCT (id))", "INSERT INTO others VALUES (1, 'old')",
        on_conflict="replace", tables=("things", "others"),
    )  # fmt: skip

    await one.settle({"v": "a"}, {"v": "b"}, {"id": 1, "v": "new"})

    assert [(1, "new"), (None, "a"), (None, "b")] == one.read(THINGS)
    assert [(1, "new"), (None, "b")] == one.read("SELECT id, v FROM others ORDER BY id, v")


async def test_rows_outside_a_partial_key_are_all_kept(bench: MakeBench) -> None:
    """Rows that a partial unique index does not cover are all kept."""
    one: Bench = bench(
        "CREATE TABLE things (id int, v text); CREATE UNIQUE INDEX ON things (id) WHERE v <> 'free'",
        "INSERT INTO things VALUES (1, 'old')", on_conflict="replace",
    )  # fmt: skip

    await one.settle({"id": 1, "v": "new"}, {"id": 2, "v": "free"}, {"id": 2, "v": "free"})

    assert [(1, "new"), (2, "free"), (2, "free")] == one.read(THINGS)


@pytest.mark.parametrize("rule", ["nothing", "replace"])
@pytest.mark.parametrize("initially", ["DEFERRED", "IMMEDIATE"])
async def test_duplicates_of_a_deferrable_key_are_dead_letters(bench: MakeBench, rule: str, initially: str) -> None:
    """A deferrable constraint decides no conflict, so duplicates become dead letters, and the bind warns."""
    one: Bench = bench(
        f"CREATE TABLE things (id int UNIQUE DEFERRABLE INITIALLY {initially}, v text)",
        "INSERT INTO things VALUES (1, 'old')", on_conflict=rule,
    )  # fmt: skip

    await one.settle({"id": 1, "v": "new"}, {"id": 2, "v": "new"})

    assert [(1, "old"), (2, "new")] == one.read(THINGS)
    assert [(1, "rejected", "23505")] == one.dead_letters()
    assert [True] == ["is deferrable or an exclusion constraint" in w for w in one.warnings if "things_id_key" in w]


@pytest.mark.parametrize("rule", ["nothing", "replace"])
async def test_exclusion_violation_is_a_dead_letter(bench: MakeBench, rule: str) -> None:
    """A violation of an exclusion constraint is a dead letter, while the rule applies to the table's key."""
    one: Bench = bench(
        "CREATE TABLE things (id int PRIMARY KEY, v text, EXCLUDE USING hash (v WITH =))",
        "INSERT INTO things VALUES (1, 'old'), (2, 'taken')", on_conflict=rule,
    )  # fmt: skip

    await one.settle({"id": 1, "v": "new"}, {"id": 3, "v": "taken"}, {"id": 4, "v": "free"})

    assert [(1, "old" if rule == "nothing" else "new"), (2, "taken"), (4, "free")] == one.read(THINGS)
    assert [(2, "rejected", "23P01")] == one.dead_letters()


async def test_row_that_violates_another_key_is_a_dead_letter(bench: MakeBench) -> None:
    """A row that replaces by one key and violates another is the only dead letter."""
    one: Bench = bench(
        "CREATE TABLE things (id int PRIMARY KEY, v text UNIQUE)", "INSERT INTO things VALUES (1, 'a'), (2, 'b')",
        on_conflict="replace",
    )  # fmt: skip

    await one.settle({"id": 1, "v": "b"}, {"id": 3, "v": "c"})

    assert [(1, "a"), (2, "b"), (3, "c")] == one.read(THINGS)
    assert [(1, "rejected", "23505")] == one.dead_letters()


async def test_row_of_a_table_with_only_key_columns_is_kept(bench: MakeBench) -> None:
    """If a table has only key columns, `replace` keeps the existing row."""
    one: Bench = bench(
        "CREATE TABLE things (id int PRIMARY KEY)", "INSERT INTO things VALUES (1)", on_conflict="replace"
    )

    settled = await one.settle({"id": 1}, {"id": 1}, {"id": 2})

    assert ([(1,), (2,)], 2) == (one.read("SELECT id FROM things ORDER BY id"), settled.duplicates)


async def test_role_without_the_temporary_privilege_gets_a_hint(bench: MakeBench, database: str) -> None:
    """A role without the privilege TEMPORARY gets a warning at the bind and an error at the first duplicate."""
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    role = f"writer_{name}"
    one: Bench = bench(
        KEYED, "INSERT INTO things VALUES (1, 'old')", f'CREATE ROLE "{role}" LOGIN',
        f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC', f'GRANT USAGE ON SCHEMA public TO "{role}"',
        f'GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO "{role}"',
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{role}"', f'ALTER DATABASE "{name}" SET role = "{role}"',
    )  # fmt: skip
    hint = f'run GRANT TEMPORARY ON DATABASE "{name}" TO "{role}"'

    await one.settle({"id": 2})
    with pytest.raises(Fatal) as caught:
        await one.settle({"id": 1})

    assert ("privilege_missing", hint) == (caught.value.code, caught.value.hint)
    assert [True] == [warning.endswith(hint) for warning in one.warnings]
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f'SET ROLE NONE; GRANT TEMPORARY ON DATABASE "{name}" TO "{role}"')
        settled = await one.settle({"id": 1}, {"id": 3})
        await one.postgres.close()
        conn.execute(f'ALTER DATABASE "{name}" RESET role; DROP OWNED BY "{role}"; DROP ROLE "{role}"')
    assert [Outcome.WRITTEN] * 2 == settled.outcomes


async def test_key_created_after_the_bind_is_used(bench: MakeBench) -> None:
    """A unique index created after the bind decides conflicts, too."""
    one: Bench = bench("CREATE TABLE things (id int, v text)", on_conflict="replace")
    await one.settle({"id": 1, "v": "old"})
    with psycopg.connect(one.dsn, autocommit=True) as conn:
        conn.execute("CREATE UNIQUE INDEX late ON things (id)")

    await one.settle({"id": 1, "v": "new"})

    assert [(1, "new")] == one.read(THINGS)


async def test_staging_table_is_dropped_with_the_transaction(bench: MakeBench) -> None:
    """After a staged batch the session has no temporary table, which clients of a pooled connection would see."""
    one: Bench = bench(KEYED, on_conflict="replace")

    await one.settle({"id": 1}, {"id": 1}, {"id": 2})

    async with one.postgres.transaction() as conn:
        cursor = await conn.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't'")
        assert (0,) == await cursor.fetchone()


async def test_two_writers_of_the_same_keys_both_finish(bench: MakeBench) -> None:
    """Two workers that replace the same keys in opposite order both finish."""
    one: Bench = bench(KEYED, on_conflict="replace")
    other = Bench(one.dsn, tables=("things",), on_conflict="replace", subjects=("other.>",))
    rows = [{"id": n, "v": "x"} for n in range(300)]
    await one.settle(*rows)
    await other.bind()

    for _ in range(5):
        await asyncio.gather(one.settle(*rows), other.settle(*rows[::-1]))
    await other.postgres.close()

    assert [(300,)] == one.read("SELECT count(*) FROM things")
    assert [] == one.dead_letters()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("append", "has the unique key things_pkey (id) and on_conflict is append"),
        ("nothing", None),
        ("replace", None),
    ],
)
async def test_append_to_a_table_with_a_key_is_a_warning(bench: MakeBench, rule: str, words: str | None) -> None:
    """A bind warns that duplicates will become dead letters."""
    one: Bench = bench(KEYED, on_conflict=rule)

    await one.bind()

    assert [True] * bool(words) == [str(words) in warning for warning in one.warnings]


async def test_replace_without_a_key_is_a_warning(bench: MakeBench) -> None:
    """A bind warns that the rule never applies."""
    one: Bench = bench("CREATE TABLE things (id serial PRIMARY KEY, v text)", on_conflict="replace", map={"id": None})

    await one.bind()

    assert [
        'table "public"."things" has no unique key over the columns that are written: no row is ever replaced'
    ] == one.warnings
