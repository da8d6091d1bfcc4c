"""
Dead letters as operators ask for them: found, counted, read whole, marked, deleted.

Each function is within the caller's transaction and raises psycopg.Error, as the
server says. Letters are walked by id, so that a walk takes little memory and is not
upset by what others write or delete meanwhile.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row

from eventwriter.postgres.connect import Connection

NEW, REPLAYED = "new", "replayed"
"""The states of a letter: its message is nowhere else; its rows were written by a replay."""

_PAGE_BYTES_MAX = 16 * 1024 * 1024
"""Payloads of one page of a walk; one that is larger is a page by itself."""


@dataclass(frozen=True, slots=True)
class Filters:
    """
    Which letters are meant; those that meet everything given.

    Attributes:
        stream: JetStream's stream.
        consumers: Durables; any of them.
        since, before: When the letter was written.
        ids: Just these.
    """

    stream: str | None = None
    consumers: tuple[str, ...] = ()
    reason: str | None = None
    state: str | None = None
    since: dt.datetime | None = None
    before: dt.datetime | None = None
    ids: tuple[int, ...] = ()

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return an SQL condition and its parameters."""
        given: Mapping[str, Any] = {
            "stream = %(stream)s": self.stream,
            "consumer = ANY(%(consumers)s)": list(self.consumers),
            "reason = %(reason)s": self.reason,
            "state = %(state)s": self.state,
            "created_at >= %(since)s": self.since,
            "created_at < %(before)s": self.before,
            "id = ANY(%(ids)s)": list(self.ids),
        }
        wanted = {condition: value for condition, value in given.items() if value}
        names = {condition.partition("%(")[2].partition(")")[0]: value for condition, value in wanted.items()}
        return " AND ".join(["true", *wanted]), names


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, as the table has it; times are aware."""

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


_FIELDS = ", ".join(Letter.__slots__)
_HEADS = _FIELDS.replace("payload", "NULL::bytea AS payload")


async def heads(conn: Connection, table: str, filters: Filters, limit: int) -> list[Letter]:
    """Return the newest letters, newest first, without their payloads."""
    where, values = filters.where()
    query = f"SELECT {_HEADS} FROM {table} WHERE {where} ORDER BY id DESC LIMIT %(limit)s"  # noqa: S608
    return await _read(conn, query, {**values, "limit": limit})


async def total(conn: Connection, table: str, filters: Filters) -> int:
    """Return how many letters there are."""
    where, values = filters.where()
    row = await (await conn.execute(f"SELECT count(*) FROM {table} WHERE {where}", values)).fetchone()  # noqa: S608
    return int(row[0]) if row else 0


async def page(conn: Connection, table: str, filters: Filters, after: int, limit: int) -> list[int]:
    """Return the ids that follow `after`, at most `limit`, and not more than can be held with their payloads."""
    where, values = filters.where()
    cursor = await conn.execute(
        f"SELECT id, coalesce(octet_length(payload), 0) FROM {table}"  # noqa: S608
        f" WHERE {where} AND id > %(after)s ORDER BY id LIMIT %(limit)s",
        {**values, "after": after, "limit": limit},
    )
    ids: list[int] = []
    size_bytes = 0
    for number, payload_bytes in await cursor.fetchall():
        size_bytes += payload_bytes
        if ids and size_bytes > _PAGE_BYTES_MAX:
            break
        ids.append(number)
    return ids


async def read(conn: Connection, table: str, ids: Sequence[int]) -> list[Letter]:
    """Return letters whole, in the order of their ids; those that are gone are left out."""
    query = f"SELECT {_FIELDS} FROM {table} WHERE id = ANY(%(ids)s) ORDER BY id"  # noqa: S608
    return await _read(conn, query, {"ids": list(ids)})


async def claim(conn: Connection, table: str, ids: Sequence[int]) -> list[Letter]:
    """Return letters whole that are new, locked for this transaction; those that another one has are left out."""
    query = (
        f"SELECT {_FIELDS} FROM {table} WHERE id = ANY(%(ids)s) AND state = %(new)s"  # noqa: S608
        " ORDER BY id FOR UPDATE SKIP LOCKED"
    )
    return await _read(conn, query, {"ids": list(ids), "new": NEW})


async def mark(conn: Connection, table: str, written: Sequence[int], failed: Mapping[int, str]) -> None:
    """
    Note what a replay did.

    Args:
        written: Letters whose rows are in this transaction.
        failed: Why a letter is still dead, by id.
    """
    if written:
        await conn.execute(
            f"UPDATE {table} SET state = %s, replayed_at = now(), replay_tried_at = now(), replay_error = NULL"  # noqa: S608
            " WHERE id = ANY(%s)",
            (REPLAYED, list(written)),
        )
    if failed:
        await conn.execute(
            f"UPDATE {table} d SET replay_tried_at = now(), replay_error = f.error"  # noqa: S608
            " FROM unnest(%s::bigint[], %s::text[]) f (id, error) WHERE d.id = f.id",
            (list(failed), list(failed.values())),
        )


async def delete(conn: Connection, table: str, ids: Sequence[int]) -> int:
    """Delete letters; return how many."""
    return (await conn.execute(f"DELETE FROM {table} WHERE id = ANY(%s)", (list(ids),))).rowcount  # noqa: S608


async def expired(conn: Connection, table: str, keep_s: float | None, keep_max: int | None, limit: int) -> list[int]:
    """
    Return the oldest letters that are kept no longer, at most `limit`.

    Args:
        keep_s: Letters older than that; seconds. None for no limit of age.
        keep_max: Letters beyond the newest so many. None for no limit of number.
    """
    found: list[int] = []
    if keep_s is not None:
        cursor = await conn.execute(
            f"SELECT id FROM {table} WHERE created_at < now() - %s * interval '1 second'"  # noqa: S608
            " ORDER BY created_at LIMIT %s",
            (keep_s, limit),
        )
        found += [row[0] for row in await cursor.fetchall()]
    if keep_max is not None and len(found) < limit:
        cursor = await conn.execute(
            f"SELECT id FROM {table} WHERE id <= (SELECT id FROM {table} ORDER BY id DESC OFFSET %s LIMIT 1)"  # noqa: S608
            " ORDER BY id LIMIT %s",
            (keep_max, limit - len(found)),
        )
        found += [row[0] for row in await cursor.fetchall()]
    return found


async def _read(conn: Connection, query: str, values: Mapping[str, Any]) -> list[Letter]:
    async with conn.cursor(row_factory=class_row(Letter)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()
