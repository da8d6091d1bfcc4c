"""
One transaction for one batch: COPY its rows and dead letters, note it in the ledger.

Everything is encoded before the first byte is sent; the ledger's row is touched
last, so that it is locked only while COMMIT runs. What PostgreSQL says no with
comes out as one of a few outcomes; nothing here decides what to do about them.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

import psycopg

from eventwriter import clock
from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.postgres.catalog import Binding
from eventwriter.postgres.connect import Connection, connect, deadline, one_line, sever
from eventwriter.postgres.ledger import Ledger
from eventwriter.postgres.ranges import Newest, Ranges
from eventwriter.postgres.sqlstate import Verdict, verdict
from eventwriter.postgres.staging import copy_rows, copy_staged

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
        constraint: The constraint or index that was violated.
        at: Which of the load's tables was being written; None where it was COMMIT that failed.
    """

    def __init__(
        self, verdict: Verdict, sqlstate: str, detail: str, constraint: str | None = None, at: int | None = None
    ) -> None:
        super().__init__(f"{detail} (SQLSTATE {sqlstate})")
        self.verdict = verdict
        self.sqlstate = sqlstate
        self.detail = detail
        self.constraint = constraint
        self.at = at


@dataclass(frozen=True, slots=True)
class Load:
    """What one transaction writes."""

    rows: Sequence[tuple[Binding, bytes | bytearray]]
    """For each table, rows in COPY's binary format, without signature and trailer; empty ones are skipped."""
    covered: Ranges
    newest: Newest


Detours = Mapping[int, str | None]
"""Which of a load's tables go through a staging table, by position, and the index that each of them ran into."""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class CopyIn:
    """
    The worker's PostgreSQL connection and its transactions.

    Owned by the worker's flush; reconnects when asked to write without a connection.

    Args:
        fault: Called with the name of each step; does nothing outside tests.
    """

    def __init__(self, settings: PostgresSettings, fault: Callable[[str], None] = lambda _: None) -> None:
        self._settings = settings
        self._fault = fault
        self.on_connect: Callable[[Connection], Awaitable[None]] | None = None
        """Looks at a new connection before it is used: are the tables still what the worker is bound to?"""
        self._conn: Connection | None = None
        self._at: int | None = None
        """Which of the load's tables is being written."""
        self.reconnects = -1
        self.errors: Counter[str] = Counter()
        """By SQLSTATE class; `connect` where no connection came up, `none` where one broke."""
        self.commit_s = 0.0
        """How long the last COMMIT took."""
        self.lock = asyncio.Lock()
        """Held for as long as the connection is used: a connection serves one task at a time."""
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
        if self._conn is not None and not self._conn.closed:
            return self._conn
        self._conn = None
        try:
            conn = await connect(self._settings)
        except EventwriterError:
            self.errors["connect"] += 1
            raise
        if self.on_connect is not None:
            try:
                with deadline(conn, self._limit_s):
                    await conn.execute(self._begin)
                    await self.on_connect(conn)
                    await conn.execute("COMMIT")
            except psycopg.Error as error:
                await conn.close()
                raise self._outcome(error) from error
            except BaseException:
                await conn.close()
                raise
        self._conn = conn
        self.reconnects += 1
        log.info("postgres connected", extra={"target": self.target, "backend": conn.info.backend_pid})
        return conn

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Connection]:
        """
        Lend the connection for statements outside a batch, under a deadline.

        Raises:
            Rejected: The server refused a statement.
            Retryable: The server's state.
            Fatal: The server refuses the connection.
        """
        async with self.lock:
            conn = await self.connection()
            try:
                with deadline(conn, self._limit_s):
                    # In a transaction, because that is what has the search path and the time limit.
                    await conn.execute(self._begin)
                    yield conn
                    await conn.execute("COMMIT")
            except psycopg.Error as error:
                await self._recover(conn)
                raise self._outcome(error) from error
            except BaseException:
                await self._recover(conn)
                raise

    async def write(self, load: Load, ledger: Ledger, detours: Detours = MappingProxyType({})) -> int:
        """
        Write `load` and note it in `ledger`, or nothing of it.

        A COMMIT whose answer is lost raises Retryable like any lost connection; the
        ledger then says, at the next attempt, which way it went.

        Args:
            detours: Tables whose rows are written by their conflict rule.

        Returns:
            How many rows those rules left out.

        Raises:
            AlreadyCommitted: Something in it is in the ledger.
            Rejected: The server refused the batch.
            Retryable: The server's state; the same load may be written later.
            Fatal: The server refuses the connection, or temporary tables.
        """
        async with self.lock:
            return await self._write(load, ledger, detours)

    async def _write(self, load: Load, ledger: Ledger, detours: Detours) -> int:
        conn = await self.connection()
        try:
            with deadline(conn, self._limit_s):
                left_out = await self._transaction(conn, load, ledger, detours)
        except psycopg.Error as error:
            await self._recover(conn)
            raise self._outcome(error) from error
        except (AlreadyCommitted, Fatal):
            raise
        except BaseException:
            # Cancelled in the middle: nothing may be left open on a connection that goes on.
            sever(conn)
            await self.close()
            raise
        ledger.remember(load.covered, load.newest)
        return left_out

    async def _transaction(self, conn: Connection, load: Load, ledger: Ledger, detours: Detours) -> int:
        left_out = 0
        self._at = None
        await conn.execute(self._begin)
        for at, (binding, rows) in enumerate(load.rows):
            self._at = at
            if rows and at in detours:
                left_out += await copy_staged(conn, binding, rows, detours[at])
            elif rows:
                await copy_rows(conn, binding.copy_sql, rows)
        self._at = None
        if not await ledger.record(conn, load.covered, load.newest):
            await conn.execute("ROLLBACK")
            raise AlreadyCommitted
        self._fault("before_commit")
        began_s = clock.monotonic_s()
        await conn.execute("COMMIT")
        self.commit_s = clock.monotonic_s() - began_s
        return left_out

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
        self.errors[error.sqlstate[:2] if error.sqlstate else "none"] += 1
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
        return Rejected(judged, error.sqlstate or "", detail, error.diag.constraint_name, self._at)

    async def close(self) -> None:
        """Close the connection; the server rolls back what was not committed."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()


def _value(name: str, text: str) -> str:
    """Quote a parameter's value; a list of schemas stays a list."""
    if name == "search_path":
        return ", ".join('"' + part.strip().strip('"').replace('"', '""') + '"' for part in text.split(","))
    return _quoted(text)
