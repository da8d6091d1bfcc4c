"""
Executes the maintenance of tables: against the database, or as a dry run that prints the SQL.

`maintain` makes the decisions and calls an executor, which the command and the daemon share.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from eventwriter.errors import Retryable
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.session import PostgresSession

_PAUSE_S = 1.0
"""Pause before a retry, for sessions that wait behind the statement."""
_RETRYABLE_STATES = frozenset({"57014", "40P01", "40001"})
"""Statement timeout, deadlock, serialization failure."""


class Refused(Exception):  # an outcome of one step, not of the run
    """
    The server refused a statement.

    Attributes:
        retryable: Whether another session was in the way, so that the statement may succeed later.
    """

    def __init__(self, text: str, *, retryable: bool, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.text, self.retryable, self.sqlstate = text, retryable, sqlstate


@dataclass(frozen=True, slots=True)
class Report:
    """
    A result of the maintenance.

    Attributes:
        code: Stable identifier of the result, such as `partition_created`.
        text: Sentence for the operator; ``{rows}`` stands for the number of rows until the statement was executed.
        rows: Number of rows that were moved, deleted or found.
        changed: Whether the table was changed.
        warns: Whether an operator should know.
        undone: Whether something that is due was not done.
        retryable: Whether it was not done because another session was in the way.
    """

    code: str
    text: str
    table: str = ""
    partition: str = ""
    rows: int = 0
    changed: bool = False
    warns: bool = False
    undone: bool = False
    retryable: bool = False

    def with_rows(self, rows: int) -> "Report":
        """Return the report of an executed statement."""
        return replace(self, text=self.text.replace("{rows}", _rows(rows)), rows=rows)


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


class Executor(Protocol):
    """Reads facts, executes statements and receives reports."""

    async def query(self, sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """
        Return the rows of a query.

        Raises:
            Refused: The server refuses the query.
            Retryable: The connection is lost.
        """

    async def execute(self, script: str, result: Report) -> int:
        """
        Execute statements in one transaction and report `result`.

        Returns:
            Number of rows that were moved or deleted.

        Raises:
            Refused: The server refuses a statement.
            Retryable: The connection is lost.
        """

    def report(self, report: Report) -> None:
        """Pass a report on."""


class SessionExecutor:
    """
    Executes statements through a session.

    Args:
        on_report: Receives every report.
        attempts: Number of attempts at a statement while another session is in the way.
    """

    def __init__(self, session: PostgresSession, on_report: Callable[[Report], None], attempts: int = 1) -> None:
        self._session, self._attempts = session, attempts
        self.report = on_report

    async def query(self, sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query; see `Executor`."""
        try:
            async with self._session.transaction() as conn:
                return await (await conn.execute(sql, values)).fetchall()
        except (Rejected, Retryable) as error:
            raise self._refused(error) from error

    async def execute(self, script: str, result: Report) -> int:
        """Execute statements, with retries, and report; see `Executor`."""
        for _ in range(self._attempts - 1):
            try:
                return await self._execute_once(script, result)
            except Refused as refused:
                if not refused.retryable:
                    raise
            await asyncio.sleep(_PAUSE_S)
        return await self._execute_once(script, result)

    async def _execute_once(self, script: str, result: Report) -> int:
        rows = 0
        try:
            async with self._session.transaction() as conn:
                cursor = await conn.execute(script)
                while True:
                    if (cursor.statusmessage or "").startswith(("INSERT", "DELETE")):
                        rows += cursor.rowcount
                    if not cursor.nextset():
                        break
        except (Rejected, Retryable) as error:
            raise self._refused(error) from error
        self.report(result.with_rows(rows))
        return rows

    def _refused(self, error: Rejected | Retryable) -> Refused:
        """Map an error of the session; a lost connection ends the run."""
        if isinstance(error, Rejected):
            text = error.detail
            if error.code == "privilege_missing":
                text += "; use the role that owns the tables and may CREATE in their schema"
            return Refused(text, retryable=error.sqlstate in _RETRYABLE_STATES, sqlstate=error.sqlstate)
        if not self._session.connected:
            hint = "repeat the maintenance; completed steps remain"
            raise Retryable(error.message, code=error.code, hint=hint) from error
        locked = "; another session holds a lock on the table" if error.code == "lock_timeout" else ""
        return Refused(f"{error.message}{locked}", retryable=True)


class DryRunExecutor(SessionExecutor):
    """
    Queries the database, and prints statements as a script for psql instead of executing them.

    Args:
        echo: Prints a line.
    """

    def __init__(self, session: PostgresSession, echo: Callable[[str], None]) -> None:
        super().__init__(session, lambda report: echo(f"-- {report.text}"))
        self._echo = echo

    async def execute(self, script: str, result: Report) -> int:
        """Print the statements."""
        self._echo(f"\n-- {result.text.replace('{rows}', 'rows')}\nBEGIN;\n{script}\nCOMMIT;")
        return 0
