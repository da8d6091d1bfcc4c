"""
`eventwriter migrate`: makes the tables that are not there, and says what it did.

One transaction per version, under an advisory lock, so that two migrates at once
are safe and one that is killed leaves whole versions. A table that is there and was
not made here is left as it is. The running writer never does any of this.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import conninfo as libpq

from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.postgres.errors import Verdict, map_connect_error, primary_message, verdict_for
from eventwriter.postgres.migrate.files import Migration, shipped
from eventwriter.postgres.migrate.plan import (
    LOCK,
    LOCK_TIMEOUT,
    RECORDS,
    Cutting,
    Place,
    Record,
    Result,
    Wish,
    decide,
    how_made,
    prologue,
    rendered,
    script,
)
from eventwriter.postgres.partitions.run import now
from eventwriter.postgres.quoting import quote_ident

Connection = psycopg.Connection[Any]

_VERSION_MIN = 140000
"""PostgreSQL 14 brought multiranges, which the ledger is made of."""

_TIMESCALE_SQL = """
SELECT (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'timescaledb'),
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb'),
       coalesce((SELECT setting LIKE '%timescaledb%' FROM pg_settings WHERE name = 'shared_preload_libraries'), false)
"""

_EXISTS_SQL = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
"""


def open_database(conninfo: str, target: str) -> Connection:
    """
    Connect.

    Raises:
        Retryable: The server is not there.
        Fatal: It refuses the login, the database or the certificate.
    """
    try:
        return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
    except psycopg.ProgrammingError as error:
        raise Fatal(f"the connection string of {target} cannot be read; check postgres.dsn") from error
    except psycopg.Error as error:
        raise map_connect_error(error, target) from error
    except OSError as error:
        raise Retryable(f"cannot reach PostgreSQL at {target}: {error}") from error


def described(dsn: str) -> tuple[str, str]:
    """
    Complete a connection string that was given by hand.

    Returns:
        The string for libpq, with a time limit; and how to call it before people, without its password.

    Raises:
        Fatal: It is no connection string. It is not repeated: it may hold a password.
    """
    try:
        parts = libpq.conninfo_to_dict(dsn)
        full = libpq.make_conninfo("", **{"connect_timeout": 10, "application_name": "eventwriter", **parts})
    except psycopg.Error as error:
        raise Fatal(
            "the DSN is no PostgreSQL connection string; write postgresql://USER@HOST:5432/DATABASE,"
            ' or "host=HOST dbname=DATABASE user=USER"'
        ) from error
    host, port = parts.get("host") or "localhost", parts.get("port") or 5432
    user = f" as {parts['user']}" if parts.get("user") else ""
    return full, f"{host}:{port}/{parts.get('dbname') or parts.get('user') or ''}{user}"


def migrate(conn: Connection, target: str, wish: Wish, migrations: Sequence[Migration] | None = None) -> Iterator[str]:
    """
    Make what is missing.

    Args:
        target: How to call the server in sentences.
        migrations: Instead of this release's own.

    Yields:
        One line per version, after it is committed, and notes.

    Raises:
        Fatal: The server is too old, read-only, or refuses; or a file was changed.
        Retryable: The connection was lost.
    """
    migrations = shipped() if migrations is None else migrations
    try:
        place = _look(conn, target, wish, create=True)
        yield from place.notes
        with conn.transaction():
            _make_schema(conn, place.schema)
        known: Mapping[int, Record] = {}
        for migration in migrations:
            with conn.transaction():
                conn.execute(prologue(place))
                known = _records(conn)
                result = decide(migration, known, _exists(conn, place.schema, migration.table))
                if sql := script(migration, result, place, known):
                    conn.execute(sql)
            yield f"{migration}: {result}" + (how_made(migration, place) if result is Result.APPLIED else "")
        yield from _newer(known, migrations)
    except psycopg.Error as error:
        raise _explained(error, target) from error


def dry_run(conn: Connection, target: str, wish: Wish) -> Iterator[str]:
    """
    Yield the SQL that `migrate` would run on this server now, as a script for psql; change nothing.

    Raises: as `migrate`.
    """
    try:
        place = _look(conn, target, wish, create=False)
        with conn.transaction():
            conn.execute("SET TRANSACTION READ ONLY")
            there = _has_schema(conn, place.schema)
            made = _exists(conn, place.schema, "eventwriter_migrations")
            records = _records(conn, place.schema) if made else {}
            results = [
                (migration, decide(migration, records, _exists(conn, place.schema, migration.table)))
                for migration in shipped()
            ]
    except psycopg.Error as error:
        raise _explained(error, target) from error
    yield from (f"-- {note}" for note in place.notes)
    yield from rendered(place, results, records, there)


