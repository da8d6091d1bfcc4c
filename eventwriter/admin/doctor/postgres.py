"""Checks of PostgreSQL: connection, what kind of server it is, a pooler, the clock, migrations, the books' tables."""

import datetime as dt
from collections.abc import Iterable

from eventwriter.admin.doctor.context import Case, skew
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.errors import EventwriterError
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.ledger.store import LEDGER_TABLE
from eventwriter.postgres.read_only import open_read_only
from eventwriter.postgres.schema.catalog import bind, read_columns
from eventwriter.postgres.server_info import (
    MigrationState,
    ServerFacts,
    missing_privileges,
    pooler_mode,
    read_migration_state,
    server_facts,
)

_GROUP = "PostgreSQL"
_VERSION_MIN = 140000
"""PostgreSQL 14 brought multiranges, which the ledger is made of."""


def checks(case: Case) -> list[Check]:
    """Return the checks in order."""
    facts: list[ServerFacts] = []

    async def connection(voice: Reporter) -> Iterable[Finding]:
        try:
            case.reader = await open_read_only(case.settings.postgres)
            async with case.reader.transaction() as conn:
                facts.append(await server_facts(conn))
        except EventwriterError as error:
            said = str(error)
            hint = said.partition("; check ")[2]
            return [voice.fail(said, f"check {hint}" if hint else "see whether it runs and listens there; firewalls")]
        secure = "TLS" if case.reader.conn.pgconn.ssl_in_use else "no TLS"
        return [voice.ok(f"{case.settings.postgres.target()}, logged in, {secure}")]

    async def server(voice: Reporter) -> Iterable[Finding]:
        return server_findings(voice, facts[0])

    async def connections(voice: Reporter) -> Iterable[Finding]:
        connected = len(case.daemon["slots"]) if case.daemon else 0
        return [room_finding(voice, facts[0], max(0, len(case.settings.slots()) - connected))]

    async def clocks(voice: Reporter) -> Iterable[Finding]:
        return [skew(voice, _GROUP, await ahead_s(case))]

    async def pooled(voice: Reporter) -> Iterable[Finding]:
        return [await pooler_finding(voice, case)]

    async def migrations(voice: Reporter) -> Iterable[Finding]:
        assert case.reader is not None
        async with case.reader.transaction() as conn:
            return migration_findings(voice, await read_migration_state(conn))

    async def books(voice: Reporter) -> Iterable[Finding]:
        return await book_findings(voice, case)

    need = (f"{_GROUP}: connection",)
    return [
        Check(_GROUP, "connection", connection, (f"{_GROUP}: names",)),
        Check(_GROUP, "server", server, need),
        Check(_GROUP, "connections", connections, need),
        Check(_GROUP, "pooler", pooled, need),
        Check(_GROUP, "clock", clocks, need),
        Check(_GROUP, "migrations", migrations, need),
        Check(_GROUP, "books", books, need),
    ]


def server_findings(voice: Reporter, facts: ServerFacts) -> list[Finding]:
    """Say whether rows can be written there, and whether they stay."""
    said = f"PostgreSQL {facts.version}" + (f", TimescaleDB {facts.timescale}" if facts.timescale else "")
    if facts.version_num < _VERSION_MIN:
        return [voice.fail(f"{said} is too old", "14 or newer is needed")]
    if facts.in_recovery:
        hint = "name all hosts, and set postgres.target_session_attrs to read-write"
        return [voice.fail(f"{said} is a standby: nothing can be written there", hint)]
    if facts.read_only:
        hint = "reset default_transaction_read_only for this role or database"
        return [voice.fail(f"{said}: transactions are read-only by default", hint)]
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
            voice.warn(
                f"{said} runs with {', '.join(unsafe)}: what is committed, and acknowledged to NATS, may be lost when"
                " its host crashes",
                "set them on, at least for this role: ALTER ROLE … SET synchronous_commit = on",
            )
        ]
    return [voice.ok(said)]


