"""
Read-only access to the database for commands that run beside the daemon.

Every transaction is READ ONLY and uses the parameters of a worker's transactions, such as
`search_path`, so that the same tables are visible.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.postgres.connect import Connection, connect, deadline
from eventwriter.postgres.errors import Verdict, code_and_hint, primary_message, verdict_for
from eventwriter.postgres.session import DEADLINE_SLACK_S, begin_sql

_STATEMENTS_MAX = 4
"""Statements of one transaction that may each use the whole statement timeout."""


TIMED_OUT = "statement_timeout"
"""Code of the error for a query that took longer than its time limit."""


class ReadOnlySession:
    """A connection for read-only transactions; the caller of `open_read_only` closes it."""

    def __init__(self, conn: Connection, settings: PostgresSettings) -> None:
        self.conn = conn
        self.target = settings.target()
        self._statement_timeout_s = settings.statement_timeout_s
        self._begin = begin_sql(settings, read_only=True)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """
        Run the block in a READ ONLY transaction.

        Raises:
            Retryable: The server is unavailable or the connection is lost.
            Fatal: The server rejects a statement.
        """
        try:
            with deadline(self.conn, self._statement_timeout_s * _STATEMENTS_MAX + DEADLINE_SLACK_S):
                await self.conn.execute(self._begin)
                try:
                    yield self.conn
                finally:
                    if not self.conn.closed:
                        await self.conn.execute("ROLLBACK")
        except psycopg.Error as error:
            raise self._map_error(error) from error

    def _map_error(self, error: psycopg.Error) -> EventwriterError:
        text = f"PostgreSQL at {self.target}: {primary_message(error)}"
        if verdict_for(error.sqlstate) is Verdict.RETRY:
            code, hint = code_and_hint(error.sqlstate, "postgres_unavailable")
            return Retryable(text, code=code, hint=hint)
        code, hint = code_and_hint(error.sqlstate, "postgres_rejected")
        if error.sqlstate == "57014":
            hint = f"a query took longer than postgres.statement_timeout ({self._statement_timeout_s:g} s); raise it"
        return Fatal(f"{text} (SQLSTATE {error.sqlstate})", code=code, hint=hint)

    async def close(self) -> None:
        """Close the connection."""
        await self.conn.close()


async def open_read_only(settings: PostgresSettings) -> ReadOnlySession:
    """
    Open a connection for read-only transactions.

    Raises:
        Retryable: The server is unreachable.
        Fatal: The server refuses the login.
    """
    return ReadOnlySession(await connect(settings), settings)
