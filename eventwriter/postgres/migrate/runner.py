"""
`eventwriter migrate`: creates missing tables and reports what it did.

Every version is applied in one transaction under an advisory lock, so that concurrent runs are
safe and an interrupted run leaves only complete versions. An existing table that migrate did not
create is left unchanged. The daemon never migrates.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from eventwriter import clock
from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.postgres.connect import map_connect_errors
from eventwriter.postgres.errors import Verdict, code_and_hint, primary_message, verdict_for
from eventwriter.postgres.migrate.files import Migration
from eventwriter.postgres.migrate.plan import (
    LOCK,
    LOCK_TIMEOUT,
    RECORDS,
    MigrateOptions,
    Partitioning,
    Record,
    Result,
    Target,
    decide,
    describe_partitioning,
    prologue,
    render_script,
    version_sql,
)
from eventwriter.postgres.quoting import quote_ident

Connection = psycopg.Connection[Any]

VERSION_MIN = 140000
"""PostgreSQL 14 introduced multiranges, which the ledger uses."""

_TIMESCALE_SQL = """
SELECT (SELECT n.nspname::text FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'timescaledb'),
       EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'timescaledb'),
       coalesce((SELECT setting LIKE '%timescaledb%' FROM pg_catalog.pg_settings
                 WHERE name = 'shared_preload_libraries'), false)
"""

_EXISTS_SQL = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
"""


def open_database(settings: PostgresSettings) -> Connection:
    """
    Open a connection.

    Raises:
        Retryable: The server is unreachable.
        Fatal: The server refuses the login, the database or the certificate.
    """
    with map_connect_errors(settings):
        return psycopg.connect(settings.conninfo(), autocommit=True, prepare_threshold=None)


def migrate(
    conn: Connection, server: str, options: MigrateOptions, migrations: Sequence[Migration] | None = None
) -> Iterator[str]:
    """
    Apply the missing versions.

    Args:
        server: The server, as named in messages.
        migrations: Replaces the migrations of this release.

    Yields:
        Notes, and a line for each version after it is committed.

    Raises:
        Fatal: The server is too old, is read-only or rejects a statement; or a released file was changed.
        Retryable: The connection was lost.
    """
    migrations = options.selected() if migrations is None else migrations
    try:
        target = _inspect_server(conn, server, options, create=True)
        yield from target.notes
        with conn.transaction():
            _create_schema(conn, target.schema)
        records: Mapping[int, Record] = {}
        for migration in migrations:
            with conn.transaction():
                conn.execute(prologue(target))
                records = _read_records(conn)
                result = decide(migration, records, _relation_exists(conn, target.schema, migration.table))
                if sql := version_sql(migration, result, target, records):
                    conn.execute(sql)
            partitioning = describe_partitioning(migration, target) if result is Result.APPLIED else ""
            yield f"{migration}: {result}{partitioning}"
        yield from _newer_versions(records, migrations)
    except psycopg.Error as error:
        raise _map_error(error, server) from error


def dry_run(conn: Connection, server: str, options: MigrateOptions) -> Iterator[str]:
    """
    Yield the SQL that `migrate` would execute on this server, as a script for psql, without changing anything.

    Raises: as `migrate`.
    """
    try:
        target = _inspect_server(conn, server, options, create=False)
        with conn.transaction():
            conn.execute("SET TRANSACTION READ ONLY")
            schema_exists = _schema_exists(conn, target.schema)
            has_records = _relation_exists(conn, target.schema, "eventwriter_migrations")
            records = _read_records(conn, target.schema) if has_records else {}
            results = [
                (migration, decide(migration, records, _relation_exists(conn, target.schema, migration.table)))
                for migration in options.selected()
            ]
    except psycopg.Error as error:
        raise _map_error(error, server) from error
    yield from (f"-- {note}" for note in target.notes)
    yield from render_script(target, results, records, schema_exists)


def _inspect_server(conn: Connection, server: str, options: MigrateOptions, create: bool) -> Target:
    """Determine the schema and how tables are created; install TimescaleDB if `create` is set."""
    version = conn.info.server_version
    if version < VERSION_MIN:
        message = f"PostgreSQL at {server} is version {version // 10000}"
        raise Fatal(message, code="server_too_old", hint="upgrade to version 14 or newer")
    schema = options.schema or _fetch_one(conn, "SELECT pg_catalog.current_schema()")[0]
    if schema is None:
        message = f"PostgreSQL at {server}: the search path contains no existing schema"
        raise Fatal(message, code="schema_missing", hint="name a schema with --schema")
    timescale, notes = (None, ()) if options.plain else _timescale_schema(conn, create)
    if options.chunk_interval is not None:
        _check_interval(conn, options.chunk_interval)
        if timescale is None:
            notes = (*notes, "the chunk interval is not used, because no hypertables are created")
    partitioned = not options.plain and timescale is None
    partitioning = Partitioning(options.storage, clock.utc_now()) if partitioned else None
    return Target(schema, timescale, options.chunk_interval, notes, partitioning)


