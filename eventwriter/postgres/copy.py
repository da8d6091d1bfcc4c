"""
One transaction for one batch: COPY its rows and dead letters, note it in the ledger.

Everything is encoded before the first byte is sent; the ledger's row is touched
last, so that it is locked only while COMMIT runs. What PostgreSQL says no with
comes out as one of a few outcomes; nothing here decides what to do about them.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import psycopg

from eventwriter import clock
from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError, Retryable
from eventwriter.postgres.circuit_breaker import Circuit
from eventwriter.postgres.connect import Connection, connect, deadline, sever
from eventwriter.postgres.errors import ANY, Step, Verdict, outcome
from eventwriter.postgres.errors import Rejected as Rejected
from eventwriter.postgres.ledger.ranges import Newest, Ranges
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.schema.table_guard import Watch
from eventwriter.postgres.staging import copy_rows, copy_staged

log = logging.getLogger(__name__)

_SLACK_S = 5.0
"""Beyond the server's own statement timeout, before the connection is cut off from this side."""
_READ_ONLY = "25006"


class AlreadyCommitted(EventwriterError):
    """Something in the batch is in the ledger already; nothing was written."""


@dataclass(frozen=True, slots=True)
class BatchWrite:
    """What one transaction writes."""

    rows: Sequence[tuple[Binding, bytes | bytearray]]
    """For each table, rows in COPY's binary format, without signature and trailer; empty ones are skipped."""
    covered: Ranges
    newest: Newest


StagedTables = Mapping[int, str | None]
"""Which of a load's tables go through a staging table, by position, and the index that each of them ran into."""


