"""
What `eventwriter migrate` does, decided and written as SQL; nothing here touches a server.

The same text is run by `migrate` and printed by its dry run, so what is printed is
what would be run.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from eventwriter.config.durations import format_duration
from eventwriter.config.settings import StorageSettings
from eventwriter.errors import Fatal
from eventwriter.postgres.migrate.files import Migration, shipped
from eventwriter.postgres.partitions.plan import to_make
from eventwriter.postgres.partitions.sql import LOCK as LOCK
from eventwriter.postgres.partitions.sql import cut
from eventwriter.postgres.quoting import quote_ident, quote_literal

LOCK_TIMEOUT = "60s"
"""Making one table takes milliseconds; who waits longer waits for something that hangs."""

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
    """What became of one version."""

    APPLIED = "applied"
    PRESENT = "already there"
    FOUND = "found, left as it is"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for."""

    schema: str | None = None
    """Where the tables go, made if missing; None for the connection's current schema."""
    plain: bool = False
    """Ordinary tables: no hypertables, though TimescaleDB is there, and no partitions."""
    chunk_interval: str | None = None
    """How much time one chunk of a hypertable spans, as PostgreSQL's interval; None for TimescaleDB's default."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    """How new tables are partitioned."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of `eventwriter_migrations`."""

    table: str
    checksum: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Cutting:
    """How new tables are cut by time, and from when on they have partitions."""

    storage: StorageSettings
    now: dt.datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how tables are made."""

    schema: str
    timescale: str | None
    """The schema of TimescaleDB's functions; None where there are no hypertables."""
    chunk_interval: str | None
    notes: tuple[str, ...] = ()
    """What the operator may not expect, one sentence each."""
    cutting: Cutting | None = None
    """How tables are partitioned; None where they are not."""


def first_schema(search_path: str) -> str | None:
    """Return the first schema that a search path names, where there is one besides "$user"."""
    names = (part.strip().strip('"') for part in search_path.split(","))
    return next((name for name in names if name and name != "$user"), None)


def decide(migration: Migration, records: Mapping[int, Record], exists: bool) -> Result:
    """
    Decide what one version needs.

    A table of ours that somebody dropped is made again.

    Args:
        records: What the database says was done, by version.
        exists: Whether there is a relation of the table's name.

    Raises:
        Fatal: The file is not the one that was applied.
    """
    if not exists:
        return Result.APPLIED
    record = records.get(migration.version)
    if record is not None and record.outcome == "applied":
        if record.checksum != migration.checksum:
            raise Fatal(
                f"migration {migration} was changed after it was applied here (checksum {migration.checksum[:12]},"
                f" in the database {record.checksum[:12]}); install the released file and put the change into a new one"
            )
        return Result.PRESENT
    ours = any(r.table == migration.table and r.outcome == "applied" for r in records.values())
    return Result.APPLIED if ours else Result.FOUND


def prologue(place: Place) -> str:
    """Return what each transaction begins with."""
    return (
        f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n"
        f"SELECT pg_advisory_xact_lock({LOCK});\n"
        f"SET LOCAL search_path TO {quote_ident(place.schema)};"
    )


def script(migration: Migration, result: Result, place: Place, records: Mapping[int, Record]) -> str:
    """Return the SQL of one version, with its record; empty where nothing is to be done."""
    if result is Result.PRESENT or (result is Result.FOUND and migration.version in records):
        return ""
    lines = []
    if result is Result.APPLIED:
        lines.append(made(migration, place))
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


def made(migration: Migration, place: Place) -> str:
    """Return the SQL of a version, with what becomes of its table where it has a time column."""
    table, column = migration.table, migration.time_column
    if column is not None and place.timescale is not None:
        return f"{migration.sql.strip()}\n{hypertable(table, column, place)}"
    if column is not None and place.cutting is not None:
        wish = place.cutting.storage.of(table)
        return cut(migration, place.schema, to_make(table, wish, place.cutting.now, (), {}))
    return migration.sql.strip()


def how_made(migration: Migration, place: Place) -> str:
    """Return what is said of a table with a time column beside that it was made."""
    if migration.time_column is None:
        return ""
    if place.timescale is not None:
        return f" (hypertable on {migration.time_column})"
    if place.cutting is not None:
        each = format_duration(place.cutting.storage.of(migration.table).partition_s)
        return f" (partitioned by {migration.time_column}, {each} each)"
    return ""


def hypertable(table: str, time_column: str, place: Place) -> str:
    """Return the call that makes a hypertable; the file has the indexes, so TimescaleDB adds none."""
    relation = quote_literal(f"{quote_ident(place.schema)}.{quote_ident(table)}")
    chunk = f" chunk_time_interval => INTERVAL {quote_literal(place.chunk_interval)}," if place.chunk_interval else ""
    return (
        f"SELECT {quote_ident(place.timescale or 'public')}.create_hypertable({relation}, '{time_column}'::name,{chunk}"
        " create_default_indexes => false, if_not_exists => true);"
    )


def without_server(wish: Wish, now: dt.datetime) -> Iterator[str]:
    """Yield the SQL for an empty database, as a script for psql; hypertables only where a server was asked."""
    place = Place(wish.schema or "public", None, None, cutting=None if wish.plain else Cutting(wish.storage, now))
    yield from rendered(place, [(migration, Result.APPLIED) for migration in shipped()], {}, schema_is_there=False)


def rendered(
    place: Place, results: Sequence[tuple[Migration, Result]], records: Mapping[int, Record], schema_is_there: bool
) -> Iterator[str]:
    """Yield the whole of it as a script for psql."""
    # Not always: CREATE SCHEMA needs its privilege also where there is nothing to make.
    schema = "" if schema_is_there else f"CREATE SCHEMA IF NOT EXISTS {quote_ident(place.schema)};\n"
    yield f"BEGIN;\n{schema}{prologue(place)}\n{RECORDS}\nCOMMIT;"
    for migration, result in results:
        yield f"\n-- {migration}: " + ("to be applied" if result is Result.APPLIED else result)
        if sql := script(migration, result, place, records):
            yield f"BEGIN;\n{prologue(place)}\n{sql}\nCOMMIT;"