def _look(conn: Connection, target: str, wish: Wish, create: bool) -> Place:
    """Find out what kind of server this is, and where tables go."""
    version = conn.info.server_version
    if version < _VERSION_MIN:
        raise Fatal(f"PostgreSQL at {target} is version {version // 10000}; eventwriter needs 14 or newer")
    schema = wish.schema or _one(conn, "SELECT current_schema()")[0]
    if schema is None:
        raise Fatal(f"PostgreSQL at {target}: the search path names no schema that exists; name one with --schema")
    timescale, notes = (None, ()) if wish.plain else _timescale(conn, create)
    if wish.chunk_interval is not None:
        _check_interval(conn, wish.chunk_interval)
        if timescale is None:
            notes = (*notes, "no hypertables: the chunk interval is not used")
    cutting = None if wish.plain or timescale is not None else Cutting(wish.storage, now())
    return Place(schema, timescale, wish.chunk_interval, notes, cutting)


def _timescale(conn: Connection, create: bool) -> tuple[str | None, tuple[str, ...]]:
    """Return the schema of TimescaleDB's functions, installing the extension where that can be done."""
    schema, available, preloaded = _one(conn, _TIMESCALE_SQL)
    if schema is not None or not available:
        return schema, ()
    if not preloaded:
        return None, ("TimescaleDB is available but not in shared_preload_libraries: no hypertables",)
    if not create:
        return None, ("TimescaleDB is available: migrate would install it and make hypertables",)
    try:
        conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public")
    except psycopg.Error as error:
        if conn.closed:
            raise
        return None, (f"TimescaleDB is available but cannot be installed ({primary_message(error)}): no hypertables",)
    return "public", ("TimescaleDB installed",)


def _check_interval(conn: Connection, interval: str) -> None:
    try:
        positive = _one(conn, "SELECT %s::interval > '0'::interval", interval)[0]
    except psycopg.DataError:
        positive = False
    if not positive:
        raise Fatal(f"--chunk-interval {interval!r} is no span of time; write it like '1 day' or '6 hours'")


def _make_schema(conn: Connection, schema: str) -> None:
    """Make the schema and the record of migrations; both only where they are missing, which needs no privilege."""
    conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    if not _has_schema(conn, schema):
        conn.execute(f"CREATE SCHEMA {quote_ident(schema)}")
    if not _exists(conn, schema, "eventwriter_migrations"):
        conn.execute(f"SET LOCAL search_path TO {quote_ident(schema)}; {RECORDS}")


def _records(conn: Connection, schema: str | None = None) -> dict[int, Record]:
    table = "eventwriter_migrations" if schema is None else f"{quote_ident(schema)}.eventwriter_migrations"
    try:
        rows = conn.execute(f"SELECT version, table_name, checksum, outcome FROM {table}").fetchall()  # noqa: S608
    except psycopg.errors.UndefinedColumn as error:
        raise Fatal(f"table {table} is not eventwriter's; rename it, or choose another schema with --schema") from error
    return {version: Record(*rest) for version, *rest in rows}


def _newer(known: Mapping[int, Record], migrations: Sequence[Migration]) -> Iterator[str]:
    versions = {migration.version for migration in migrations}
    for version in sorted(set(known) - versions):
        yield f"{version:04} {known[version].table}: made by another release of eventwriter, left as it is"


def _has_schema(conn: Connection, schema: str) -> bool:
    return bool(_one(conn, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", schema)[0])


def _exists(conn: Connection, schema: str, table: str) -> bool:
    return bool(_one(conn, _EXISTS_SQL, schema, table)[0])


def _one(conn: Connection, query: str, *values: object) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = conn.execute(query, values or None).fetchone()
    return row if row is not None else ()


def _explained(error: psycopg.Error, target: str) -> EventwriterError:
    """Say in one sentence what the server refused, and what to do."""
    text = primary_message(error)
    if error.sqlstate == "42501":
        return Fatal(
            f"PostgreSQL at {target}: {text}; migrate as a role that may, or GRANT USAGE, CREATE ON SCHEMA to this one"
        )
    if error.sqlstate == "25006":
        return Fatal(
            f"PostgreSQL at {target} is read-only (a standby?); connect to the primary, for example with"
            " target_session_attrs=read-write"
        )
    if error.sqlstate == "55P03":
        return Fatal(
            f"PostgreSQL at {target}: something else, perhaps another migrate, held its lock for {LOCK_TIMEOUT}"
        )
    if verdict_for(error.sqlstate) is Verdict.RETRY:
        return Retryable(f"lost PostgreSQL at {target}: {text}; migrate again: what was done stays done")
    return Fatal(
        f"PostgreSQL at {target} refused: {text} (SQLSTATE {error.sqlstate}); nothing of this version was made"
    )
