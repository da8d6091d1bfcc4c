"""
Values in the form that COPY wants them in, made once and used by every table.

`formats.fields` reads what a payload says; here it becomes what a column holds
(the forms are listed in `tables.table`).
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from eventwriter.formats.fields import LATEST_US, instant_us, json_value
from eventwriter.formats.plain_json import dumps
from eventwriter.model import Message, Tally

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC: microseconds since 1970."""
_LATEST_MS = LATEST_US // 1000

EMPTY_OBJECT, EMPTY_LIST = b"\x01{}", b"\x01[]"
"""jsonb's `{}` and `[]`."""

_INT4_OID, _TEXT_OID = 23, 25
_ARRAY_HEAD = struct.Struct("!iiIii").pack
_INT4_ELEMENT = struct.Struct("!ii").pack
_LENGTH = struct.Struct("!i").pack


def timestamp(value: Any, message: Message, tally: Tally) -> int:
    """Return an instant in µs since 2000 UTC; unusable ones become the message's JetStream timestamp, counted."""
    # Hot: once per row; the usual integers, microseconds and milliseconds, are read without a call.
    if value.__class__ is int:
        if 100_000_000_000_000 <= value < LATEST_US:
            return value - POSTGRES_EPOCH_US
        if 100_000_000_000 <= value < _LATEST_MS:
            return value * 1000 - POSTGRES_EPOCH_US
    us = instant_us(value) if value is not None else None
    if us is None:
        tally.timestamp_defaulted += 1
        us = message.timestamp_ns // 1000
    return us - POSTGRES_EPOCH_US


def jsonb(value: Any) -> bytes | None:
    """Return jsonb's binary form, or None for None."""
    return None if value is None else b"\x01" + dumps(value)


def redacted_jsonb(redact: frozenset[str]) -> Callable[[Any], bytes | None]:
    """
    Return the function that makes jsonb of a JSON column's value: text that is itself JSON parsed, secrets left out.

    Args:
        redact: Keys, lower case, that are never stored.
    """
    marks = [dumps(key) for key in sorted(redact)]
    plain = all(key.isascii() for key in redact)

    def make(value: Any) -> bytes | None:
        # Hot: once per JSON column. Where no key to be left out occurs in the text, none is in the value.
        if value is None:
            return None
        if value.__class__ is str:
            value = json_value(value)
        data = dumps(value)
        lower = data.lower() if plain else data.decode().lower().encode()
        for mark in marks:
            if mark in lower:
                return b"\x01" + dumps(without(value, redact))
        return b"\x01" + data

    return make


def without(value: Any, redact: frozenset[str]) -> Any:
    """Return `value` without the keys (compared in lower case) that are never stored, all the way down."""
    if value.__class__ is dict:
        return {k: without(v, redact) for k, v in value.items() if k.lower() not in redact}
    if value.__class__ is list:
        return [without(v, redact) for v in value]
    return value


def int4_array(values: Sequence[int]) -> bytes:
    """
    Return the binary form of an `integer[]`; its elements are within int4's range.

    Source: PostgreSQL's array_recv().
    """
    return _array_head(_INT4_OID, len(values)) + b"".join([_INT4_ELEMENT(4, value) for value in values])


def text_array(values: Sequence[str]) -> bytes:
    """
    Return the binary form of a `text[]`.

    Source: PostgreSQL's array_recv().
    """
    encoded = [value.encode() for value in values]
    return _array_head(_TEXT_OID, len(values)) + b"".join([_LENGTH(len(value)) + value for value in encoded])


def _array_head(element_oid: int, count: int) -> bytes:
    """One dimension, no NULLs, counted from 1; an empty array has no dimension."""
    return _ARRAY_HEAD(1, 0, element_oid, count, 1) if count else struct.pack("!iiI", 0, 0, element_oid)
