"""
Dead letters: what can never become rows, kept whole, with the reason.

They are written in the same transaction as the batch's rows, so that rows + dead
letters = messages, always; and by the same COPY, because when a publisher goes
wrong there are many.
"""

import re
from collections.abc import Callable

import orjson

from eventwriter.errors import Poison
from eventwriter.formats.json import dumps
from eventwriter.model import Message, Record
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import secret_finder, without

_POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC in microseconds since 1970."""

_DETAIL_CHARS_MAX = 4000
"""A detail may quote a payload; the payload itself is kept whole beside it."""


def clean(text: str) -> str:
    """Replace what PostgreSQL's text cannot hold: U+0000 and lone surrogates become U+FFFD."""
    return text.replace("\0", "\ufffd").encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def keeper(redact: frozenset[str]) -> Callable[[bytes], bytes]:
    """
    Return the function that gives a payload as a letter may keep it: whole, but for values that are never stored.

    JSON that can be read loses those keys. In what cannot be read, text after such a key and a
    colon or an equals sign is masked. Other encodings are kept as they are.

    Args:
        redact: Keys, lower case, that are never stored.
    """
    may_hold = secret_finder(redact)
    keys = b"|".join(re.escape(key.encode()) for key in sorted(redact))
    after_key = re.compile(rb'(?i)((?:%b)["\']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"?|[^\s,}\]]+)' % keys)

    def keep(payload: bytes) -> bytes:
        if not redact or not may_hold(payload):
            return payload
        try:
            value = orjson.loads(payload)
            left = without(value, redact)
            return payload if left == value else dumps(left)
        except (orjson.JSONDecodeError, RecursionError, Poison):  # no JSON, or nested too deeply to be written again
            return after_key.sub(rb'\1"***"', payload)

    return keep


def builder(build: Build) -> RowBuilder:
    """
    Return the function that makes a letter's row of the record ``{"poison": Poison}``.

    `build.options` names the `consumer` (durable) and the `kind` of the slot.
    """
    stream, incarnation_ns, epoch = build.origin
    incarnation_us = incarnation_ns // 1000 - _POSTGRES_EPOCH_US
    consumer, kind = build.options["consumer"], build.options["kind"]
    kept = keeper(build.redact)

    def letter(record: Record, message: Message, _index: int) -> Row:
        poison: Poison = record["poison"]
        headers = {clean(k): clean(v) for k, v in message.headers.items()} if message.headers else None
        return (
            stream,
            incarnation_us,
            epoch,
            message.stream_seq,
            consumer,
            kind,
            clean(message.subject),
            b"\x01" + orjson.dumps(headers) if headers is not None else None,
            kept(message.payload),
            poison.reason,
            clean(poison.detail)[:_DETAIL_CHARS_MAX],
            poison.sqlstate,
            min(message.num_delivered, 2**31 - 1),
            message.timestamp_ns // 1000 - _POSTGRES_EPOCH_US,
        )

    return letter


DEAD_LETTERS = Table(
    name="eventwriter_dead_letters",
    columns=(
        Column("stream", "text", not_null=True),
        Column("incarnation", "timestamptz", not_null=True),
        Column("epoch", "int4", not_null=True),
        Column("stream_seq", "int8", not_null=True),
        Column("consumer", "text"),
        Column("kind", "text"),
        Column("subject", "text"),
        Column("headers", "jsonb"),
        Column("payload", "bytea"),
        Column("reason", "text"),
        Column("detail", "text"),
        Column("sqlstate", "text"),
        Column("num_deliveries", "int4"),
        Column("message_timestamp", "timestamptz"),
    ),
    builder=builder,
    time_column="created_at",
)
