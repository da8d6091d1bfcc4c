"""
Dead letters: messages that cannot become rows, stored with the reason.

They are written in the transaction of the batch's rows, so that every message of the stream is
either rows or a dead letter. They are written with COPY like rows, because a faulty publisher
causes many of them.
"""

import orjson

from eventwriter.errors import Poison
from eventwriter.model import Message, Record
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import POSTGRES_EPOCH_US

_DETAIL_CHARS_MAX = 4000
"""A detail may quote a payload; the payload itself is stored separately."""


def storable_text(text: str) -> str:
    """Replace characters that PostgreSQL's text cannot store, U+0000 and lone surrogates, by U+FFFD."""
    return text.replace("\0", "\ufffd").encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def dead_letter_builder(build: Build) -> RowBuilder:
    """
    Return the function that builds the row of a dead letter from the record ``{"poison": Poison}``.

    `build.options` contains the `consumer` (durable) and the `kind` of the slot.
    """
    stream, incarnation_ns, epoch = build.origin
    incarnation_us = incarnation_ns // 1000 - POSTGRES_EPOCH_US
    consumer, kind = build.options["consumer"], build.options["kind"]
    redactor = Redactor(build.redact, snmp=True)

    def build_row(record: Record, message: Message, _index: int) -> Row:
        poison: Poison = record["poison"]
        headers = {storable_text(k): storable_text(v) for k, v in message.headers.items()} if message.headers else None
        return (
            stream,
            incarnation_us,
            epoch,
            message.stream_seq,
            consumer,
            kind,
            storable_text(message.subject),
            b"\x01" + orjson.dumps(headers) if headers is not None else None,
            redactor.payload(message.payload, message.subject),
            poison.reason,
            storable_text(poison.detail)[:_DETAIL_CHARS_MAX],
            poison.sqlstate,
            min(message.num_delivered, 2**31 - 1),
            message.timestamp_ns // 1000 - POSTGRES_EPOCH_US,
        )

    return build_row


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
    builder=dead_letter_builder,
    time_column="created_at",
)
