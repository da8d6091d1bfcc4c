"""
Decides what `eventwriter migrate` does and builds its SQL. Pure.

`migrate` executes exactly the text that its dry run prints.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from eventwriter.config.durations import format_duration
from eventwriter.config.settings import StorageSettings
from eventwriter.errors import Fatal
from eventwriter.postgres.migrate.files import Migration, shipped_migrations
from eventwriter.postgres.partitions.plan import partitions_to_create
from eventwriter.postgres.partitions.sql import LOCK as LOCK
from eventwriter.postgres.partitions.sql import partitioned_migration_sql
from eventwriter.postgres.quoting import quote_ident, quote_literal

LOCK_TIMEOUT = "60s"
"""Creating one table takes milliseconds; a longer wait means that another session hangs."""

OWN_TABLES = "eventwriter_"
"""Prefix of the tables that every daemon needs: ledger, dead letters, suspects."""

RECORDS = """\
CREATE TABLE IF NOT EXISTS eventwriter_migrations (
  version int PRIMARY KEY,
  name text NOT NULL,
  table_name text NOT NULL,
  checksum text NOT NULL,
  outcome text NOT NULL,     -- applied, or found: the table was there and is not ours
  applied_at timestamptz NOT NULL DEFAULT now()
);"""


class Result(StrEnum):
    """Result of one version."""

    APPLIED = "applied"
    PRESENT = "already applied"
    FOUND = "existing table, left unchanged"


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """
    Options of the operator.

    Attributes:
        schema: Schema of the tables, created if missing; None for the connection's current schema.
        plain: Create ordinary tables, without hypertables or partitions.
        chunk_interval: Time span of a hypertable's chunk as a PostgreSQL interval; None for TimescaleDB's default.
        storage: How new tables are partitioned.
        tables: Tables to create beside those of eventwriter itself; None for all that the release has.
    """

    schema: str | None = None
    plain: bool = False
    chunk_interval: str | None = None
    storage: StorageSettings = field(default_factory=StorageSettings)
    tables: frozenset[str] | None = None

    def selects(self, migration: Migration) -> bool:
        """Return whether a migration concerns one of the selected tables or eventwriter's own."""
        return self.tables is None or migration.table in self.tables or migration.table.startswith(OWN_TABLES)

    def selected(self) -> tuple[Migration, ...]:
        """Return the migrations of this release that concern the selected tables."""
        return tuple(migration for migration in shipped_migrations() if self.selects(migration))


