"""
`eventwriter migrate --maintain`: the steps of looking after tables, taken over a connection that waits.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg

from eventwriter import clock
from eventwriter.config.settings import StorageSettings
from eventwriter.errors import Retryable
from eventwriter.postgres.errors import primary_message
from eventwriter.postgres.migrate.files import shipped
from eventwriter.postgres.partitions.maintain import Task
from eventwriter.postgres.partitions.steps import Act, Ask, Note, Refusal, Steps

Connection = psycopg.Connection[Any]

_TRIES = 5
"""How often a step that somebody was in the way of is tried, before the next run has to."""
_REST_S = 1.0
"""Between two tries: for those who queued up behind it."""

_LATER = frozenset({"55P03", "57014", "40P01", "40001"})
"""Lock not available, statement took too long, deadlock, serialization failure."""


def time_columns() -> dict[str, str]:
    """Return the tables that are cut by time, with the column."""
    return {one.table: one.time_column for one in shipped() if one.time_column is not None}


def now() -> dt.datetime:
    """Return the time, in UTC."""
    return dt.datetime.fromtimestamp(clock.now_ns() / 1e9, dt.UTC)


def task(schema: str | None, storage: StorageSettings) -> Task:
    """Return the task of looking after every table of a schema, now."""
    return Task(schema, time_columns(), storage, now())


def run(conn: Connection, target: str, steps: Steps) -> Iterator[Note]:
    """
    Take the steps.

    Yields:
        What was done, and what is to be said.

    Raises:
        Retryable: The connection was lost.
    """
    for taken in _taken(conn, target, steps, partial(_patiently, conn, target)):
        if isinstance(taken, Note):
            yield taken
            continue
        step, answer = taken
        if not isinstance(answer, Refusal):
            yield Note(step.said(answer))


def dry_run(conn: Connection, target: str, steps: Steps) -> Iterator[str]:
    """
    Yield the SQL of the steps that would be taken now, as a script for psql; change nothing.

    Raises:
        Retryable: The connection was lost.
    """
    for taken in _taken(conn, target, steps, lambda _: 0):
        if isinstance(taken, Note):
            yield f"-- {taken.text}"
            continue
        step, _ = taken
        says = step.says.replace("%d", "some")
        yield f"\n-- {says}\nBEGIN;\n{step.sql}\nCOMMIT;"


def _taken(
    conn: Connection, target: str, steps: Steps, act: Callable[[Act], int | Refusal]
) -> Iterator[Note | tuple[Act, int | Refusal]]:
    """Take the steps, asking the server what they ask; yield notes, and what was acted with what `act` answered."""
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            return
        answer = None
        if isinstance(step, Note):
            yield step
        elif isinstance(step, Ask):
            answer = ask(conn, target, step)
        else:
            answer = act(step)
            yield step, answer


def ask(conn: Connection, target: str, step: Ask) -> list[tuple[Any, ...]] | Refusal:
    """Return the rows that a question finds."""
    try:
        return conn.execute(step.sql, step.values).fetchall()
    except psycopg.Error as error:
        return _refusal(conn, target, error)


def _patiently(conn: Connection, target: str, step: Act) -> int | Refusal:
    for tried in range(1, _TRIES + 1):
        answer = _act(conn, target, step)
        if not isinstance(answer, Refusal) or not answer.later or tried == _TRIES:
            return answer
        time.sleep(_REST_S)
    raise AssertionError("a step is tried at least once")


def _act(conn: Connection, target: str, step: Act) -> int | Refusal:
    try:
        with conn.transaction():
            return rows_of(conn.execute(step.sql))
    except psycopg.Error as error:
        return _refusal(conn, target, error)


def rows_of(cursor: "psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]") -> int:
    """Return how many rows the statements of a script moved or deleted."""
    rows = 0
    while True:
        if (cursor.statusmessage or "").startswith(("INSERT", "DELETE")):
            rows += cursor.rowcount
        if not cursor.nextset():
            return rows


def _refusal(conn: Connection, target: str, error: psycopg.Error) -> Refusal:
    text = primary_message(error)
    if conn.closed or conn.broken:
        raise Retryable(f"lost PostgreSQL at {target}: {text}; maintain again: what was done stays done") from error
    return refusal(text, error.sqlstate)


def refusal(text: str, sqlstate: str | None) -> Refusal:
    """Say what the server refused, and what mends it."""
    if sqlstate == "42501":
        text += "; maintain as the role that owns the tables, which may CREATE in their schema"
    if sqlstate == "55P03":
        text += ": somebody uses the table for longer than that"
    return Refusal(text, sqlstate in _LATER, sqlstate)
