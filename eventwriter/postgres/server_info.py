"""Properties of a PostgreSQL server: version, role, durability, connections, pooler and applied migrations."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import Fatal
from eventwriter.postgres.connect import Connection, connect
from eventwriter.postgres.migrate.files import Migration, shipped_migrations
from eventwriter.postgres.migrate.plan import Record, Result, decide

_FACTS_SQL = """
SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_setting('server_version_num')::int,
       pg_catalog.pg_is_in_recovery(),
       (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only') = 'on',
       pg_catalog.current_setting('fsync') = 'on', pg_catalog.current_setting('full_page_writes') = 'on',
       pg_catalog.current_setting('synchronous_commit'), pg_catalog.clock_timestamp(), pg_catalog.pg_backend_pid(),
       current_user::text,
       pg_catalog.current_setting('max_connections')::int
         - pg_catalog.current_setting('superuser_reserved_connections')::int,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')::int,
       (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE usename = current_user)::int,
       (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'timescaledb')
"""

_MISSING_PRIVILEGES_SQL = """
SELECT p FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) p
WHERE NOT pg_catalog.has_table_privilege(%s::regclass, p)
"""

_OPEN_SCHEMAS_SQL = """
SELECT n.nspname::text FROM pg_catalog.pg_namespace n
WHERE n.nspname = ANY (pg_catalog.current_schemas(false)) AND EXISTS (
  SELECT FROM pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
  WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND r.rolsuper IS NOT TRUE
    AND r.rolname IS DISTINCT FROM current_user)
ORDER BY 1
"""

_HAS_RECORDS_SQL = "SELECT pg_catalog.to_regclass('eventwriter_migrations') IS NOT NULL"
_RECORDS_SQL = "SELECT version, table_name, checksum, outcome FROM eventwriter_migrations"
_POOLER_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """
    Properties of a server, in the order of the query's columns.

    Attributes:
        connections_max: Limit for all roles, without the connections reserved for superusers.
        role_connections_max: Limit for the role; negative for none.
        timescale: Version of TimescaleDB; None if it is not installed.
    """

    version: str
    version_num: int
    in_recovery: bool
    read_only: bool
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    now: dt.datetime
    backend_pid: int
    role: str
    connections_max: int
    connections: int
    role_connections_max: int
    role_connections: int
    timescale: str | None


async def server_facts(conn: Connection) -> ServerFacts:
    """
    Read the properties of the server.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_FACTS_SQL)
    row = await cursor.fetchone()
    assert row is not None
    return ServerFacts(*row)


async def missing_privileges(conn: Connection, ledger: str) -> list[str]:
    """
    Return the privileges on the ledger that the role lacks.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_MISSING_PRIVILEGES_SQL, (ledger,))
    return [name for (name,) in await cursor.fetchall()]


async def open_schemas(conn: Connection) -> list[str]:
    """
    Return the schemas of the search path in which other roles may create objects.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_OPEN_SCHEMAS_SQL)
    return [name for (name,) in await cursor.fetchall()]


async def pooler_mode(settings: PostgresSettings, conn: Connection) -> str | None:
    """
    Return how a pooler in front of the server pools: `transaction` or `session`; None if there is no pooler.

    A pooler reports an invented process number at login, which differs from the server's. In
    transaction mode, one server process serves two idle connections.

    Raises:
        psycopg.Error: Raised by the server.
        EventwriterError: The second connection is refused.
    """
    if await _backend_pid(conn) == conn.info.backend_pid:
        return None
    other = await connect(settings)
    try:
        for _ in range(_POOLER_ATTEMPTS):
            if await _backend_pid(conn) == await _backend_pid(other):
                return "transaction"
        return "session"
    finally:
        await other.close()


async def _backend_pid(conn: Connection) -> int:
    cursor = await conn.execute("SELECT pg_catalog.pg_backend_pid()")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


@dataclass(frozen=True, slots=True)
class MigrationState:
    """
    Comparison of the applied migrations with those of this release.

    Attributes:
        recorded: Whether `eventwriter migrate` ever ran.
        missing: Versions that it would apply.
        changed: A sentence for each file that differs from the applied one.
        newer: Versions of another release.
    """

    recorded: bool
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    newer: tuple[int, ...] = ()


async def read_migration_state(conn: Connection) -> MigrationState:
    """
    Compare the applied migrations with those of this release.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_HAS_RECORDS_SQL)
    if not (await cursor.fetchone() or (False,))[0]:
        return MigrationState(False)
    cursor = await conn.execute(_RECORDS_SQL)
    records = {version: Record(*rest) for version, *rest in await cursor.fetchall()}
    migrations = shipped_migrations()
    existing = set()
    for table in {migration.table for migration in migrations}:
        cursor = await conn.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", (table,))
        if (await cursor.fetchone() or (False,))[0]:
            existing.add(table)
    return compare_migrations(migrations, records, existing)


def compare_migrations(
    migrations: tuple[Migration, ...], records: Mapping[int, Record], existing: set[str]
) -> MigrationState:
    """
    Compare migrations with the records of a database. Pure.

    Args:
        existing: Tables that exist.
    """
    missing, changed = [], []
    for migration in migrations:
        try:
            if decide(migration, records, migration.table in existing) is Result.APPLIED:
                missing.append(str(migration))
        except Fatal as error:
            changed.append(error.message)
    newer = sorted(set(records) - {migration.version for migration in migrations})
    return MigrationState(True, tuple(missing), tuple(changed), tuple(newer))
