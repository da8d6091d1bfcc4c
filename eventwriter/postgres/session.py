"""
A connection to PostgreSQL and its transactions.

`PostgresSession` owns one connection: it connects on demand, lends the connection to one task
at a time, limits every statement by a deadline, records outages in a circuit breaker and maps
server errors to the families of `eventwriter.errors`. `postgres.copy.write_batch` writes
batches through it; everything else uses `PostgresSession.transaction`.
"""

import asyncio
import logging
import select
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import NamedTuple

import psycopg

from eventwriter import clock
from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError, Retryable
from eventwriter.postgres.blocking import find_blocking
from eventwriter.postgres.circuit_breaker import CircuitBreaker
from eventwriter.postgres.connect import Connection, connect, deadline, sever
from eventwriter.postgres.errors import ANY_STEP, Rejected, Step, Verdict, map_error
from eventwriter.postgres.quoting import quote_ident, quote_literal, quote_search_path
from eventwriter.postgres.schema.table_guard import TableGuard

log = logging.getLogger(__name__)

DEADLINE_SLACK_S = 5.0
"""Margin above the server's own statement timeout before the connection is cut off from this side."""
_READ_ONLY_TRANSACTION = "25006"

_PROBE = Step(writes_rows=False, statement="probe")
_READS_MAX = 4
"""Reads of a message that the server sent before it closed the connection."""

COMMIT = "COMMIT"
_AT_COMMIT = Step(writes_rows=True, statement=COMMIT)
"""COMMIT checks deferred constraints."""


class RunningStatement(NamedTuple):
    """
    A statement of a batch that the server has not answered yet.

    Attributes:
        command: SQL command, for messages.
        started_s: Monotonic seconds.
        backend_pid: Process of the server that runs it; None if a pooler hides it.
    """

    command: str
    started_s: float
    backend_pid: int | None


