"""What a PostgreSQL server says of itself: version, role, durability, room, and whether a pooler stands before it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import Fatal
from eventwriter.postgres.connect import Connection, connect
from eventwriter.postgres.migrate.files import Migration, shipped
from eventwriter.postgres.migrate.plan import Record, Result, decide

_FACTS_SQL = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(),
       (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only') = 'on',
       current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',
       current_setting('synchronous_commit'), clock_timestamp(), pg_backend_pid(), current_user::text,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
       (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)::int,
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')
"""

_LEDGER_RIGHTS_SQL = """
SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) p WHERE NOT has_table_privilege(%s::regclass, p)
"""

_MIGRATIONS_SQL = "SELECT to_regclass('eventwriter_migrations') IS NOT NULL"
_MADE_SQL = "SELECT version, table_name, checksum, outcome FROM eventwriter_migrations"
_POOLER_TRIES = 5


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server said, in the order of the question."""

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
    """Of everybody, without those kept for superusers."""
    connections: int
    role_connections_max: int
    """Negative for none."""
    role_connections: int
    timescale: str | None
    """TimescaleDB's version."""


async def server_facts(conn: Connection) -> ServerFacts:
    """
    Ask the server.

    Raises:
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(_FACTS_SQL)
    row = await cursor.fetchone()
    assert row is not None
    return ServerFacts(*row)


async def lacking_rights(conn: Connection, ledger: str) -> list[str]:
    """
    Return the privileges on the ledger that our role lacks.

    Raises:
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(_LEDGER_RIGHTS_SQL, (ledger,))
    return [name for (name,) in await cursor.fetchall()]


async def pooler(settings: PostgresSettings, conn: Connection) -> str | None:
    """
    Say whether something pools connections before the server: `transaction`, `session`; None where nothing does.

    A pooler makes up the process number that it tells us at login, so it differs from the
    server's own. In transaction mode two idle connections are served by one server process.

    Raises:
        psycopg.Error: As the server says.
        EventwriterError: The second connection is refused.
    """
    if await _backend(conn) == conn.info.backend_pid:
        return None
    other = await connect(settings)
    try:
        for _ in range(_POOLER_TRIES):
            if await _backend(conn) == await _backend(other):
                return "transaction"
        return "session"
    finally:
        await other.close()


async def _backend(conn: Connection) -> int:
    cursor = await conn.execute("SELECT pg_backend_pid()")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


@dataclass(frozen=True, slots=True)
class Migrated:
    """
    What `eventwriter migrate` has done here.

    Attributes:
        recorded: Whether it ever ran.
        missing: Versions that it would apply.
        changed: One sentence for each file that is not the one that was applied.
        newer: Versions of another release.
    """

    recorded: bool
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    newer: tuple[int, ...] = ()


async def migrated(conn: Connection) -> Migrated:
    """
    Hold what was migrated against the files of this release.

    Raises:
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(_MIGRATIONS_SQL)
    if not (await cursor.fetchone() or (False,))[0]:
        return Migrated(False)
    cursor = await conn.execute(_MADE_SQL)
    records = {version: Record(*rest) for version, *rest in await cursor.fetchall()}
    there = set()
    for table in {migration.table for migration in shipped()}:
        cursor = await conn.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
        if (await cursor.fetchone() or (False,))[0]:
            there.add(table)
    return compared(shipped(), records, there)


def compared(migrations: tuple[Migration, ...], records: Mapping[int, Record], there: set[str]) -> Migrated:
    """
    Hold records against files; pure.

    Args:
        there: Tables that exist.
    """
    missing, changed = [], []
    for migration in migrations:
        try:
            if decide(migration, records, migration.table in there) is Result.APPLIED:
                missing.append(str(migration))
        except Fatal as error:
            changed.append(str(error))
    newer = sorted(set(records) - {migration.version for migration in migrations})
    return Migrated(True, tuple(missing), tuple(changed), tuple(newer))