def _timescale_schema(conn: Connection, create: bool) -> tuple[str | None, tuple[str, ...]]:
    """Return the schema of TimescaleDB's functions, installing the extension if possible, and notes."""
    schema, available, preloaded = _fetch_one(conn, _TIMESCALE_SQL)
    if schema is not None or not available:
        return schema, ()
    if not preloaded:
        return None, ("TimescaleDB is available but not in shared_preload_libraries: no hypertables are created",)
    if not create:
        return None, ("TimescaleDB is available: migrate would install it and create hypertables",)
    try:
        conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public")
    except psycopg.Error as error:
        if conn.closed:
            raise
        reason = primary_message(error)
        return None, (f"TimescaleDB is available but cannot be installed ({reason}): no hypertables are created",)
    return "public", ("TimescaleDB installed",)


def _check_interval(conn: Connection, interval: str) -> None:
    try:
        positive = _fetch_one(conn, "SELECT %s::interval > '0'::interval", interval)[0]
    except psycopg.DataError:
        positive = False
    if not positive:
        message = f"--chunk-interval {interval!r} is not a time span"
        raise Fatal(message, code="invalid_interval", hint="write it like '1 day' or '6 hours'")


def _create_schema(conn: Connection, schema: str) -> None:
    """Create the schema and the table of records if they are missing; existing ones require no privilege."""
    conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    conn.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", (LOCK,))
    if not _schema_exists(conn, schema):
        conn.execute(f"CREATE SCHEMA {quote_ident(schema)}")
    if not _relation_exists(conn, schema, "eventwriter_migrations"):
        conn.execute(f"SET LOCAL search_path TO {quote_ident(schema)}; {RECORDS}")


def _read_records(conn: Connection, schema: str | None = None) -> dict[int, Record]:
    table = "eventwriter_migrations" if schema is None else f"{quote_ident(schema)}.eventwriter_migrations"
    try:
        rows = conn.execute(f"SELECT version, table_name, checksum, outcome FROM {table}").fetchall()  # noqa: S608
    except psycopg.errors.UndefinedColumn as error:
        message = f"table {table} belongs to another program"
        hint = "rename it, or choose another schema with --schema"
        raise Fatal(message, code="foreign_table", hint=hint) from error
    return {version: Record(*rest) for version, *rest in rows}


def _newer_versions(records: Mapping[int, Record], migrations: Sequence[Migration]) -> Iterator[str]:
    versions = {migration.version for migration in migrations}
    for version in sorted(set(records) - versions):
        yield f"{version:04} {records[version].table}: applied by another release of eventwriter, left unchanged"


def _schema_exists(conn: Connection, schema: str) -> bool:
    return bool(_fetch_one(conn, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s)", schema)[0])


def _relation_exists(conn: Connection, schema: str, table: str) -> bool:
    return bool(_fetch_one(conn, _EXISTS_SQL, schema, table)[0])


def _fetch_one(conn: Connection, query: str, *values: object) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = conn.execute(query, values or None).fetchone()
    return row if row is not None else ()


def _map_error(error: psycopg.Error, server: str) -> EventwriterError:
    """Map an error of the server to an error family, with a hint for this command."""
    text, sqlstate = primary_message(error), error.sqlstate
    code, hint = code_and_hint(sqlstate, "postgres_rejected")
    if sqlstate == "42501":
        hint = "use a role with the privilege, or GRANT USAGE, CREATE ON SCHEMA to this one"
    elif sqlstate == "25006":
        text = "the server is read-only, perhaps a standby"
    elif sqlstate == "55P03":
        text = f"another session, perhaps another migrate, held a lock for {LOCK_TIMEOUT}"
    elif verdict_for(sqlstate) is Verdict.RETRY:
        hint = "run migrate again; completed versions remain"
        return Retryable(f"lost the connection to PostgreSQL at {server}: {text}", code=code, hint=hint)
    else:
        text += f" (SQLSTATE {sqlstate}); nothing of this version was applied"
    return Fatal(f"PostgreSQL at {server}: {text}", code=code, hint=hint)