def room_finding(voice: Reporter, facts: ServerFacts, wanted: int) -> Finding:
    """Hold the connections that are still to come against those that are free."""
    free = facts.connections_max - facts.connections
    said = f"{facts.connections} of {facts.connections_max} taken"
    if facts.role_connections_max >= 0:
        free = min(free, facts.role_connections_max - facts.role_connections)
        said += f", {facts.role_connections} of {facts.role_connections_max} of role {facts.role}"
    if free < wanted:
        hint = "raise max_connections or the role's CONNECTION LIMIT, or put PgBouncer in transaction mode before it"
        return voice.fail(f"{said}; {wanted} workers are still to connect", hint)
    return voice.ok(said)


async def ahead_s(case: Case) -> float:
    """Ask how far PostgreSQL's clock is ahead of this host's; seconds."""
    assert case.reader is not None
    before = dt.datetime.now(dt.UTC)
    async with case.reader.transaction() as conn:
        cursor = await conn.execute("SELECT clock_timestamp()")
        row = await cursor.fetchone()
    after = dt.datetime.now(dt.UTC)
    assert row is not None
    found: dt.datetime = row[0]
    return (found - (before + (after - before) / 2)).total_seconds()


async def pooler_finding(voice: Reporter, case: Case) -> Finding:
    """Say what pools connections before the server."""
    assert case.reader is not None
    try:
        mode = await pooler_mode(case.settings.postgres, case.reader.conn)
    except EventwriterError as error:
        return voice.warn(f"a second connection was refused: {error}", "there must be one for each worker")
    if mode is None:
        return voice.ok("none: connections lead to the server itself")
    if mode == "transaction":
        return voice.ok("connections are pooled by transaction (PgBouncer or the like), which is well")
    return voice.ok("connections are pooled by session (PgBouncer or the like); each worker holds one for good")


def migration_findings(voice: Reporter, found: MigrationState) -> list[Finding]:
    """Say what `eventwriter migrate` would do."""
    if not found.recorded:
        return [voice.skip("eventwriter migrate has not run here; the tables were made otherwise")]
    said = [
        voice.fail(sentence, "install the release that the database was migrated with") for sentence in found.changed
    ]
    if found.newer:
        versions = ", ".join(f"{version:04}" for version in found.newer)
        said.append(voice.warn(f"{versions} were made by another release", "run the newest release everywhere"))
    if found.missing:
        # No warning: who needs such a table is told so below.
        said.append(voice.ok(f"eventwriter migrate would make {', '.join(found.missing)}"))
    return said or [voice.ok("all applied, as released")]


async def book_findings(voice: Reporter, case: Case) -> list[Finding]:
    """Look for the ledger and the dead letters, in every schema that an entry names."""
    assert case.reader is not None
    found = []
    for schema in dict.fromkeys(slot.stream.schema_name for slot in case.slots):
        try:
            async with case.reader.transaction() as conn:
                ledger, _ = await read_columns(conn, schema, LEDGER_TABLE)
                letters, real = await read_columns(conn, schema, DEAD_LETTERS.name)
                bind(DEAD_LETTERS, real, letters)
                lacking = await missing_privileges(conn, ledger)
        except EventwriterError as error:
            found.append(_sentence(voice, str(error)))
            continue
        if lacking:
            grant = f"GRANT {', '.join(lacking)} ON {ledger}"
            found.append(voice.fail(f"our role lacks {', '.join(lacking)} on {ledger}", f"run {grant} TO the role"))
        else:
            found.append(voice.ok(f"{ledger} and {letters}"))
    return found


def _sentence(voice: Reporter, text: str) -> Finding:
    """Split one of our sentences, which end with what mends it, into sentence and hint."""
    sentence, _, hint = text.partition("; ")
    return voice.fail(sentence, hint or "run eventwriter migrate")
