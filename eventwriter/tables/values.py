"""
Conversion of values to the forms that COPY takes, shared by all tables.

`formats.fields` parses the values of a payload; the functions here return what a row holds
(the forms are listed in `tables.table`).
"""

import struct
from collections.abc import Sequence
from typing import Any

from eventwriter.formats.fields import LATEST_US, instant_us, json_value
from eventwriter.formats.json import dumps
from eventwriter.model import Adjustments, Message

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC: microseconds since 1970."""
_LATEST_MS, LATEST_NS = LATEST_US // 1000, LATEST_US * 1000
NANOSECONDS_FROM = 10**17
"""Integers from here up to `LATEST_NS` are instants in nanoseconds."""

EMPTY_OBJECT, EMPTY_LIST = b"\x01{}", b"\x01[]"
"""`{}` and `[]` as jsonb."""

_INT4_OID, _TEXT_OID = 23, 25
_ARRAY_HEAD = struct.Struct("!iiIii").pack
_INT4_ELEMENT = struct.Struct("!ii").pack
_LENGTH = struct.Struct("!i").pack


def timestamp(value: Any, message: Message, adjustments: Adjustments) -> int:
    """Return an instant in µs since 2000 UTC; an unusable one becomes the message's JetStream timestamp, counted."""
    # Hot: once per row; the usual integers, nano-, micro- and milliseconds, are converted without a call.
    if value.__class__ is int:
        if 100_000_000_000_000 <= value < LATEST_US:
            return value - POSTGRES_EPOCH_US
        if NANOSECONDS_FROM <= value < LATEST_NS:
            return value // 1000 - POSTGRES_EPOCH_US
        if 100_000_000_000 <= value < _LATEST_MS:
            return value * 1000 - POSTGRES_EPOCH_US
    return instant_or_default(instant_us(value) if value is not None else None, message, adjustments)


def instant_or_default(us: int | None, message: Message, adjustments: Adjustments) -> int:
    """Return microseconds since 1970 as µs since 2000; None becomes the message's JetStream timestamp, counted."""
    if us is None:
        adjustments.timestamp_defaulted += 1
        us = message.timestamp_ns // 1000
    return us - POSTGRES_EPOCH_US


def optional_instant(value: Any) -> int | None:
    """Return an instant in µs since 2000 UTC; None if it is missing or unusable."""
    us = instant_us(value)
    return None if us is None else us - POSTGRES_EPOCH_US


def jsonb(value: Any) -> bytes | None:
    """Return the binary form of jsonb, or None for None."""
    return None if value is None else b"\x01" + dumps(value)


def parsed_jsonb(value: Any) -> bytes | None:
    """Return the binary form of jsonb; text that contains a JSON object or array is parsed."""
    if value is None:
        return None
    return b"\x01" + dumps(json_value(value) if value.__class__ is str else value)


def int4_array(values: Sequence[int]) -> bytes:
    """
    Return the binary form of an `integer[]`; all elements are within the range of int4.

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
    """Return the header of an array with one dimension, without NULLs; an empty array has no dimension."""
    return _ARRAY_HEAD(1, 0, element_oid, count, 1) if count else struct.pack("!iiI", 0, 0, element_oid)