class PostgresSession:
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
        self.circuit = Circuit()
        self._conn: Connection | None = None
        self._step = ANY
        """Where in a batch's transaction we are."""
        self.reconnects = -1
        self.errors: Counter[str] = Counter()
        """By SQLSTATE class; `connect` where no connection came up, `none` where one broke."""
        self.commit_s = 0.0
        """How long the last COMMIT took."""
        self.lock = asyncio.Lock()
        """Held for as long as the connection is used: a connection serves one task at a time."""
        self._begin = begin_sql(settings)
        self._watch = Watch(self._begin)
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
        self._watch.forget()
        if self.on_connect is not None:
            try:
                with deadline(conn, self._limit_s):
                    await conn.execute(self._begin)
                    await self.on_connect(conn)
                    await conn.execute("COMMIT")
            except psycopg.Error as error:
                await conn.close()
                raise outcome(error, self.target) from error
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
            with self._noted(writing=False):
                conn = await self.connection()
                try:
                    with deadline(conn, self._limit_s):
                        # In a transaction, because that is what has the search path and the time limit.
                        await conn.execute(self._begin)
                        yield conn
                        await conn.execute("COMMIT")
                except psycopg.Error as error:
                    raise await self._failed(conn, error, ANY) from error
                except BaseException:
                    await self._recover(conn)
                    raise

    async def write(self, load: BatchWrite, ledger: Ledger, detours: StagedTables = MappingProxyType({})) -> int:
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
            EventwriterError: What `on_connect` raises, where a table has changed.
        """
        async with self.lock:
            with self._noted(writing=True):
                return await self._write(load, ledger, detours)

    @contextmanager
    def _noted(self, writing: bool) -> Iterator[None]:
        """Keep the circuit's books; a refusal of what was asked says nothing about the server's state."""
        try:
            yield
        except Retryable as error:
            self.circuit.failed(clock.monotonic_s(), str(error), writing)
            raise
        self.circuit.worked(writing)

    async def _write(self, load: BatchWrite, ledger: Ledger, detours: StagedTables) -> int:
        conn = await self.connection()
        try:
            left_out = await self._transaction(conn, load, ledger, detours)
        except psycopg.Error as error:
            meant = await self._failed(conn, error, self._step)
            if isinstance(meant, Rejected) and meant.verdict is Verdict.PARK and self.on_connect is not None:
                await self._look_closer()
            raise meant from error
        except EventwriterError:
            await self._recover(conn)
            raise
        except BaseException:
            # Cancelled in the middle: nothing may be left open on a connection that goes on.
            sever(conn)
            await self.close()
            raise
        ledger.remember(load.covered, load.newest)
        return left_out

    async def _transaction(self, conn: Connection, load: BatchWrite, ledger: Ledger, detours: StagedTables) -> int:
        # A deadline for each step, as the server's own limit is for each statement.
        left_out = 0
        self._step = Step(blames_rows=False)
        with deadline(conn, self._limit_s):
            await self._watch.begin(conn, tuple(binding.target for binding, rows in load.rows if rows), self.on_connect)
        for at, (binding, rows) in enumerate(load.rows):
            self._step = Step(blames_rows=True, at=at)
            if not rows:
                continue
            with deadline(conn, self._limit_s):
                if at in detours:
                    left_out += await copy_staged(conn, binding, rows, detours[at])
                else:
                    await copy_rows(conn, binding.copy_sql, rows)
        self._step = Step(blames_rows=False)
        with deadline(conn, self._limit_s):
            if not await ledger.record(conn, load.covered, load.newest):
                raise AlreadyCommitted("part of the batch is already in the ledger", code="already_committed")
        self._fault("before_commit")
        self._step = Step(blames_rows=True)  # deferred constraints are checked now
        began_s = clock.monotonic_s()
        with deadline(conn, self._limit_s):
            await conn.execute("COMMIT")
        self.commit_s = clock.monotonic_s() - began_s
        return left_out

    async def _look_closer(self) -> None:
        """Have the tables looked at once more: that says what is wrong with them better than a refused statement."""
        conn = await self.connection()
        try:
            with deadline(conn, self._limit_s):
                await conn.execute(self._begin)
                assert self.on_connect is not None
                await self.on_connect(conn)
        except psycopg.Error:
            return  # then the refusal has to do
        finally:
            await self._recover(conn)

    async def _failed(self, conn: Connection, error: psycopg.Error, step: Step) -> Retryable | Rejected:
        """Make the connection usable again, or give it up; return what the error means."""
        self.errors[error.sqlstate[:2] if error.sqlstate else "none"] += 1
        meant = outcome(error, self.target, step)
        await self._recover(conn)
        # Of several hosts another one may be the primary by now; and what nobody can explain may be the connection's.
        if error.sqlstate == _READ_ONLY or (isinstance(meant, Rejected) and meant.verdict is Verdict.UNKNOWN):
            await self.close()
        return meant

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

    async def close(self) -> None:
        """Close the connection; the server rolls back what was not committed."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()


_LOCK_S_MAX = 10.0
"""Waited for a lock, or half a statement's time; above that it is somebody's ALTER or VACUUM FULL, and an outage."""
_DURABLE = (
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', true)"
    " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
)
"""What is acknowledged to JetStream must outlive a crash of the server; whoever says otherwise in `runtime_params`
means it. The stronger values, for standbys, are left alone."""


def begin_sql(settings: PostgresSettings) -> str:
    """Return BEGIN and what is set, for one round trip; `runtime_params` win."""
    statement_s = settings.statement_timeout_s
    timeouts = {"statement_timeout": statement_s, "lock_timeout": min(_LOCK_S_MAX, statement_s / 2)}
    params = {**{name: f"{round(s * 1000)}" for name, s in timeouts.items()}, **settings.runtime_params}
    words = ["BEGIN", *(f"SET LOCAL {_name(name)} = {_value(name, text)}" for name, text in params.items())]
    return "; ".join(words if "synchronous_commit" in params else [*words, _DURABLE])


def _name(name: str) -> str:
    """Quote a parameter's name, which comes from the configuration."""
    return '"' + name.replace('"', '""') + '"'


def _value(name: str, text: str) -> str:
    """Quote a parameter's value; a list of schemas stays a list."""
    if name == "search_path":
        return ", ".join('"' + part.strip().strip('"').replace('"', '""') + '"' for part in text.split(","))
    return "'" + text.replace("'", "''") + "'"
