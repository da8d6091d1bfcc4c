"""
Values in the form that COPY wants them in, made once and used by every table.

`formats.fields` reads what a payload says; here it becomes what a column holds
(the forms are listed in `tables.table`).
"""

import json
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import LATEST_US, instant_us, json_value, text
from eventwriter.formats.json import TooDeep, dumps, loads_clean, within_depth
from eventwriter.model import Adjustments, Message

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC: microseconds since 1970."""
_LATEST_MS, LATEST_NS = LATEST_US // 1000, LATEST_US * 1000
NANOSECONDS_FROM = 10**17
"""Integers from here up to `LATEST_NS` are instants in nanoseconds."""

EMPTY_OBJECT, EMPTY_LIST = b"\x01{}", b"\x01[]"
"""jsonb's `{}` and `[]`."""

_ESCAPABLE = re.compile(r'["\\/\x00-\x1f]')
"""What JSON may write with a backslash, other than as a number."""

_INT4_OID, _TEXT_OID = 23, 25
_ARRAY_HEAD = struct.Struct("!iiIii").pack
_INT4_ELEMENT = struct.Struct("!ii").pack
_LENGTH = struct.Struct("!i").pack


def timestamp(value: Any, message: Message, adjustments: Adjustments) -> int:
    """Return an instant in µs since 2000 UTC; unusable ones become the message's JetStream timestamp, counted."""
    # Hot: once per row; the usual integers, nano-, micro- and milliseconds, are read without a call.
    if value.__class__ is int:
        if 100_000_000_000_000 <= value < LATEST_US:
            return value - POSTGRES_EPOCH_US
        if NANOSECONDS_FROM <= value < LATEST_NS:
            return value // 1000 - POSTGRES_EPOCH_US
        if 100_000_000_000 <= value < _LATEST_MS:
            return value * 1000 - POSTGRES_EPOCH_US
    us = instant_us(value) if value is not None else None
    if us is None:
        adjustments.timestamp_defaulted += 1
        us = message.timestamp_ns // 1000
    return us - POSTGRES_EPOCH_US


def jsonb(value: Any) -> bytes | None:
    """Return jsonb's binary form, or None for None."""
    return None if value is None else b"\x01" + dumps(value)


def redacted_jsonb(redact: frozenset[str]) -> Callable[[Any], bytes | None]:
    """As `redacted_json`, for a column that is `jsonb`."""
    return redacted_json(redact, b"\x01")


def redacted_json(
    redact: frozenset[str], version: bytes = b"", write: Callable[[Any], bytes] = dumps
) -> Callable[[Any], bytes | None]:
    """
    Return the function that makes the JSON of a JSON column's value: text that is itself JSON parsed, secrets left out.

    Args:
        redact: Keys, lower case, that are never stored.
        version: What the column's type puts before it.
        write: How JSON is written.
    """
    marks = _marks(redact)
    if not marks:
        return lambda value: None if value is None else version + write(json_value(value))

    def make(value: Any) -> bytes | None:
        # Hot: once per JSON column. Where no key to be left out occurs in the text, none is in the value.
        if value is None:
            return None
        if value.__class__ is str:
            value = json_value(value)
        data = write(value)
        # As text: looking for bytes in bytes takes five times as long.
        lower = data.decode().lower()
        for mark in marks:
            if mark in lower:
                return version + write(without(value, redact))
        return version + data

    return make


def redacted_text(redact: frozenset[str]) -> Callable[[Any], str | None]:
    """
    Return the function that makes a text column's value: R5's text, secrets left out where it is JSON.

    Args:
        redact: Keys, lower case, that are never stored.
    """
    marks = _marks(redact)

    def make(value: Any) -> str | None:
        # Hot: once per text column.
        if value.__class__ is not str:
            return None if value is None else text(without(value, redact))
        if value[:1] in ("{", "["):
            lower = value.lower()
            if any(mark in lower for mark in marks):
                return _text_without(value, redact)
        return value

    return make


def secret_finder(redact: frozenset[str]) -> Callable[[bytes], bool]:
    """
    Return the look at a payload that says whether keys that are never stored may be in it; false is certain.

    One look at the whole spares looks at each of its values.

    Args:
        redact: Keys, lower case, that are never stored.
    """
    marks = [*sorted(redact), *[r"\u"] * bool(redact)]
    # Beyond ASCII, bytes have no upper and lower case; and JSON may write some characters otherwise.
    if not all(key.isascii() and not _ESCAPABLE.search(key) for key in redact):
        return lambda _: True

    def may_hold(payload: bytes) -> bool:
        # Hot: once per message. As text, of whatever letters: looking for bytes in bytes takes far longer.
        lower = payload.lower().decode("latin-1")
        for mark in marks:  # noqa: SIM110  # `any` takes twice as long
            if mark in lower:
                return True
        return False

    return may_hold


def _marks(redact: frozenset[str]) -> list[str]:
    """Return what JSON text holds, in lower case, where a key to be left out may be in it; JSON in JSON included."""
    return [dumps(key)[1:-1].decode() for key in sorted(redact)] + [r"\u"] * bool(redact)


def without(value: Any, redact: frozenset[str]) -> Any:
    """
    Return `value` without the keys (compared in lower case) that are never stored, all the way down,
    in text that is itself a JSON object or array as well.

    Raises:
        Poison: `malformed`, nested too deeply.
    """
    return within_depth(lambda whole: _without(whole, redact), value) if redact else value


def _without(value: Any, redact: frozenset[str]) -> Any:
    if value.__class__ is dict:
        return {k: _without(v, redact) for k, v in value.items() if k.lower() not in redact}
    if value.__class__ is list:
        return [_without(v, redact) for v in value]
    if value.__class__ is str and value[:1] in ("{", "["):
        return _text_without(value, redact)
    return value


def _text_without(json_text: str, redact: frozenset[str]) -> str:
    try:
        value = loads_clean(json_text)
    except TooDeep:
        raise Poison("malformed", "a text may be JSON with a secret in it and is nested too deeply to tell") from None
    except ValueError:
        return json_text
    kept = _without(value, redact)
    return json_text if kept == value and not has_escaped_secret(json_text, redact) else dumps(kept).decode()


def has_escaped_secret(json_text: str, redact: frozenset[str]) -> bool:
    """
    Say whether JSON text that parses has a key to be left out, also where what has it is overwritten by a later
    one of the same key, so that no parser gives it out.
    """
    lower = json_text.lower()
    if not any(mark in lower for mark in _marks(redact)):
        return False
    found = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or any(key.lower() in redact for key, _ in pairs)
        return dict(pairs)

    try:
        json.loads(json_text, object_pairs_hook=look)
    except RecursionError:
        return True
    return found


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
