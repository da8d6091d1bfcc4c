"""
How a tapped message is shown: payload, rows or reason, without what is never stored, and short.

Rows are made a second time, by the slot's own decoder and builders, of messages that
were committed: whatever could kill a worker has done so before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from eventwriter.errors import Poison
from eventwriter.formats.plain_json import dumps, loads_clean
from eventwriter.model import Message, Record
from eventwriter.postgres.shown import shown
from eventwriter.tables.raw_data import secrets_sieve
from eventwriter.tables.scalars import hides_key, secret_finder, without
from eventwriter.tables.table import RowBuilder, Table

PAYLOAD_BYTES_MAX = 64 * 1024
"""Of larger ones only the size is shown: reading one to leave secrets out would take milliseconds."""
CHARS_MAX = 4000
"""Of a payload, or of one value of a row."""
ROWS_MAX = 20
HEX_BYTES = 64
"""Shown of a payload that is no text."""

Sample = dict[str, Any]

HIDDEN = "not shown: a key of `redact` may be in it"


def head(message: Message) -> dict[str, Any]:
    """Return what every sample has: which message, when and how large; header names without their values."""
    return {
        "subject": message.subject,
        "stream_seq": message.stream_seq,
        "at_ns": message.timestamp_ns,
        "num_delivered": message.num_delivered,
        "bytes": len(message.payload),
        "headers": sorted(message.headers) if message.headers else [],
    }


def raw(message: Message, redact: frozenset[str]) -> dict[str, Any]:
    """Return a message as it came."""
    return {**head(message), "payload": payload_text(message, redact)}


def dead(message: Message, poison: Poison | None, redact: frozenset[str]) -> dict[str, Any]:
    """Return a message that became a dead letter, and why."""
    why = {"reason": poison.reason, "error": poison.detail} if poison else {}
    return {**raw(message, redact), **why}


def row(
    message: Message,
    decode: Callable[[Message], list[Record]],
    builders: Sequence[tuple[Table, RowBuilder]],
) -> dict[str, Any]:
    """Return a message's rows; columns that stay NULL are left out."""
    rows: list[dict[str, Any]] = []
    try:
        for index, record in enumerate(decode(message)):
            for table, build in builders:
                if len(rows) < ROWS_MAX and (values := build(record, message, index)) is not None:
                    rows.append({"table": table.name, "columns": columns(table, values)})
    except Poison as poison:  # only where the configuration of the builders has changed meanwhile
        return {**head(message), "rows": rows, "error": poison.detail}
    return {**head(message), "rows": rows}


def columns(table: Table, values: Sequence[Any]) -> dict[str, Any]:
    """Return a row's columns by name."""
    named = zip(table.columns, values, strict=True)
    return {column.name: cut_value(shown(value, column.type)) for column, value in named if value is not None}


def payload_text(message: Message, redact: frozenset[str]) -> str:
    """Return a payload for people: JSON without secrets, other text as it is, anything else in part as hex."""
    payload = message.payload
    if len(payload) > PAYLOAD_BYTES_MAX:
        return f"not shown: {len(payload):,} bytes"
    try:
        text = payload.decode("utf-8-sig")
        value = loads_clean(text)
    except (Poison, ValueError):
        return _no_json(payload, redact)
    try:
        return cut(_clean(value, text, message, redact))
    except (Poison, ValueError):  # too deep to tell, or JSON only to a lenient parser
        return HIDDEN


def _clean(value: Any, text: str, message: Message, redact: frozenset[str]) -> str:
    sieve = secrets_sieve(redact)
    if isinstance(value, dict):
        kept: Any = sieve(value, message)
    elif isinstance(value, list):
        kept = [sieve(one, message) if isinstance(one, dict) else without(one, redact) for one in value]
    else:
        kept = without(value, redact)
    return text if kept == value and not hides_key(text, redact) else dumps(kept).decode()


def _no_json(payload: bytes, redact: frozenset[str]) -> str:
    if secret_finder(redact)(payload):
        return HIDDEN
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = ""
    if text and all(one.isprintable() or one in "\r\n\t" for one in text):
        return cut(text)
    shortened = "…" if len(payload) > HEX_BYTES else ""
    return f"\\x{payload[:HEX_BYTES].hex()}{shortened}"


def cut(text: str) -> str:
    """Return a text of at most `CHARS_MAX` characters."""
    return text if len(text) <= CHARS_MAX else f"{text[:CHARS_MAX]}… ({len(text):,} characters)"


def cut_value(value: Any) -> Any:
    """Return a value as it is where it is short, else as the beginning of its text."""
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, Mapping | list) and len(text := orjson.dumps(value).decode()) > CHARS_MAX:
        return cut(text)
    return value
