"""
Looking into the database, and nothing else: every look is one READ ONLY transaction.

For commands that prove or examine beside a running daemon. The transaction carries
the same parameters (`search_path`) as a worker's, so the same tables are seen.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psycopg

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.postgres.connect import Connection, connect, deadline
from eventwriter.postgres.errors import Verdict, one_line, verdict
from eventwriter.postgres.schema.catalog import quoted

_SLACK_S = 5.0
"""Beyond the server's own statement timeout, before the connection is cut off from this side."""


class Reader:
    """One connection for looks; whoever opened it closes it."""

    def __init__(self, conn: Connection, settings: PostgresSettings) -> None:
        self.conn = conn
        self.target = settings.target()
        self._limit_s = settings.statement_timeout_s
        self._params = parameters(settings.runtime_params, self._limit_s)

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Connection]:
        """
        Lend the connection inside a READ ONLY transaction.

        Raises:
            Retryable: The server's state, or the connection was lost.
            Fatal: The server refuses a statement.
        """
        try:
            with deadline(self.conn, self._limit_s * 4 + _SLACK_S):
                async with self.conn.transaction():
                    await self.conn.execute("SET TRANSACTION READ ONLY")
                    for name, value in self._params.items():
                        await self.conn.execute("SELECT set_config(%s, %s, true)", (name, value))
                    yield self.conn
        except psycopg.Error as error:
            raise self.refusal(error) from error

    def refusal(self, error: psycopg.Error) -> EventwriterError:
        """Map an error to a sentence and a family."""
        text = f"PostgreSQL at {self.target}: {one_line(error)}"
        if verdict(error.sqlstate) is Verdict.RETRY:
            return Retryable(text)
        if error.sqlstate == "57014":
            return Fatal(f"{text}: a look took longer than postgres.statement_timeout ({self._limit_s:g} s)")
        return Fatal(f"{text} (SQLSTATE {error.sqlstate})")

    async def close(self) -> None:
        """Close the connection."""
        await self.conn.close()


async def open_reader(settings: PostgresSettings) -> Reader:
    """
    Connect.

    Raises:
        Retryable: The server is not there.
        Fatal: It refuses us.
    """
    return Reader(await connect(settings), settings)


def parameters(given: Mapping[str, str], limit_s: float) -> dict[str, str]:
    """Return the parameters of a transaction, in the form that `set_config` wants; pure."""
    found = {"statement_timeout": f"{round(limit_s * 1000)}", **given}
    if "search_path" in found:
        # Names are taken as they are written, as a worker takes them.
        names = [part.strip().strip('"') for part in found["search_path"].split(",")]
        found["search_path"] = ", ".join(map(quoted, names))
    return found
