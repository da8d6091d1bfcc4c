"""
Writes one batch in one transaction: COPY its rows and dead letters, record it in the ledger.

All rows are encoded before the transaction begins. The row of the ledger is updated last, so
that it is locked only until COMMIT ends. Server errors are raised as one of a few exceptions;
`pipeline.copy_stage` decides what to do about them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import psycopg

from eventwriter.errors import EventwriterError, Fatal
from eventwriter.postgres import staging
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.encode import SIGNATURE, TRAILER
from eventwriter.postgres.errors import Rejected, Step, Verdict
from eventwriter.postgres.ledger.ranges import Newest, Ranges
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.schema.unique_keys import no_temporary, read_keys, read_rights
from eventwriter.postgres.session import PostgresSession


class AlreadyCommitted(EventwriterError):
    """The ledger already contains part of the batch; nothing was written."""

    default_code = "already_committed"


@dataclass(frozen=True, slots=True)
class BatchWrite:
    """
    Contents of one transaction.

    Attributes:
        rows: For each table, rows in COPY's binary format without signature and trailer; may be empty.
        covered: Stream sequences that the transaction settles.
        newest: Highest sequence and latest timestamp among them.
    """

    rows: Sequence[tuple[Binding, bytes | bytearray]]
    covered: Ranges
    newest: Newest


StagedTables = Mapping[int, str | None]
"""Index of each table of a batch that is written through a staging table, and the unique index that it violated."""

_AT_BEGIN = Step(writes_rows=False, statement="BEGIN")
_IN_LEDGER = Step(writes_rows=False, statement="ledger update")


async def write_batch(
    session: PostgresSession, batch: BatchWrite, ledger: Ledger, staged: StagedTables = MappingProxyType({})
) -> int:
    """
    Write a batch and record it in the ledger, or write nothing.

    A COMMIT whose response is lost raises Retryable like any lost connection. At the next attempt
    the ledger tells whether the batch was committed.

    Args:
        staged: Tables whose rows are written by their conflict rule.

    Returns:
        Number of rows that the conflict rules left out.

    Raises:
        AlreadyCommitted: The ledger contains part of the batch.
        Rejected: The server rejects the batch.
        Retryable: The server is unavailable; the same batch can be written later.
        Fatal: The server refuses the login or temporary tables.
        EventwriterError: Raised by `session.on_connect`, because a table has changed.
    """
    try:
        async with session.exclusive(writing=True) as conn:
            left_out = await _transaction(session, conn, batch, ledger, staged)
    except Rejected as rejected:
        if rejected.verdict is Verdict.PARK:
            await session.recheck_tables()
        raise
    ledger.add_committed(batch.covered, batch.newest)
    ledger.confirmed = True  # this commit, which the standby has, is later than everything that was read
    return left_out


async def _transaction(
    session: PostgresSession, conn: Connection, batch: BatchWrite, ledger: Ledger, staged: StagedTables
) -> int:
    left_out = 0
    async with session.step(conn, _AT_BEGIN):
        await session.begin(conn, tuple(binding.target for binding, rows in batch.rows if rows))
    for at, (binding, rows) in enumerate(batch.rows):
        if not rows:
            continue
        async with session.step(conn, Step(writes_rows=True, at=at, statement="COPY")):
            if at in staged:
                left_out += await copy_staged(conn, binding, rows, staged[at])
            else:
                await copy_rows(conn, binding.copy_sql, rows)
    async with session.step(conn, _IN_LEDGER):
        if not await ledger.record(conn, batch.covered, batch.newest):
            raise AlreadyCommitted("the ledger already contains part of the batch")
    await session.commit(conn)
    return left_out


async def copy_rows(conn: Connection, copy_sql: str, rows: bytes | bytearray) -> int:
    """
    Copy rows into a table.

    Args:
        rows: Rows in binary format, without signature and trailer.

    Returns:
        Number of rows.
    """
    async with conn.cursor() as cursor:
        async with cursor.copy(copy_sql) as copy:
            await copy.write(SIGNATURE)
            await copy.write(rows)
            await copy.write(TRAILER)
        return cursor.rowcount


async def copy_staged(conn: Connection, binding: Binding, rows: bytes | bytearray, violated: str | None) -> int:
    """
    Copy rows into a staging table and insert them from there by their table's conflict rule.

    Args:
        violated: The unique index that the plain COPY violated.

    Returns:
        Number of rows left out, because their key exists in the table or in a later row of the batch.

    Raises:
        Fatal: The role may not create temporary tables.
        psycopg.Error: Raised by the server.
    """
    keys = await read_keys(conn, binding.target, violated)
    try:
        await conn.execute(staging.create_sql(binding))
    except psycopg.errors.InsufficientPrivilege as error:
        await conn.execute("ROLLBACK")
        rights = await read_rights(conn, binding.target)
        if rights.temporary:
            raise
        message, hint = no_temporary(rights)
        raise Fatal(message, code="privilege_missing", hint=hint) from error
    copied = await copy_rows(conn, staging.copy_sql(binding), rows)
    written = (await conn.execute(staging.merge_sql(binding, keys))).rowcount
    # Another table of the same transaction may need the staging table's name.
    await conn.execute(staging.DROP)
    return copied - written
