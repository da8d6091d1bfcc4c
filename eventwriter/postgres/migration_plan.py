"""
What `eventwriter migrate` does, decided and written as SQL; nothing here touches a server.

The same text is run by `migrate` and printed by its dry run, so what is printed is
what would be run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from eventwriter.errors import Fatal
from eventwriter.postgres.catalog import quoted
from eventwriter.postgres.migration_files import Migration, shipped

LOCK = int.from_bytes(b"eventwr", "big")
"""The advisory lock's number; any constant would do, this one is recognisable in pg_locks."""

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
    """No hypertables, though TimescaleDB is there."""
    chunk_interval: str | None = None
    """How much time one chunk of a hypertable spans, as PostgreSQL's interval; None for TimescaleDB's default."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of `eventwriter_migrations`."""

    table: str
    checksum: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how tables are made."""

    schema: str
    timescale: str | None
    """The schema of TimescaleDB's functions; None for plain tables."""
    chunk_interval: str | None
    notes: tuple[str, ...] = ()
    """What the operator may not expect, one sentence each."""


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
        f"SET LOCAL search_path TO {quoted(place.schema)};"
    )


def script(migration: Migration, result: Result, place: Place, records: Mapping[int, Record]) -> str:
    """Return the SQL of one version, with its record; empty where nothing is to be done."""
    if result is Result.PRESENT or (result is Result.FOUND and migration.version in records):
        return ""
    lines = []
    if result is Result.APPLIED:
        lines.append(migration.sql.strip())
        if place.timescale is not None and migration.time_column is not None:
            lines.append(hypertable(migration.table, migration.time_column, place))
    outcome = "applied" if result is Result.APPLIED else "found"
    # Made again, a table needs its later versions again.
    table, version = literal(migration.table), migration.version
    lines.append(f"DELETE FROM eventwriter_migrations WHERE table_name = {table} AND version >= {version};")  # noqa: S608
    lines.append(
        "INSERT INTO eventwriter_migrations (version, name, table_name, checksum, outcome)"  # noqa: S608
        f" VALUES ({version}, {literal(migration.name)}, {table}, {literal(migration.checksum)}, {literal(outcome)});"
    )
    return "\n".join(lines)


def hypertable(table: str, time_column: str, place: Place) -> str:
    """Return the call that makes a hypertable; the file has the indexes, so TimescaleDB adds none."""
    relation = literal(f"{quoted(place.schema)}.{quoted(table)}")
    chunk = f" chunk_time_interval => INTERVAL {literal(place.chunk_interval)}," if place.chunk_interval else ""
    return (
        f"SELECT {quoted(place.timescale or 'public')}.create_hypertable({relation}, '{time_column}'::name,{chunk}"
        " create_default_indexes => false, if_not_exists => true);"
    )


def without_server(wish: Wish) -> Iterator[str]:
    """Yield the SQL for an empty database, as a script for psql; hypertables only where a server was asked."""
    place = Place(wish.schema or "public", None, None)
    yield from rendered(place, [(migration, Result.APPLIED) for migration in shipped()], {}, schema_is_there=False)


def rendered(
    place: Place, results: Sequence[tuple[Migration, Result]], records: Mapping[int, Record], schema_is_there: bool
) -> Iterator[str]:
    """Yield the whole of it as a script for psql."""
    # Not always: CREATE SCHEMA needs its privilege also where there is nothing to make.
    schema = "" if schema_is_there else f"CREATE SCHEMA IF NOT EXISTS {quoted(place.schema)};\n"
    yield f"BEGIN;\n{schema}{prologue(place)}\n{RECORDS}\nCOMMIT;"
    for migration, result in results:
        yield f"\n-- {migration}: " + ("to be applied" if result is Result.APPLIED else result)
        if sql := script(migration, result, place, records):
            yield f"BEGIN;\n{prologue(place)}\n{sql}\nCOMMIT;"


def literal(text: str) -> str:
    """Quote an SQL string."""
    return "'" + text.replace("'", "''") + "'"
