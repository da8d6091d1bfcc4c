"""SQL text of partitions."""

import datetime as dt

import pytest

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.migrate.files import Migration, parse_migration, shipped_migrations
from eventwriter.postgres.partitions.plan import NewPartition, Period, partitions_to_create
from eventwriter.postgres.partitions.sql import (
    LOCK,
    PartitionedTable,
    create_default_sql,
    create_partition_sql,
    delete_expired_sql,
    drop_partition_sql,
    partitioned_migration_sql,
)

LOW, HIGH = dt.datetime(2026, 1, 31, tzinfo=dt.UTC), dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
NEW = NewPartition("logs_p20260131", Period(LOW, HIGH), 0)
TABLE = PartitionedTable("Odd \"one'", "logs", "timestamp", None, ("timestamp", "body"), "logs_default")

PARTITIONED = [migration for migration in shipped_migrations() if migration.time_column]


@pytest.mark.parametrize("migration", PARTITIONED, ids=str)
def test_shipped_migration_is_partitioned_and_otherwise_unchanged(migration: Migration) -> None:
    """The CREATE TABLE gets a PARTITION BY clause; all lines of the file are kept, and partitions are added."""
    ahead = partitions_to_create(migration.table, StorageSettings(), LOW, (), {})

    sql = partitioned_migration_sql(migration, "public", ahead)

    clause = f" PARTITION BY RANGE ({migration.time_column})"
    assert 1 == sql.count(clause)
    assert sql.replace(clause, "").startswith(migration.sql.strip() + "\n")
    assert 8 == sql.count(f'PARTITION OF "public"."{migration.table}" FOR VALUES FROM')
    assert (
        f'CREATE TABLE "public"."{migration.table}_default" PARTITION OF "public"."{migration.table}" DEFAULT;' in sql
    )


def test_migration_without_create_table_cannot_be_partitioned() -> None:
    """A migration that has a time column but creates no table is an error."""
    sql = "-- table: logs\n-- time column: timestamp\nALTER TABLE logs ADD COLUMN x int;\n"

    with pytest.raises(ValueError, match="0099 x"):
        partitioned_migration_sql(parse_migration("0099_x.sql", sql), "public", [])


@pytest.mark.parametrize(
    "script",
    [
        create_partition_sql(TABLE, NEW),
        create_default_sql(TABLE),
        drop_partition_sql(TABLE, "logs_p1"),
        delete_expired_sql(TABLE, "now()"),
    ],
    ids=["create", "create default", "drop", "delete"],
)
def test_every_script_has_time_limits_and_a_lock(script: str) -> None:
    """Every script limits how long it waits and blocks, and excludes concurrent maintenance."""
    assert "SET LOCAL lock_timeout = '1000ms';" in script
    assert "SET LOCAL statement_timeout = '15000ms';" in script
    assert f"SELECT pg_advisory_xact_lock({LOCK});" in script


def test_tables_are_locked_before_rows_move() -> None:
    """The table is locked before its default partition, in the order of writers, and both before rows move."""
    script = create_partition_sql(TABLE, NEW)

    order = [
        'logs" IN ACCESS EXCLUSIVE', "CREATE TABLE", 'logs_default" IN ACCESS EXCLUSIVE', "DELETE FROM ONLY",
        "ATTACH PARTITION",
    ]  # fmt: skip
    positions = [script.index(text) for text in order]
    assert sorted(positions) == positions


def test_partition_is_detached_before_it_is_dropped() -> None:
    """DETACH comes first and fails for a table that is no longer a partition, so that it is not dropped."""
    script = drop_partition_sql(TABLE, "logs_p1")

    assert script.index("DETACH PARTITION") < script.index("DROP TABLE")


def test_names_are_quoted_and_times_have_a_time_zone() -> None:
    """Schema names are quoted, and times mean the same in every session."""
    script = create_partition_sql(TABLE, NEW)

    assert 'LOCK TABLE ONLY "Odd ""one\'"."logs" IN ACCESS EXCLUSIVE MODE;' in script
    assert "FOR VALUES FROM ('2026-01-31 00:00:00+00:00') TO ('2026-02-01 00:00:00+00:00');" in script


def test_partition_gets_the_owner_of_its_table() -> None:
    """A partition that another role creates is given to the table's owner."""
    owned = PartitionedTable("public", "logs", "timestamp", "The owner", ("timestamp",), "logs_default")

    assert 'ALTER TABLE "public"."logs_p20260131" OWNER TO "The owner";' in create_partition_sql(owned, NEW)
    assert "OWNER TO" not in create_partition_sql(TABLE, NEW)
