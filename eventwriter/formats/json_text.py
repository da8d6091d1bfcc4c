"""
JSON text to plain Python and back, with all that PostgreSQL cannot hold taken care of.

Two parsers: orjson, strict and fast, and for what it refuses the standard library's,
which knows lone surrogates, integers of any size, NaN and the infinities. What comes
out is clean: no U+0000 and no lone surrogate in any text.

Pure: bytes and text in, values out.
"""

import json
import math
import re
from typing import Any

import orjson

from eventwriter.errors import Poison

DEPTH_MAX = 200
"""Levels of nesting that are written. orjson writes 254 and Python's own stack ends a recursion
at about 480; a document this deep is an attack or an accident."""

_DIGITS_MAX = 4000
"""Digits of an integer that are kept. Python refuses more than 4300 (CVE-2020-10735)."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_BACKSLASH = 0x5C
_SPACE = " \t\r\n"


class NotJson(ValueError):
    """The text is no JSON document; says why, without quoting it."""


def loads(payload: bytes | str) -> Any:
    """
    Parse one JSON document, strictly, and where that fails leniently.

    Invalid UTF-8 and a byte order mark are refused. Of equal keys the last wins. An
    integer beyond 64 bits becomes a float where the strict parser takes it as one.

    Returns:
        Plain Python; text in it is clean.

    Raises:
        NotJson: Neither parser takes it, or it is too deep to be cleaned.

    Source: RFC 8259.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as refusal:
        return clean(_lenient(payload, refusal))
    # A raw U+0000 is refused by both parsers, so only its escape can be there.
    if ("\\u0000" if payload.__class__ is str else b"\\u0000") in payload:  # type: ignore[operator]
        return clean(value)
    return value


def _lenient(payload: bytes | str, refusal: ValueError) -> Any:
    """Parse what is JSON but for lone surrogates, big integers, NaN or infinities; all else is refused as before."""
    try:
        text = payload if isinstance(payload, str) else payload.decode()
        if text.lstrip(_SPACE)[:1] not in ("{", "["):
            raise NotJson(str(refusal)) from refusal
        return json.loads(text, parse_int=_integer)
    except RecursionError as error:
        raise NotJson("nested too deeply") from error
    except ValueError as error:
        raise NotJson(str(refusal)) from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def clean(value: Any, depth: int = 0) -> Any:
    """
    Replace U+0000 and lone surrogates by U+FFFD, in keys and values, at any depth.

    Raises:
        NotJson: Deeper than `DEPTH_MAX`.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, (dict, list)):
        if depth >= DEPTH_MAX:
            raise NotJson(f"nested deeper than {DEPTH_MAX} levels")
        if isinstance(value, dict):
            return {clean(key): clean(item, depth + 1) for key, item in value.items()}
        return [clean(item, depth + 1) for item in value]
    return value


def nested(text: str) -> Any:
    """Return the object or array that a string holds; the string itself where it holds neither."""
    if text.lstrip(_SPACE)[:1] not in ("{", "["):
        return text
    try:
        return loads(text)
    except NotJson:
        return text


def dumps(value: Any) -> bytes:
    """
    Write compact JSON; NaN and the infinities become null, integers keep all their digits.

    Raises:
        Poison: Deeper than `DEPTH_MAX`.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":")).encode()


def _finite(value: Any, depth: int = 0) -> Any:
    """Put null for what JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (dict, list)):
        if depth >= DEPTH_MAX:
            raise Poison("malformed", f"nested deeper than {DEPTH_MAX} levels")
        if isinstance(value, dict):
            return {key: _finite(item, depth + 1) for key, item in value.items()}
        return [_finite(item, depth + 1) for item in value]
    return value
