"""
Queries and changes of stored dead letters, for operators.

Every function runs within the caller's transaction and raises psycopg.Error if the server
reports an error. Dead letters are paged by id, so that a walk over all of them needs little
memory and is not affected by concurrent inserts and deletes.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.rows import class_row

from eventwriter.postgres.connect import Connection

NEW, REPLAYED = "new", "replayed"
"""States of a dead letter: not replayed, or its rows were written by a replay."""

_PAGE_BYTES_MAX = 16 * 1024 * 1024
"""Limit of the payloads of one page; a larger payload is a page of its own."""


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """
    Selects the dead letters that meet all given conditions.

    Attributes:
        stream: JetStream stream.
        consumers: Durables, any of which matches.
        since, before: Range of the time when the dead letter was written.
        ids: Only these ids.
    """

    stream: str | None = None
    consumers: tuple[str, ...] = ()
    reason: str | None = None
    state: str | None = None
    since: dt.datetime | None = None
    before: dt.datetime | None = None
    ids: tuple[int, ...] = ()

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the SQL condition and its parameters."""
        conditions: Mapping[str, tuple[str, Any]] = {
            "stream": ("stream = %(stream)s", self.stream),
            "consumers": ("consumer = ANY(%(consumers)s)", list(self.consumers)),
            "reason": ("reason = %(reason)s", self.reason),
            "state": ("state = %(state)s", self.state),
            "since": ("created_at >= %(since)s", self.since),
            "before": ("created_at < %(before)s", self.before),
            "ids": ("id = ANY(%(ids)s)", list(self.ids)),
        }
        given = {name: condition for name, condition in conditions.items() if condition[1]}
        sql = " AND ".join(["true", *(condition for condition, _ in given.values())])
        return sql, {name: value for name, (_, value) in given.items()}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row of the table; times are time zone aware."""

    id: int
    stream: str
    incarnation: dt.datetime
    epoch: int
    stream_seq: int
    consumer: str | None
    kind: str | None
    subject: str | None
    headers: dict[str, str] | None
    payload: bytes | None
    reason: str | None
    detail: str | None
    sqlstate: str | None
    num_deliveries: int | None
    message_timestamp: dt.datetime | None
    created_at: dt.datetime
    state: str
    replayed_at: dt.datetime | None
    replay_tried_at: dt.datetime | None
    replay_error: str | None


_FIELDS = ", ".join(DeadLetter.__slots__)
_FIELDS_WITHOUT_PAYLOAD = _FIELDS.replace("payload", "NULL::bytea AS payload")


async def list_newest(conn: Connection, table: str, filters: DeadLetterFilter, limit: int) -> list[DeadLetter]:
    """Return the newest dead letters, newest first, without their payloads."""
    where, values = filters.where()
    query = f"SELECT {_FIELDS_WITHOUT_PAYLOAD} FROM {table} WHERE {where} ORDER BY id DESC LIMIT %(limit)s"  # noqa: S608
    return await _fetch(conn, query, {**values, "limit": limit})


async def count(conn: Connection, table: str, filters: DeadLetterFilter) -> int:
    """Return the number of dead letters."""
    where, values = filters.where()
    cursor = await conn.execute(f"SELECT pg_catalog.count(*) FROM {table} WHERE {where}", values)  # noqa: S608
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Dead letters with one reason: how many, since when, and the newest of them as an example."""

    reason: str | None
    count: int
    first_at: dt.datetime
    last_at: dt.datetime
    newest_id: int
    newest_detail: str | None