class PostgresSession:
    """
    One PostgreSQL connection, used by one task at a time.

    Belongs to one event loop. Reconnects when a transaction starts without a connection.
    """

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self.on_connect: Callable[[Connection], Awaitable[None]] | None = None
        """Checks on every new connection that the tables still match the worker's bindings; raises if not."""
        self.circuit_breaker = CircuitBreaker()
        self._conn: Connection | None = None
        self.reconnects = -1
        self.errors: Counter[str] = Counter()
        """Errors by SQLSTATE class; `connect` for failed connection attempts, `none` for lost connections."""
        self.commit_s = 0.0
        """Duration of the last COMMIT."""
        self.running: RunningStatement | None = None
        """The statement of a batch that is running now."""
        self.used_s = clock.monotonic_s()
        """End of the last use of the connection; monotonic seconds."""
        self._lock = asyncio.Lock()
        self._begin = begin_sql(settings)
        self._table_guard = TableGuard(self._begin)
        self._limit_s = settings.statement_timeout_s + DEADLINE_SLACK_S
        self._server_pid: int | None = None
        """Process of the server; None if a pooler hides it."""
        self._standby_skipped = False
        """Whether a notice said that the last COMMIT did not wait for its synchronous standby."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._conn is not None and not self._conn.closed

    @property
    def is_busy(self) -> bool:
        """Whether a task uses the connection or waits for it."""
        return self._lock.locked()

    @property
    def target(self) -> str:
        """Host, port, database and role for messages, without secrets."""
        return self._settings.target()

    async def connection(self) -> Connection:
        """
        Return the open connection, connecting first if there is none.

        Raises:
            Retryable: The server is unreachable.
            Fatal: The server refuses the login.
            EventwriterError: Raised by `on_connect`.
        """
        if self._conn is not None and not self._conn.closed:
            return self._conn
        self._conn = None
        try:
            conn = await connect(self._settings)
        except EventwriterError:
            self.errors["connect"] += 1
            raise
        self._table_guard.reset()
        conn.add_notice_handler(self._on_notice)
        try:
            await self._set_keepalives(conn)
            await self._check_tables(conn)
        except psycopg.Error as error:
            await conn.close()
            raise map_error(error, self.target) from error
        except BaseException:
            await conn.close()
            raise
        self._conn = conn
        self.reconnects += 1
        log.info("postgres connected", extra={"target": self.target, "backend": conn.info.backend_pid})
        return conn

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """
        Run statements other than a batch in a transaction, under one deadline.

        Commits when the block ends, rolls back when it raises.

        Raises:
            Rejected: The server rejects a statement.
            Retryable: The server is unavailable or the connection is lost.
            Fatal: The server refuses the login.
        """
        async with self.exclusive(writing=False) as conn:
            async with self.step(conn, ANY_STEP):
                # The transaction sets the search path and the time limits.
                await conn.execute(self._begin)
                yield conn
            await self.commit(conn)

    @asynccontextmanager
    async def exclusive(self, *, writing: bool) -> AsyncIterator[Connection]:
        """
        Lend the connection to the block; roll back if the block raises.

        Args:
            writing: Whether success proves that writing works, which closes the circuit after a failed write.
        """
        async with self._lock:
            with self._tracked(writing):
                conn = await self.connection()
                try:
                    yield conn
                except Exception:
                    await self._roll_back(conn)
                    raise
                except BaseException:
                    # Cancelled between or within statements: the connection's state is unknown.
                    sever(conn)
                    await self.close()
                    raise

    @asynccontextmanager
    async def step(self, conn: Connection, step: Step) -> AsyncIterator[None]:
        """Limit one step of a transaction by a deadline and map its errors."""
        async with self._mapped_errors(step):
            with deadline(conn, self._limit_s):
                yield

    @asynccontextmanager
    async def _mapped_errors(self, step: Step) -> AsyncIterator[None]:
        if step.statement is not None:
            self.running = RunningStatement(step.statement, clock.monotonic_s(), self._server_pid)
        try:
            yield
        except psycopg.Error as error:
            self.errors[error.sqlstate[:2] if error.sqlstate else "none"] += 1
            mapped = map_error(error, self.target, step)
            # Another of several hosts may be the primary now, and an unexplained error may be caused by the connection.
            if error.sqlstate == _READ_ONLY_TRANSACTION or (
                isinstance(mapped, Rejected) and mapped.verdict is Verdict.UNKNOWN
            ):
                await self.close()
            raise mapped from error
        finally:
            self.running = None

    async def begin(self, conn: Connection, targets: tuple[str, ...]) -> None:
        """Begin a transaction that writes the tables `targets`, and check that they are unchanged."""
        await self._table_guard.begin(conn, targets, self.on_connect)

    async def commit(self, conn: Connection) -> None:
        """
        Commit the transaction and record the duration.

        While COMMIT waits for a synchronous standby it has no deadline, because a new connection would
        have to wait as well.

        Raises:
            Rejected: A deferred constraint is violated.
            Retryable: The connection is lost, or the server did not wait for the synchronous standby. The
                transaction may be committed.
        """
        started_s = clock.monotonic_s()
        self._standby_skipped = False
        async with self._mapped_errors(_AT_COMMIT):
            await self._execute_commit(conn)
        if self._standby_skipped:
            raise Retryable(
                f"PostgreSQL at {self.target} committed without its synchronous standby: the wait was cancelled",
                code="standby_skipped",
                hint="the batch is settled once a later commit reaches the standby",
            )
        self.commit_s = clock.monotonic_s() - started_s

    async def _execute_commit(self, conn: Connection) -> None:
        """
        Execute COMMIT, which is never cancelled.

        psycopg cancels the statement of a cancelled task, and a cancelled COMMIT succeeds without its
        synchronous standby. The connection is closed instead, and the server continues to wait.
        """
        commit = asyncio.ensure_future(conn.execute(COMMIT))
        try:
            while not (await asyncio.wait({commit}, timeout=self._limit_s))[0]:
                if not (await find_blocking(self._settings, self._server_pid)).standby:
                    sever(conn)
        except asyncio.CancelledError:
            sever(conn)
            await asyncio.wait({commit})
            commit.exception()
            raise
        await commit

    async def is_alive(self) -> bool:
        """Return whether an idle connection is open; one that the server closed is closed here too, and logged."""
        conn = self._conn
        if conn is None:
            return False
        if not (conn.closed or _closed_by_server(conn)):
            return True
        log.warning("postgres connection lost", extra={"target": self.target})
        await self.close()
        return False

    async def probe(self) -> None:
        """
        Check by a query that the server answers; connect first if there is no connection.

        Raises:
            Retryable: The server is unavailable.
            EventwriterError: As `connection`.
        """
        async with self.exclusive(writing=False) as conn, self.step(conn, _PROBE):
            await conn.execute("SELECT 1")

    async def recheck_tables(self) -> None:
        """
        Run `on_connect` again after a rejected batch.

        It explains a changed table better than the error of a statement does. Database errors
        are ignored, because the caller raises the original error.
        """
        async with self._lock:
            conn = await self.connection()
            try:
                with suppress(psycopg.Error):
                    await self._check_tables(conn)
            finally:
                await self._roll_back(conn)

    async def close(self) -> None:
        """Close the connection; the server rolls back an open transaction."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()

    async def _check_tables(self, conn: Connection) -> None:
        if self.on_connect is None:
            return
        with deadline(conn, self._limit_s):
            await conn.execute(self._begin)
            await self.on_connect(conn)
            await conn.execute("COMMIT")

    async def _set_keepalives(self, conn: Connection) -> None:
        """Let the server detect a vanished client, except behind a pooler, which does so itself."""
        names = {**self._settings.keepalives(), "user_timeout": round(self._settings.tcp_timeout_s * 1000)}
        calls = ", ".join(f"pg_catalog.set_config('tcp_{name}', '{value}', false)" for name, value in names.items())
        with deadline(conn, self._limit_s):
            query = f"SELECT {calls} WHERE pg_catalog.pg_backend_pid() = %s"
            cursor = await conn.execute(query, (conn.info.backend_pid,))
            self._server_pid = conn.info.backend_pid if await cursor.fetchone() else None

    def _on_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        """Detect that COMMIT did not wait for its standby, by the server's function, whose name is not translated."""
        if notice.source_function == "SyncRepWaitForLSN":
            self._standby_skipped = True

    @contextmanager
    def _tracked(self, writing: bool) -> Iterator[None]:
        """Record the result in the circuit breaker; a rejected statement does not open it."""
        try:
            yield
        except Retryable as error:
            self.circuit_breaker.record_failure(clock.monotonic_s(), str(error), writing)
            raise
        finally:
            self.used_s = clock.monotonic_s()
        self.circuit_breaker.record_success(writing)

    async def _roll_back(self, conn: Connection) -> None:
        """Roll back; drop the connection if that fails."""
        if conn.closed:
            self._conn = None
            return
        try:
            with deadline(conn, DEADLINE_SLACK_S):
                await conn.execute("ROLLBACK")
        except psycopg.Error:
            await self.close()


