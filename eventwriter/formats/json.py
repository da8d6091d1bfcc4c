"""
JSON payloads: an object is one record, an array each of its objects in turn.

What a strict parser refuses only for lone surrogates, NaN, Infinity or numbers out
of range is parsed again leniently and then cleaned; everything else that is not an
object or an array of objects (text that is not UTF-8 included) is poison.
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
"""Records of one message, in any format. A message is never split over two transactions, and two bytes can make a
record: a payload of two megabytes took half a gigabyte and four seconds before this was looked at."""


def decode(payload: bytes) -> list[Record]:
    """
    Read the records of a payload.

    Text in them holds neither U+0000 nor lone surrogates: both become U+FFFD.

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
        raise Poison("malformed", f"the payload is a JSON {_name(value)}; an object or an array of objects is wanted")
    check_count(0, value)
    for index, element in enumerate(value):
        if element.__class__ is not dict:
            raise Poison("malformed", f"element {index} of the array is a JSON {_name(element)}; objects are wanted")
    return value


def check_count(count: int, more: Sized) -> None:
    """
    Refuse a message that makes too many records, before they are made.

    Raises:
        Poison: `too_large`.
    """
    if count + len(more) > RECORDS_MAX:
        raise Poison("too_large", f"the payload holds more than {RECORDS_MAX:,} records; publish it in parts")


def within_depth(act: Callable[[Any], Any], value: Any) -> Any:
    """
    Return `act(value)`.

    Raises:
        Poison: `malformed`, where the value has more levels than Python descends.
    """
    try:
        return act(value)
    except RecursionError:
        raise Poison("malformed", "the JSON is nested too deeply to be stored") from None


def _lenient(payload: bytes, error: ValueError) -> Any:
    try:
        return _clean(json.loads(payload.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        raise Poison("malformed", f"the payload is no JSON: {error}") from error


def _clean(value: Any) -> Any:
    """Replace what PostgreSQL cannot store, all the way down."""
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
    Parse JSON text within a payload and clean it; as with payloads, leniently where a strict parser refuses it.

    Raises:
        ValueError: It is none, or has more levels than a parser descends (`TooDeep`).
        Poison: `malformed`, nested too deeply.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Text that merely begins like JSON ("[INFO] started") is common, and not worth a second look.
        if text.rstrip()[-1:] not in ("}", "]"):
            raise
        value = _loads_lenient(text)
    return within_depth(_clean, value)


class TooDeep(ValueError):
    """Text that may be JSON, of so many levels that no parser says so."""


def _loads_lenient(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise TooDeep("nested too deeply") from None


def dumps(value: Any) -> bytes:
    """
    Write JSON text; NaN and the infinities become null.

    Raises:
        Poison: `malformed`, nested too deeply.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        # Integers beyond 64 bits, or more levels than orjson writes.
        return within_depth(_dumps_any, value)  # type: ignore[no-any-return]


def dumps_sorted(value: Any) -> bytes:
    """As `dumps`, with the keys of every object in order: equal values give equal text."""
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
"""No protobuf message begins with it: it would be a tag of wire type 7, which there is not."""


Decoder = Callable[[bytes], list[Record]]


def decode_json_or_protobuf(payload: bytes, protobuf: Decoder, json: Decoder = decode) -> list[Record]:
    """
    Read a payload as JSON where its first byte after white space is `{` or `[`, else as protobuf.

    White space and a brace can begin a protobuf message too (a line feed is the tag of its first
    field, the brace a length), so what looks like JSON and is none gets its second try.

    Args:
        protobuf: Reads the one form; raises only `Poison`.
        json: Reads the other; the same.

    Raises:
        Poison: What the one that applies says.
    """
    # Hot: once per message; nothing is copied but where the payload begins with white space.
    if payload[:1] in _JSON_BEGINS or payload[:3] == _BYTE_ORDER_MARK:
        begins_blank = False
    elif payload[:1].isspace() and payload.lstrip()[:1] in _JSON_BEGINS:
        begins_blank = True
    else:
        return protobuf(payload)
    try:
        return json(payload)
    except Poison as no_json:
        if not begins_blank:
            raise
        try:
            return protobuf(payload)
        except Poison:
            raise no_json from None
