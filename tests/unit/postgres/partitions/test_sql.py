"""The SQL of partitions, as text."""

import datetime as dt

import pytest

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.migrate.files import Migration, parsed, shipped
from eventwriter.postgres.partitions.plan import Making, Stretch, to_make
from eventwriter.postgres.partitions.sql import LOCK, Root, cut, delete_old, drop, make, make_default

LOW, HIGH = dt.datetime(2026, 1, 31, tzinfo=dt.UTC), dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
MAKING = Making("logs_p20260131", Stretch(LOW, HIGH), 0)
ROOT = Root("Odd \"one'", "logs", "timestamp", None, ("timestamp", "body"), "logs_default")

CUT = [migration for migration in shipped() if migration.time_column]


@pytest.mark.parametrize("migration", CUT, ids=str)
def test_released_file_is_cut_by_its_time_and_else_as_it_is(migration: Migration) -> None:
    """The table's statement gets its clause; every line of the file is there, and none is changed."""
    sql = cut(migration, "public", to_make(migration.table, StorageSettings(), LOW, (), {}))

    clause = f" PARTITION BY RANGE ({migration.time_column})"
    assert 1 == sql.count(clause)
    assert sql.replace(clause, "").startswith(migration.sql.strip() + "\n")
    assert 8 == sql.count(f'PARTITION OF "public"."{migration.table}" FOR VALUES FROM')
    assert (
        f'CREATE TABLE "public"."{migration.table}_default" PARTITION OF "public"."{migration.table}" DEFAULT;' in sql
    )


def test_file_that_makes_no_table_cannot_be_cut() -> None:
    """A change that names a time column is a mistake of ours, and is not passed over."""
    change = parsed("0099_x.sql", "-- table: logs\n-- time column: timestamp\nALTER TABLE logs ADD COLUMN x int;\n")

    with pytest.raises(ValueError, match="0099 x: a migration with a time column makes its table with"):
        cut(change, "public", [])


def test_every_step_is_bounded_and_one_at_a_time() -> None:
    """Whatever waits for others waits a second at most, holds for a limited time, and is alone."""
    for step in (make(ROOT, MAKING), make_default(ROOT), drop(ROOT, "logs_p1"), delete_old(ROOT, "now()")):
        assert "SET LOCAL lock_timeout = '1000ms';" in step
        assert "SET LOCAL statement_timeout = '15000ms';" in step
        assert f"SELECT pg_advisory_xact_lock({LOCK});" in step


def test_everybody_is_kept_out_before_rows_move() -> None:
    """The table is locked before the default partition, as writers take them, and both before rows move."""
    step = make(ROOT, MAKING)

    order = [
        'logs" IN ACCESS EXCLUSIVE', "CREATE TABLE", 'logs_default" IN ACCESS EXCLUSIVE', "DELETE FROM ONLY",
        "ATTACH PARTITION",
    ]  # fmt: skip
    places = [step.index(words) for words in order]
    assert sorted(places) == places


def test_partition_is_detached_before_it_is_dropped() -> None:
    """One that is no partition any more is not dropped: DETACH refuses first."""
    step = drop(ROOT, "logs_p1")

    assert step.index("DETACH PARTITION") < step.index("DROP TABLE")


def test_names_are_quoted_and_times_have_their_zone() -> None:
    """Any schema stays a name; an instant means the same in every session."""
    step = make(ROOT, MAKING)

    assert 'LOCK TABLE ONLY "Odd ""one\'"."logs" IN ACCESS EXCLUSIVE MODE;' in step
    assert "FOR VALUES FROM ('2026-01-31 00:00:00+00:00') TO ('2026-02-01 00:00:00+00:00');" in step


def test_partition_is_given_to_the_tables_owner() -> None:
    """Where another role makes it; nothing is said of an owner where it is the same."""
    theirs = Root("public", "logs", "timestamp", "The owner", ("timestamp",), "logs_default")

    assert 'ALTER TABLE "public"."logs_p20260131" OWNER TO "The owner";' in make(theirs, MAKING)
    assert "OWNER TO" not in make(ROOT, MAKING)