async def count_by_reason(conn: Connection, table: str, filters: DeadLetterFilter) -> list[ReasonCount]:
    """Return the number of dead letters for each reason, the most frequent reason first."""
    where, values = filters.where()
    query = (
        "SELECT g.*, d.detail AS newest_detail FROM (SELECT reason, pg_catalog.count(*) AS count,"  # noqa: S608
        f" pg_catalog.min(created_at) AS first_at, pg_catalog.max(created_at) AS last_at,"
        f" pg_catalog.max(id) AS newest_id FROM {table} WHERE {where} GROUP BY reason) g"
        f" JOIN {table} d ON d.id = g.newest_id ORDER BY g.count DESC, g.reason"
    )
    async with conn.cursor(row_factory=class_row(ReasonCount)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


async def existing_ids(conn: Connection, table: str, ids: Sequence[int]) -> set[int]:
    """Return which of these ids exist."""
    cursor = await conn.execute(f"SELECT id FROM {table} WHERE id = ANY(%s)", (list(ids),))  # noqa: S608
    return {int(row[0]) for row in await cursor.fetchall()}


async def distinct(conn: Connection, table: str, column: Literal["reason", "stream"]) -> list[str]:
    """Return the different values of a column in alphabetical order, without null."""
    query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY 1"  # noqa: S608
    return [str(row[0]) for row in await (await conn.execute(query)).fetchall()]


async def page_ids(conn: Connection, table: str, filters: DeadLetterFilter, after: int, limit: int) -> list[int]:
    """Return the ids that follow `after`: at most `limit`, and as many as fit into memory with their payloads."""
    where, values = filters.where()
    cursor = await conn.execute(
        f"SELECT id, coalesce(pg_catalog.octet_length(payload), 0) FROM {table}"  # noqa: S608
        f" WHERE {where} AND id > %(after)s ORDER BY id LIMIT %(limit)s",
        {**values, "after": after, "limit": limit},
    )
    ids: list[int] = []
    size_bytes = 0
    for letter_id, payload_bytes in await cursor.fetchall():
        size_bytes += payload_bytes
        if ids and size_bytes > _PAGE_BYTES_MAX:
            break
        ids.append(letter_id)
    return ids


async def read(conn: Connection, table: str, ids: Sequence[int]) -> list[DeadLetter]:
    """Return dead letters with their payloads, ordered by id; deleted ones are left out."""
    query = f"SELECT {_FIELDS} FROM {table} WHERE id = ANY(%(ids)s) ORDER BY id"  # noqa: S608
    return await _fetch(conn, query, {"ids": list(ids)})


async def lock_new(conn: Connection, table: str, ids: Sequence[int]) -> list[DeadLetter]:
    """Lock and return dead letters that are not replayed; those locked by another transaction are left out."""
    query = (
        f"SELECT {_FIELDS} FROM {table} WHERE id = ANY(%(ids)s) AND state = %(new)s"  # noqa: S608
        " ORDER BY id FOR UPDATE SKIP LOCKED"
    )
    return await _fetch(conn, query, {"ids": list(ids), "new": NEW})


async def record_replay(conn: Connection, table: str, written: Sequence[int], failed: Mapping[int, str]) -> None:
    """
    Record the result of a replay.

    Args:
        written: Ids of the dead letters whose rows are in this transaction.
        failed: Errors of the others, by id.
    """
    if written:
        await conn.execute(
            f"UPDATE {table} SET state = %s, replayed_at = pg_catalog.now(), replay_tried_at = pg_catalog.now(),"  # noqa: S608
            " replay_error = NULL WHERE id = ANY(%s)",
            (REPLAYED, list(written)),
        )
    if failed:
        await conn.execute(
            f"UPDATE {table} d SET replay_tried_at = pg_catalog.now(), replay_error = f.error"  # noqa: S608
            " FROM unnest(%s::bigint[], %s::text[]) f (id, error) WHERE d.id = f.id",
            (list(failed), list(failed.values())),
        )


async def delete(conn: Connection, table: str, ids: Sequence[int]) -> int:
    """Delete dead letters and return their number."""
    return (await conn.execute(f"DELETE FROM {table} WHERE id = ANY(%s)", (list(ids),))).rowcount  # noqa: S608


async def expired_ids(
    conn: Connection, table: str, keep_s: float | None, keep_max: int | None, limit: int
) -> list[int]:
    """
    Return the ids of the oldest dead letters beyond the retention, at most `limit`.

    Args:
        keep_s: Maximum age in seconds; None for no limit.
        keep_max: Maximum number; None for no limit.
    """
    ids: list[int] = []
    if keep_s is not None:
        cursor = await conn.execute(
            f"SELECT id FROM {table} WHERE created_at < pg_catalog.now() - %s::float8 * interval '1 second'"  # noqa: S608
            " ORDER BY created_at LIMIT %s",
            (keep_s, limit),
        )
        ids += [row[0] for row in await cursor.fetchall()]
    if keep_max is not None and len(ids) < limit:
        cursor = await conn.execute(
            f"SELECT id FROM {table} WHERE id <= (SELECT id FROM {table} ORDER BY id DESC OFFSET %s LIMIT 1)"  # noqa: S608
            " ORDER BY id LIMIT %s",
            (keep_max, limit - len(ids)),
        )
        ids += [row[0] for row in await cursor.fetchall()]
    return ids


async def _fetch(conn: Connection, query: str, values: Mapping[str, Any]) -> list[DeadLetter]:
    async with conn.cursor(row_factory=class_row(DeadLetter)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()
