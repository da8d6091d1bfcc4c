"""Checks of PostgreSQL: connection, server, connection pooler, clock, migrations and the ledger's tables."""

import datetime as dt
from collections.abc import Iterable

from eventwriter.admin.doctor.context import Context, skew
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.config import libpq
from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError
from eventwriter.postgres.blocking import Blocking, find_blocking
from eventwriter.postgres.connect import endpoints
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.ledger.store import LEDGER_TABLE
from eventwriter.postgres.quoting import quote_ident
from eventwriter.postgres.read_only import open_read_only
from eventwriter.postgres.schema.catalog import bind, read_columns
from eventwriter.postgres.server_info import (
    MigrationState,
    ServerFacts,
    missing_privileges,
    open_schemas,
    pooler_mode,
    read_migration_state,
    server_facts,
)

_GROUP = "PostgreSQL"
_VERSION_MIN = 140000
"""PostgreSQL 14 introduced multiranges, which the ledger uses."""

_DURABILITY_HINTS = {
    "fsync = off": (
        "set fsync = on in postgresql.conf, reload the configuration, and run `sync` on the server's host once, because"
        " data written before is not on disk yet"
    ),
    "full_page_writes = off": "set full_page_writes = on in postgresql.conf, and reload the configuration",
    "synchronous_commit = off": (
        "set synchronous_commit to on for other programs; workers set it for their own sessions"
    ),
}
_READ_WRITE = ("read-write", "primary")
"""Values of `target_session_attrs` that find the server which accepts writes."""


def checks(context: Context) -> list[Check]:
    """Return the checks of PostgreSQL in order."""
    facts: list[ServerFacts] = []

    async def connection(report: Reporter) -> Iterable[Finding]:
        try:
            context.reader = await open_read_only(context.settings.postgres)
            async with context.reader.transaction() as conn:
                facts.append(await server_facts(conn))
        except EventwriterError as error:
            return [report.error(error, "check that PostgreSQL is running and listening there, and firewalls")]
        secure = "TLS" if context.reader.conn.pgconn.ssl_in_use else "no TLS"
        return [report.ok(f"{context.settings.postgres.target()}, logged in, {secure}")]

    async def server(report: Reporter) -> Iterable[Finding]:
        return server_findings(report, facts[0])

    async def search_path(report: Reporter) -> Iterable[Finding]:
        assert context.reader is not None
        async with context.reader.transaction() as conn:
            return search_path_findings(report, await open_schemas(conn))

    async def connections(report: Reporter) -> Iterable[Finding]:
        connected = len(context.daemon["slots"]) if context.daemon else 0
        return [connections_finding(report, facts[0], max(0, len(context.settings.slots()) - connected))]

    async def clocks(report: Reporter) -> Iterable[Finding]:
        return [skew(report, _GROUP, await ahead_s(context))]

    async def pooled(report: Reporter) -> Iterable[Finding]:
        return [await pooler_finding(report, context)]

    async def migrations(report: Reporter) -> Iterable[Finding]:
        assert context.reader is not None
        async with context.reader.transaction() as conn:
            return migration_findings(report, await read_migration_state(conn))

    async def ledger(report: Reporter) -> Iterable[Finding]:
        return await ledger_findings(report, context)

    need = (f"{_GROUP}: connection",)
    return [
        Check(_GROUP, "connection", connection, (f"{_GROUP}: names",)),
        Check(_GROUP, "server", server, need),
        Check(_GROUP, "search path", search_path, need),
        *_cluster_checks(context, need),
        Check(_GROUP, "connections", connections, need),
        Check(_GROUP, "pooler", pooled, need),
        Check(_GROUP, "clock", clocks, need),
        Check(_GROUP, "migrations", migrations, need),
        Check(_GROUP, "ledger", ledger, need),
    ]


def _cluster_checks(context: Context, need: tuple[str, ...]) -> list[Check]:
    """Return the checks of what matters with several database servers."""

    async def hosts(report: Reporter) -> Iterable[Finding]:
        return [hosts_finding(report, context.settings.postgres)]

    async def locks(report: Reporter) -> Iterable[Finding]:
        return [locks_finding(report, await find_blocking(context.settings.postgres, None))]

    return [Check(_GROUP, "hosts", hosts, need), Check(_GROUP, "locks", locks, need)]


def server_findings(report: Reporter, facts: ServerFacts) -> list[Finding]:
    """Check whether rows can be written there durably."""
    message = f"PostgreSQL {facts.version}" + (f", TimescaleDB {facts.timescale}" if facts.timescale else "")
    if facts.version_num < _VERSION_MIN:
        return [report.fail(f"{message} is too old", "upgrade to 14 or newer")]
    if facts.in_recovery:
        hint = "name all hosts, and set postgres.target_session_attrs to read-write"
        return [report.fail(f"{message} is a standby, which is read-only", hint)]
    if facts.read_only:
        hint = "reset default_transaction_read_only for this role or database"
        return [report.fail(f"{message}: transactions are read-only by default", hint)]
    unsafe = [
        name
        for name, wrong in (
            ("fsync = off", not facts.fsync),
            ("full_page_writes = off", not facts.full_page_writes),
            ("synchronous_commit = off", facts.synchronous_commit == "off"),
        )
        if wrong
    ]
    if unsafe:
        return [
            report.warn(
                f"{message} runs with {', '.join(unsafe)}: committed and acknowledged messages may be lost, and without"
                " fsync or full_page_writes the whole database may be damaged, when its host crashes",
                "; ".join(_DURABILITY_HINTS[name] for name in unsafe),
            )
        ]
    return [report.ok(message)]