def _closed_by_server(conn: Connection) -> bool:
    """Return whether the server closed an idle connection; reads without waiting."""
    readable = select.poll()
    readable.register(conn.fileno(), select.POLLIN)
    try:
        for _ in range(_READS_MAX):
            if not readable.poll(0):
                return False
            conn.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return bool(conn.pgconn.status == psycopg.pq.ConnStatus.BAD)


_LOCK_TIMEOUT_S_MAX = 10.0
"""Limit for waiting for a lock, at most half the statement timeout. A lock held longer, by ALTER TABLE or VACUUM
FULL, is treated as an outage."""
_SYNCHRONOUS_COMMIT = (
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', true)"
    " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
)
"""A commit that is acknowledged to JetStream must survive a crash of the server, so `off` is overridden unless
`runtime_params` sets it. Stronger values, which concern standbys, stay."""


def begin_sql(settings: PostgresSettings, read_only: bool = False) -> str:
    """Return BEGIN and the SET statements of a transaction as one round trip; `runtime_params` override ours."""
    timeouts_s = {
        "statement_timeout": settings.statement_timeout_s,
        "lock_timeout": lock_timeout_s(settings),
        "idle_in_transaction_session_timeout": settings.idle_in_transaction_timeout_s,
    }
    params = {name: f"{round(limit_s * 1000)}" for name, limit_s in timeouts_s.items()} | settings.runtime_params
    if read_only:
        return "; ".join(["BEGIN READ ONLY", *(_set_local(*item) for item in params.items())])
    # The warning that a COMMIT did not wait for its standby must arrive, whatever the role's settings are.
    statements = ["BEGIN", *(_set_local(*item) for item in (params | {"client_min_messages": "warning"}).items())]
    return "; ".join(statements if "synchronous_commit" in params else [*statements, _SYNCHRONOUS_COMMIT])


def lock_timeout_s(settings: PostgresSettings) -> float:
    """Return the time limit for waiting for a lock."""
    return min(_LOCK_TIMEOUT_S_MAX, settings.statement_timeout_s / 2)


def _set_local(name: str, value: str) -> str:
    quoted_value = quote_search_path(value) if name == "search_path" else quote_literal(value)
    return f"SET LOCAL {quote_ident(name)} = {quoted_value}"
