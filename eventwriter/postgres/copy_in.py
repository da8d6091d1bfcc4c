"""
One transaction for one batch: COPY its rows and dead letters, note it in the ledger.

Everything is encoded before the first byte is sent; the ledger's row is touched
last, so that it is locked only while COMMIT runs. What PostgreSQL says no with
comes out as one of a few outcomes; nothing here decides what to do about them.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.postgres.catalog import Binding
from eventwriter.postgres.connect import Connection, connect, deadline, one_line, sever
from eventwriter.postgres.encode import SIGNATURE, TRAILER
from eventwriter.postgres.ledger import Ledger, Newest
from eventwriter.postgres.ranges import Ranges
from eventwriter.postgres.sqlstate import Verdict, verdict

log = logging.getLogger(__name__)

_SLACK_S = 5.0
"""Beyond the server's own statement timeout, before the connection is cut off from this side."""


class AlreadyCommitted(EventwriterError):
    """Something in the batch is in the ledger already; nothing was written."""


class Rejected(EventwriterError):
    """
    PostgreSQL refused the batch for a reason other than its own state; nothing was written.

    Attributes:
        verdict: What the SQLSTATE means.
        sqlstate: PostgreSQL's code.
        detail: PostgreSQL's own message, one line, with table and column where it named them.
    """

    def __init__(self, verdict: Verdict, sqlstate: str, detail: str) -> None:
        super().__init__(f"{detail} (SQLSTATE {sqlstate})")
        self.verdict = verdict
        self.sqlstate = sqlstate
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Load:
    """What one transaction writes."""

    rows: Sequence[tuple[Binding, bytes | bytearray]]
    """For each table, rows in COPY's binary format, without signature and trailer; empty ones are skipped."""
    covered: Ranges
    newest: Newest


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class CopyIn:
    """
    The worker's PostgreSQL connection and its transactions.

    Owned by the worker's flush; reconnects when asked to write without a connection.

    Args:
        on_connect: Looks at the new connection before it is used (are tables and
            ledger still what the worker was bound to?).
        before_commit: A fault point; does nothing outside tests.
    """

    def __init__(self, settings: PostgresSettings, before_commit: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._before_commit = before_commit
        self._conn: Connection | None = None
        self.reconnects = -1
        params = {"statement_timeout": f"{round(settings.statement_timeout_s * 1000)}", **settings.runtime_params}
        # SET LOCAL in the transaction, not at connect: a transaction-pooling proxy keeps neither.
        self._begin = "BEGIN; " + "; ".join(
            f'SET LOCAL "{name}" = {_value(name, text)}' for name, text in params.items()
        )
        self._limit_s = settings.statement_timeout_s + _SLACK_S

    @property
    def connected(self) -> bool:
        """Whether there is a connection that was not seen to break."""
        return self._conn is not None and not self._conn.closed

    @property
    def target(self) -> str:
        """Where rows go, for people: no secret in it."""
        return self._settings.target()

    async def connection(self) -> Connection:
        """
        Return the connection, making one if there is none.

        Raises:
            Retryable: The server is not there.
            Fatal: It refuses us.
        """
        if self._conn is None or self._conn.closed:
            self._conn = await connect(self._settings)
            self.reconnects += 1
            log.info("postgres connected", extra={"target": self.target, "backend": self._conn.info.backend_pid})
        return self._conn

    async def write(self, load: Load, ledger: Ledger) -> None:
        """
        Write `load` and note it in `ledger`, or nothing of it.

        A COMMIT whose answer is lost raises Retryable like any lost connection; the
        ledger then says, at the next attempt, which way it went.

        Raises:
            AlreadyCommitted: Something in it is in the ledger.
            Rejected: The server refused the batch.
            Retryable: The server's state; the same load may be written later.
            Fatal: The server refuses the connection.
        """
        conn = await self.connection()
        try:
            with deadline(conn, self._limit_s):
                await self._transaction(conn, load, ledger)
        except psycopg.Error as error:
            await self._recover(conn)
            raise self._outcome(error) from error
        except BaseException:
            # Cancelled in the middle: nothing may be left open on a connection that goes on.
            sever(conn)
            await self.close()
            raise
        ledger.remember(load.covered, load.newest)

    async def _transaction(self, conn: Connection, load: Load, ledger: Ledger) -> None:
        await conn.execute(self._begin)
        for binding, rows in load.rows:
            if rows:
                async with conn.cursor() as cursor, cursor.copy(binding.copy_sql) as copy:
                    await copy.write(SIGNATURE)
                    await copy.write(rows)
                    await copy.write(TRAILER)
        if not await ledger.record(conn, load.covered, load.newest):
            await conn.execute("ROLLBACK")
            raise _Overlap
        self._before_commit()
        await conn.execute("COMMIT")

    async def _recover(self, conn: Connection) -> None:
        """Roll back; a connection that cannot even do that is given up."""
        if conn.closed:
            self._conn = None
            return
        try:
            with deadline(conn, _SLACK_S):
                await conn.execute("ROLLBACK")
        except psycopg.Error:
            await self.close()

    def _outcome(self, error: psycopg.Error) -> Retryable | Rejected:
        text = one_line(error)
        judged = verdict(error.sqlstate)
        if judged is Verdict.RETRY:
            return Retryable(f"PostgreSQL at {self.target}: {text}")
        where = ", ".join(
            f"{what} {name}"
            for what, name in (("table", error.diag.table_name), ("column", error.diag.column_name))
            if name
        )
        context = (error.diag.context or "").splitlines()
        detail = text + (f" ({where})" if where else "") + (f" [{context[0]}]" if context else "")
        return Rejected(judged, error.sqlstate or "", detail)

    async def close(self) -> None:
        """Close the connection; the server rolls back what was not committed."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()


class _Overlap(AlreadyCommitted):
    pass


def _value(name: str, text: str) -> str:
    """Quote a parameter's value; a list of schemas stays a list."""
    if name == "search_path":
        return ", ".join('"' + part.strip().strip('"').replace('"', '""') + '"' for part in text.split(","))
    return _quoted(text)


FatalOrRetry = Fatal | Retryable
