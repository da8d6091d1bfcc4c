"""Copies rows of different shapes into the real tables, rolls them back, and counts what PostgreSQL rejects."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg

from eventwriter.postgres.encode import SIGNATURE, TRAILER
from eventwriter.postgres.schema.catalog import Binding

SHAPES_MAX = 40_000
"""Limit of the row shapes that are copied to one table."""
_ROWS_PER_COPY = 300
_NUMBER_IN_JSON = re.compile(rb"[0-9]{16}|[0-9][eE]")
ALLOWED_SQLSTATES = ("22001", "23502", "54000")
"""
SQLSTATEs with which a row may be rejected, so that its message becomes a dead letter: too long for `varchar(n)`; NULL
in a column that is NOT NULL only in the real table; too long for an index.
"""


def shape(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return the properties of a row that may matter to PostgreSQL; rows with equal shapes are copied once."""
    return tuple([_shape(value) for value in row])


def _shape(value: Any) -> Any:
    kind = value.__class__
    if value is None or kind is bool:
        return value
    if kind is int:
        return (value > 0) - (value < 0), value.bit_length() // 8
    if kind is str:
        return len(value).bit_length() // 2, value.isascii()
    if kind is bytes:
        if value[:2] in (b"\x01{", b"\x01[") or value[:1] in (b"{", b"["):
            odd = b"\\" in value, _NUMBER_IN_JSON.search(value) is not None
            return len(value).bit_length() // 3, value.count(b"{").bit_length() // 2, odd
        return len(value).bit_length()
    return str(value)[:3]


class Copier:
    """
    Collects rows and copies them in batches.

    Args:
        rejected: Counter of rejected rows, by table, SQLSTATE and message.
        examples: Receives the number of an input for each of its keys.
        every: Copy all rows, not only those of new shapes.
    """

    def __init__(
        self, dsn: str, rejected: Counter[str], examples: dict[str, int], counts: Counter[str], every: bool = False
    ) -> None:
        self._every = every
        self._conn = psycopg.connect(dsn)
        self._conn.execute("SET synchronous_commit TO off")
        self._conn.commit()
        self._refused, self._examples, self._counts = rejected, examples, counts
        self._seen: dict[str, set[int]] = {}
        self._waiting: dict[str, list[tuple[bytes, int]]] = {}
        self._sql: dict[str, tuple[str, str]] = {}

    def offer(self, target: str, binding: Binding, row: Sequence[Any], encoded: bytes, n: int) -> None:
        """Add a row if its shape is new."""
        key = f"{target}{binding.copy_sql}"
        seen = self._seen.setdefault(key, set())
        if not self._every:
            if len(seen) >= SHAPES_MAX or (mark := hash(shape(row))) in seen:
                return
            seen.add(mark)
        self._sql[key] = target, binding.copy_sql
        waiting = self._waiting.setdefault(key, [])
        waiting.append((encoded, n))
        if len(waiting) >= _ROWS_PER_COPY:
            self._flush(key)

    def finish(self) -> None:
        """Copy the remaining rows and close the connection."""
        for key in list(self._waiting):
            self._flush(key)
        self._conn.close()

    def _flush(self, key: str) -> None:
        parts = [self._waiting.pop(key)]
        target, sql = self._sql[key]
        while parts:
            part = parts.pop()
            error = self._copy(sql, [encoded for encoded, _ in part])
            if error is None:
                self._counts["rows copied"] += len(part)
            elif len(part) > 1:
                middle = len(part) // 2
                parts += [part[:middle], part[middle:]]
            else:
                message = re.sub(r"[0-9]+", "N", str(error).partition("\n")[0])[:100]
                column = re.search(r"column (\S+)", str(error.diag.context or error.diag.column_name or ""))
                signature = f"{target}: {error.sqlstate} {message}" + (f" ({column[1]})" if column else "")
                self._refused[signature] += 1
                self._examples.setdefault(signature, part[0][1])

    def _copy(self, sql: str, rows: list[bytes]) -> psycopg.Error | None:
        try:
            with self._conn.transaction(force_rollback=True), self._conn.cursor() as cursor, cursor.copy(sql) as copy:
                copy.write(SIGNATURE + b"".join(rows) + TRAILER)
        except psycopg.Error as error:
            if self._conn.closed:
                raise
            return error
        return None