def search_path_findings(report: Reporter, schemas: list[str]) -> list[Finding]:
    """Check that no other role can create tables or functions where names are looked up."""
    return [
        report.warn(
            f"other roles may create objects in schema {schema}, which is on the search path",
            f"run REVOKE CREATE ON SCHEMA {quote_ident(schema)} FROM PUBLIC and from roles that you do not trust,"
            ' or set "schema" in the stream entries',
        )
        for schema in schemas
    ] or [report.ok("no other role may create objects in its schemas")]


def hosts_finding(report: Reporter, settings: PostgresSettings) -> Finding:
    """Check that a list of several hosts leads to the one that accepts writes."""
    servers = endpoints(settings)
    if len(servers) == 1:
        return report.ok("one host")
    attrs = libpq.parse(settings.conninfo()).get("target_session_attrs", "any")
    if attrs in _READ_WRITE:
        return report.ok(f"{len(servers)} hosts, target_session_attrs={attrs}")
    return report.warn(
        f"{len(servers)} hosts with target_session_attrs={attrs}: after a failover, workers may connect to a standby,"
        " which rejects every write",
        "set target_session_attrs=read-write in the DSN, or postgres.target_session_attrs",
    )


def locks_finding(report: Reporter, blocking: Blocking) -> Finding:
    """Report what blocks statements of the role, such as a host that vanished inside a transaction."""
    if blocking.standby:
        return report.warn(
            f"a commit waits for {blocking}",
            "restore the standby, or remove it from synchronous_standby_names; until then nothing is acknowledged",
        )
    if not blocking.sessions:
        return report.ok("no statement of this role waits for another session")
    first = blocking.sessions[0]
    return report.warn(
        f"statements wait for {blocking}",
        f"end it with SELECT pg_terminate_backend({first.pid}) if its client does not exist any more"
        if first.pid
        else "commit it or roll it back; see pg_prepared_xacts",
    )


def connections_finding(report: Reporter, facts: ServerFacts, needed: int) -> Finding:
    """Check the free connections against those that workers still need."""
    free = facts.connections_max - facts.connections
    message = f"{facts.connections} of {facts.connections_max} connections in use"
    if facts.role_connections_max >= 0:
        free = min(free, facts.role_connections_max - facts.role_connections)
        message += f", {facts.role_connections} of {facts.role_connections_max} of role {facts.role}"
    if free < needed:
        hint = "raise max_connections or the role's CONNECTION LIMIT, or use PgBouncer in transaction mode"
        return report.fail(f"{message}; {needed} more workers need a connection", hint)
    return report.ok(message)


async def ahead_s(context: Context) -> float:
    """Return by how many seconds PostgreSQL's clock is ahead of this host's."""
    assert context.reader is not None
    before = dt.datetime.now(dt.UTC)
    async with context.reader.transaction() as conn:
        cursor = await conn.execute("SELECT pg_catalog.clock_timestamp()")
        row = await cursor.fetchone()
    after = dt.datetime.now(dt.UTC)
    assert row is not None
    server_time: dt.datetime = row[0]
    return (server_time - (before + (after - before) / 2)).total_seconds()


async def pooler_finding(report: Reporter, context: Context) -> Finding:
    """Detect a connection pooler in front of the server."""
    assert context.reader is not None
    try:
        mode = await pooler_mode(context.settings.postgres, context.reader.conn)
    except EventwriterError as error:
        return report.warn(f"a second connection was refused: {error}", "every worker needs its own connection")
    if mode is None:
        return report.ok("none: connections reach the server directly")
    if mode == "transaction":
        return report.ok("connections are pooled by transaction (PgBouncer or similar), which is supported")
    return report.ok("connections are pooled by session (PgBouncer or similar); each worker occupies one permanently")


def migration_findings(report: Reporter, found: MigrationState) -> list[Finding]:
    """Return what `eventwriter migrate` would do."""
    if not found.recorded:
        return [report.skip("eventwriter migrate has not been run here; the tables were created otherwise")]
    findings = [
        report.fail(message, "install the release that the database was migrated with") for message in found.changed
    ]
    if found.newer:
        versions = ", ".join(f"{version:04}" for version in found.newer)
        findings.append(report.warn(f"{versions} were applied by another release", "run the newest release everywhere"))
    if found.missing:
        # Not a warning: the checks of slots report tables that they need.
        findings.append(report.ok(f"eventwriter migrate would create {', '.join(found.missing)}"))
    return findings or [report.ok("all migrations are applied")]


async def ledger_findings(report: Reporter, context: Context) -> list[Finding]:
    """Check the ledger and dead-letter tables in every schema of the entries."""
    assert context.reader is not None
    found = []
    for schema in dict.fromkeys(slot.stream.schema_name for slot in context.slots):
        try:
            async with context.reader.transaction() as conn:
                ledger, _ = await read_columns(conn, schema, LEDGER_TABLE)
                dead_letters, real = await read_columns(conn, schema, DEAD_LETTERS.name)
                bind(DEAD_LETTERS, real, dead_letters)
                lacking = await missing_privileges(conn, ledger)
        except EventwriterError as error:
            found.append(report.error(error, "run eventwriter migrate"))
            continue
        if lacking:
            grant = f"GRANT {', '.join(lacking)} ON {ledger}"
            found.append(report.fail(f"the role lacks {', '.join(lacking)} on {ledger}", f"run {grant} TO the role"))
        else:
            found.append(report.ok(f"{ledger} and {dead_letters}"))
    return found
