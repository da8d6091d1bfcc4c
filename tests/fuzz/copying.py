"""Rows of all different shapes, copied into the real tables (and rolled back): what PostgreSQL refuses is told."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg

from eventwriter.postgres.encode import SIGNATURE, TRAILER
from eventwriter.postgres.schema.catalog import Binding

SHAPES_MAX = 40_000
"""Shapes of one table's rows that are copied."""
_TOGETHER = 300
_NUMBER_IN_JSON = re.compile(rb"[0-9]{16}|[0-9][eE]")
EXPECTED = ("22001", "23502", "54000")
"""
SQLSTATEs that a row may be refused with, which makes its message a dead letter: too long for `varchar(n)`; NULL
where the real table, not ours, forbids it; too long for an index.
"""


def shape(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return what tells a row from others as far as PostgreSQL may care."""
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
    Collects rows and copies them.

    Args:
        refused: Counts what was refused, by table, SQLSTATE and words.
        examples: Gets the number of a payload for each of those.
        every: Copies all rows, not only those of new shapes.
    """

    def __init__(
        self, dsn: str, refused: Counter[str], examples: dict[str, int], counts: Counter[str], every: bool = False
    ) -> None:
        self._every = every
        self._conn = psycopg.connect(dsn)
        self._conn.execute("SET synchronous_commit TO off")
        self._conn.commit()
        self._refused, self._examples, self._counts = refused, examples, counts
        self._seen: dict[str, set[int]] = {}
        self._waiting: dict[str, list[tuple[bytes, int]]] = {}
        self._sql: dict[str, tuple[str, str]] = {}

    def offer(self, lane: str, binding: Binding, row: Sequence[Any], encoded: bytes, n: int) -> None:
        """Take a row if its shape is new."""
        key = f"{lane}{binding.copy_sql}"
        seen = self._seen.setdefault(key, set())
        if not self._every:
            if len(seen) >= SHAPES_MAX or (mark := hash(shape(row))) in seen:
                return
            seen.add(mark)
        self._sql[key] = lane, binding.copy_sql
        waiting = self._waiting.setdefault(key, [])
        waiting.append((encoded, n))
        if len(waiting) >= _TOGETHER:
            self._flush(key)

    def finish(self) -> None:
        """Copy what is left."""
        for key in list(self._waiting):
            self._flush(key)
        self._conn.close()

    def _flush(self, key: str) -> None:
        parts = [self._waiting.pop(key)]
        lane, sql = self._sql[key]
        while parts:
            part = parts.pop()
            error = self._copied(sql, [encoded for encoded, _ in part])
            if error is None:
                self._counts["rows copied"] += len(part)
            elif len(part) > 1:
                middle = len(part) // 2
                parts += [part[:middle], part[middle:]]
            else:
                words = re.sub(r"[0-9]+", "N", str(error).partition("\n")[0])[:100]
                column = re.search(r"column (\S+)", str(error.diag.context or error.diag.column_name or ""))
                sign = f"{lane}: {error.sqlstate} {words}" + (f" ({column[1]})" if column else "")
                self._refused[sign] += 1
                self._examples.setdefault(sign, part[0][1])

    def _copied(self, sql: str, rows: list[bytes]) -> psycopg.Error | None:
        try:
            with self._conn.transaction(force_rollback=True), self._conn.cursor() as cursor, cursor.copy(sql) as copy:
                copy.write(SIGNATURE + b"".join(rows) + TRAILER)
        except psycopg.Error as error:
            if self._conn.closed:
                raise
            return error
        return None
