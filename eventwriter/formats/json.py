"""
JSON payloads: an object is one record, an array is one record for each of its objects.

A payload that the strict parser rejects is parsed leniently, which accepts lone surrogates, NaN,
Infinity and numbers out of range, and is then cleaned. Anything else that is not an object or an
array of objects, including text that is not UTF-8, is poison.
"""

import json
import math
from collections.abc import Callable, Sized
from typing import Any

import orjson

from eventwriter.errors import Poison
from eventwriter.model import Record

_REPLACEMENT = "\ufffd"

RECORDS_MAX = 100_000
"""Largest number of records in one message of any format.

A message is never split over two transactions, and two bytes can make a record: without the limit a
payload of 2 MB took 4 s and 500 MB of memory."""


def decode(payload: bytes) -> list[Record]:
    """
    Return the records of a payload.

    U+0000 and lone surrogates in text become U+FFFD.

    Raises:
        Poison: `malformed`; `too_large` for more records than `RECORDS_MAX`.

    Source: RFC 8259.
    """
    # Hot: once per message.
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        value = _lenient(payload, error)
    else:
        if b"\\u0000" in payload:
            value = within_depth(_clean, value)
    if value.__class__ is dict:
        return [value]
    if value.__class__ is not list:
        raise Poison("malformed", f"the payload is a JSON {_name(value)}, not an object or an array of objects")
    check_count(0, value)
    for index, element in enumerate(value):
        if element.__class__ is not dict:
            raise Poison("malformed", f"element {index} of the array is a JSON {_name(element)}, not an object")
    return value


def check_count(count: int, more: Sized) -> None:
    """
    Check, before more records are built, that a message stays within `RECORDS_MAX`.

    Args:
        count: Number of records built so far.
        more: The encoded records to be built next.

    Raises:
        Poison: `too_large`.
    """
    if count + len(more) > RECORDS_MAX:
        raise Poison("too_large", f"the payload holds more than {RECORDS_MAX:,} records; publish it in parts")


def within_depth(act: Callable[[Any], Any], value: Any) -> Any:
    """
    Return `act(value)`.

    Raises:
        Poison: `malformed`, if the value is nested more deeply than Python can recurse.
    """
    try:
        return act(value)
    except RecursionError:
        raise Poison("malformed", "the JSON is nested too deeply") from None


def _lenient(payload: bytes, error: ValueError) -> Any:
    if payload[-1:] == b"\0":
        return _parse(payload.rstrip(b"\0"))  # framing of GELF over TCP
    try:
        return _clean(json.loads(payload.decode("utf-8-sig")))
    except UnicodeDecodeError as not_utf8:
        raise Poison("malformed", f"the payload is not UTF-8 at byte {not_utf8.start}") from error
    except (ValueError, RecursionError):
        lines = payload.splitlines() if payload.lstrip()[:1] == b"{" else []
        if len(lines) > 1 and all(line.strip()[-1:] in (b"}", b"") for line in lines):
            return _lines(lines)
        raise Poison("malformed", f"the payload is not valid JSON: {error}") from error


def _lines(lines: list[bytes]) -> list[Any]:
    """Return the values of JSON lines, one a line."""
    check_count(0, lines)
    values = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values.append(_parse(line))
        except Poison as poison:
            raise Poison(poison.reason, f"line {number}: {poison.detail}") from None
    return values


def _parse(text: bytes) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _lenient(text, error)
    return within_depth(_clean, value)


def _clean(value: Any) -> Any:
    """Clean all text in a value, keys included."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return value


def clean_text(text: str) -> str:
    """Replace U+0000 and lone surrogates with U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", _REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "".join(_REPLACEMENT if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def loads_clean(text: str) -> Any:
    """
    Parse and clean JSON text that is a value within a payload, with the same leniency as for payloads.

    Raises:
        ValueError: The text is not JSON, or is nested more deeply than the parser can recurse (`TooDeep`).
        Poison: `malformed`, nested too deeply to be cleaned.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Text that only begins like JSON ("[INFO] started") is common; do not parse it a second time.
        if text.rstrip()[-1:] not in ("}", "]"):
            raise
        value = _loads_lenient(text)
    return within_depth(_clean, value)


class TooDeep(ValueError):
    """Text that may be JSON but is nested too deeply to be parsed."""


def _loads_lenient(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise TooDeep("nested too deeply") from None


def dumps(value: Any) -> bytes:
    """
    Encode a value as JSON text; NaN and the infinities become null.

    Raises:
        Poison: `malformed`, nested too deeply.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        # Integers beyond 64 bits, or more nesting than orjson encodes.
        return within_depth(_dumps_any, value)  # type: ignore[no-any-return]


def dumps_sorted(value: Any) -> bytes:
    """Encode like `dumps`, with the keys of every object sorted, so that equal values give equal text."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return within_depth(lambda whole: _dumps_any(whole, sort_keys=True), value)  # type: ignore[no-any-return]


def _dumps_any(value: Any, sort_keys: bool = False) -> bytes:
    return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value


def _name(value: object) -> str:
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}.get(type(value), "null")


_JSON_BEGINS = (b"{", b"[")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Cannot begin a protobuf message: its first byte would be a tag of wire type 7, which does not exist."""


Decoder = Callable[[bytes], list[Record]]


def decode_json_or_protobuf(payload: bytes, protobuf: Decoder, json: Decoder = decode) -> list[Record]:
    """
    Decode a payload as JSON if its first byte after white space is `{` or `[`, else as protobuf.

    A brace or a bracket, also after white space, can begin a protobuf message too: they may be a length, and a
    line feed is the tag of field 1. A payload that looks like JSON and is not is decoded as protobuf.

    Args:
        protobuf: Decodes protobuf; raises only `Poison`.
        json: Decodes JSON; raises only `Poison`.

    Raises:
        Poison: The error of the form that the payload appears to have.
    """
    # Hot: once per message. Only a payload that begins with white space is copied.
    begins = payload[:1]
    if (
        begins not in _JSON_BEGINS
        and payload[:3] != _BYTE_ORDER_MARK
        and not (begins.isspace() and payload.lstrip()[:1] in _JSON_BEGINS)
    ):
        return protobuf(payload)
    try:
        return json(payload)
    except Poison as json_error:
        try:
            return protobuf(payload)
        except Poison:
            raise json_error from None