@dataclass(frozen=True, slots=True)
class Record:
    """One row of `eventwriter_migrations`."""

    table: str
    checksum: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Partitioning:
    """How new tables are partitioned by time, and the time from which partitions are created."""

    storage: StorageSettings
    now: dt.datetime


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where and how tables are created.

    Attributes:
        timescale: Schema of TimescaleDB's functions; None if no hypertables are created.
        notes: Notes for the operator, one sentence each.
        partitioning: None if tables are not partitioned.
    """

    schema: str
    timescale: str | None
    chunk_interval: str | None
    notes: tuple[str, ...] = ()
    partitioning: Partitioning | None = None


def first_schema(search_path: str) -> str | None:
    """Return the first schema of a search path other than "$user"; None if there is none."""
    names = (part.strip().strip('"') for part in search_path.split(","))
    return next((name for name in names if name and name != "$user"), None)


def decide(migration: Migration, records: Mapping[int, Record], exists: bool) -> Result:
    """
    Decide what one version requires.

    A table of ours that was dropped is created again.

    Args:
        records: Recorded migrations of the database, by version.
        exists: Whether a relation of the table's name exists.

    Raises:
        Fatal: The file differs from the one that was applied.
    """
    if not exists:
        return Result.APPLIED
    record = records.get(migration.version)
    if record is not None and record.outcome == "applied":
        if record.checksum != migration.checksum:
            raise Fatal(
                f"migration {migration} was changed after it was applied to this database (checksum"
                f" {migration.checksum[:12]}, in the database {record.checksum[:12]})",
                code="migration_changed",
                hint="install the released file and make the change in a new one",
            )
        return Result.PRESENT
    ours = any(r.table == migration.table and r.outcome == "applied" for r in records.values())
    return Result.APPLIED if ours else Result.FOUND


def prologue(target: Target) -> str:
    """Return the start of every transaction."""
    return (
        f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n"
        f"SELECT pg_advisory_xact_lock({LOCK});\n"
        f"SET LOCAL search_path TO {quote_ident(target.schema)};"
    )


def version_sql(migration: Migration, result: Result, target: Target, records: Mapping[int, Record]) -> str:
    """Return the SQL of one version and of its record; empty if there is nothing to do."""
    if result is Result.PRESENT or (result is Result.FOUND and migration.version in records):
        return ""
    lines = [create_sql(migration, target)] if result is Result.APPLIED else []
    outcome = "applied" if result is Result.APPLIED else "found"
    # A table that is created again needs its later versions again.
    table, version = quote_literal(migration.table), migration.version
    values = ", ".join(map(quote_literal, (migration.name, migration.table, migration.checksum, outcome)))
    lines.append(f"DELETE FROM eventwriter_migrations WHERE table_name = {table} AND version >= {version};")  # noqa: S608
    lines.append(
        "INSERT INTO eventwriter_migrations (version, name, table_name, checksum, outcome)"  # noqa: S608
        f" VALUES ({version}, {values});"
    )
    return "\n".join(lines)


def create_sql(migration: Migration, target: Target) -> str:
    """Return the SQL of a version; a table with a time column becomes a hypertable or is partitioned."""
    table, column = migration.table, migration.time_column
    if column is not None and target.timescale is not None:
        return f"{migration.sql.strip()}\n{hypertable_sql(table, column, target)}"
    if column is not None and target.partitioning is not None:
        storage, now = target.partitioning.storage.of(table), target.partitioning.now
        ahead = partitions_to_create(table, storage, now, (), {})
        return partitioned_migration_sql(migration, target.schema, ahead)
    return migration.sql.strip()


def describe_partitioning(migration: Migration, target: Target) -> str:
    """Return how a new table is partitioned, for the line of its version; empty for an ordinary table."""
    if migration.time_column is None:
        return ""
    if target.timescale is not None:
        return f" (hypertable on {migration.time_column})"
    if target.partitioning is not None:
        width = format_duration(target.partitioning.storage.of(migration.table).partition_s)
        return f" (partitioned by {migration.time_column}, {width} each)"
    return ""


def hypertable_sql(table: str, time_column: str, target: Target) -> str:
    """Return the call that creates a hypertable, without default indexes because the file creates its own."""
    relation = quote_literal(f"{quote_ident(target.schema)}.{quote_ident(table)}")
    interval = target.chunk_interval
    chunk = f" chunk_time_interval => INTERVAL {quote_literal(interval)}," if interval else ""
    schema = quote_ident(target.timescale or "public")
    return (
        f"SELECT {schema}.create_hypertable({relation}, '{time_column}'::name,{chunk}"
        " create_default_indexes => false, if_not_exists => true);"
    )


def empty_database_script(options: MigrateOptions, now: dt.datetime) -> Iterator[str]:
    """Yield a script for psql that migrates an empty database without TimescaleDB."""
    partitioning = None if options.plain else Partitioning(options.storage, now)
    target = Target(options.schema or "public", None, None, partitioning=partitioning)
    results = [(migration, Result.APPLIED) for migration in options.selected()]
    yield from render_script(target, results, {}, schema_exists=False)


def render_script(
    target: Target, results: Sequence[tuple[Migration, Result]], records: Mapping[int, Record], schema_exists: bool
) -> Iterator[str]:
    """Yield the whole migration as a script for psql."""
    # Only if needed: CREATE SCHEMA requires its privilege even if the schema exists.
    schema = "" if schema_exists else f"CREATE SCHEMA IF NOT EXISTS {quote_ident(target.schema)};\n"
    yield f"BEGIN;\n{schema}{prologue(target)}\n{RECORDS}\nCOMMIT;"
    for migration, result in results:
        yield f"\n-- {migration}: " + ("to be applied" if result is Result.APPLIED else result)
        if sql := version_sql(migration, result, target, records):
            yield f"BEGIN;\n{prologue(target)}\n{sql}\nCOMMIT;"
