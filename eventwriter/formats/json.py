"""
JSON payloads: an object is one record, an array is one record for each of its objects.

A payload that the strict parser rejects is parsed leniently, which accepts lone surrogates, NaN,
Infinity and numbers out of range, and is then cleaned. Anything else that is not an object or an
array of objects, including text that is not UTF-8, is poison.

Numbers keep their digits: integers of any size are `int`, and numbers that a float cannot hold are `Decimal`.
"""

import json
import math
from collections.abc import Callable, Sized
from decimal import Decimal
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
        value = _lenient(payload, str(error))
    else:
        # As text, because a search in bytes takes twice as long.
        if _LONG_NUMBER in payload.translate(_DIGITS_AS_ZEROS).decode("latin-1") or _BACKSLASH in payload:
            value = _checked(value, payload)
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


_DIGITS_AS_ZEROS = bytes(ord("0") if chr(byte) in "0123456789-" else byte for byte in range(256))
_LONG_NUMBER = "0" * 20
"""In JSON that may have an integer beyond 64 bits, which orjson rounds, if digits and minus signs are replaced by
zeros: such an integer has 20 digits, or a minus sign and 19. Nanoseconds since 1970 are shorter."""
_BACKSLASH = ord("\\")


_INT_DIGITS_MAX = 4300
"""Python converts no longer text to an integer."""
_DIGITS_MAX, _SCALE_MAX = 131_072, 16_383
"""Digits before and after the decimal point that PostgreSQL's `numeric`, and therefore `jsonb`, can store.

Source: PostgreSQL documentation, "Arbitrary Precision Numbers"."""


def fits_numeric(value: Decimal) -> bool:
    """Return whether PostgreSQL's `numeric` can store a number; its limits are far below those of Decimal."""
    exponent = value.as_tuple().exponent
    return not isinstance(exponent, int) or (value.adjusted() < _DIGITS_MAX and exponent >= -_SCALE_MAX)


def parse_exactly(text: str | bytes, every_number: bool = False) -> Any:
    """
    Parse JSON, leniently, keeping the digits of numbers that a float cannot hold.

    Args:
        every_number: Return all numbers that are not integers as `Decimal`.

    Raises:
        ValueError: The text is not JSON, or has a number of more digits than PostgreSQL can store.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, parse_int=_exact_integer, parse_float=Decimal if every_number else _exact_float)


def _exact_integer(digits: str) -> int | Decimal:
    if len(digits) > _DIGITS_MAX:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits) if len(digits) <= _INT_DIGITS_MAX else Decimal(digits)


def _exact_float(digits: str) -> float | Decimal:
    value = float(digits)
    return value if math.isfinite(value) else Decimal(digits)


def _lenient(payload: bytes, problem: str = "") -> Any:
    """
    Parse and clean a payload, or JSON lines.

    Args:
        problem: Why the strict parser rejected it.
    """
    if payload[-1:] == b"\0":
        return _parse(payload.rstrip(b"\0"))  # framing of GELF over TCP
    try:
        return _clean(parse_exactly(payload.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        at = error.start + (len(_BYTE_ORDER_MARK) if payload.startswith(_BYTE_ORDER_MARK) else 0)
        raise Poison("malformed", f"the payload is not UTF-8 at byte {at}") from None
    except RecursionError:
        raise Poison("malformed", f"the payload is not valid JSON: {problem or 'nested too deeply'}") from None
    except ValueError as error:
        lines = payload.splitlines() if payload.lstrip()[:1] == b"{" else []
        if len(lines) > 1 and all(line.strip()[-1:] in (b"}", b"") for line in lines):
            return _lines(lines)
        raise Poison("malformed", f"the payload is not valid JSON: {problem or error}") from None


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


def load(payload: bytes) -> Any:
    """
    Parse a payload that may be any JSON value, or JSON lines.

    Raises:
        Poison: `malformed`; `too_large` for too many lines.
    """
    return _parse(payload)


def is_text(payload: bytes) -> bool:
    """Return whether a payload is text in UTF-8, without control characters except white space."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return False
    return bool(text) and text.translate(_WHITE_SPACE).isprintable()


_WHITE_SPACE = {ord(character): " " for character in "\t\r\n\x0b\x0c\x1b\ufeff\u2028\u2029\xa0\xad\u200b"}


def _parse(payload: bytes) -> Any:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return _lenient(payload, str(error))
    return _checked(value, payload)


def _checked(value: Any, payload: bytes) -> Any:
    """Return a value that the strict parser accepted, with the digits of long integers and without U+0000."""
    if _LONG_NUMBER in payload.translate(_DIGITS_AS_ZEROS).decode("latin-1"):
        return _lenient(payload)
    return within_depth(_clean, value) if b"\\u0000" in payload else value


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
    else:
        if len(text) > len(_LONG_NUMBER) and _LONG_NUMBER in text.translate(_TEXT_DIGITS_AS_ZEROS):
            value = _loads_lenient(text)
    return within_depth(_clean, value)


_TEXT_DIGITS_AS_ZEROS = str.maketrans("123456789-", "0" * 10)


class TooDeep(ValueError):
    """Text that may be JSON but is nested too deeply to be parsed."""


def _loads_lenient(text: str) -> Any:
    try:
        return parse_exactly(text)
    except RecursionError:
        raise TooDeep("nested too deeply") from None


def dumps(value: Any) -> bytes:
    """
    Encode a value as JSON. NaN and infinity become null, and numbers beyond the range of `numeric` become strings.

    Raises:
        Poison: `malformed`, nested too deeply.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        # An integer of more than 64 bits, a Decimal, or more levels than orjson encodes.
        return within_depth(_encode, value)  # type: ignore[no-any-return]


def dumps_sorted(value: Any) -> bytes:
    """Encode a value as `dumps` does, with sorted keys, so that equal values have equal text."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return within_depth(lambda whole: _encode(whole, sort_keys=True), value)  # type: ignore[no-any-return]


def _encode(value: Any, sort_keys: bool = False) -> bytes:
    # Loops, not comprehensions: each level costs one frame of Python's stack.
    if isinstance(value, dict):
        members = []
        for key in sorted(value) if sort_keys else value:
            members.append(orjson.dumps(key) + b":" + _encode(value[key], sort_keys))
        return b"{%b}" % b",".join(members)
    if isinstance(value, list):
        elements = []
        for element in value:
            elements.append(_encode(element, sort_keys))
        return b"[%b]" % b",".join(elements)
    if isinstance(value, Decimal):
        if not value.is_finite():
            return b"null"
        return str(value).encode() if fits_numeric(value) else b'"%b"' % str(value).encode()
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    return orjson.dumps(value)


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
        try:
            return protobuf(payload)
        except Poison:
            if not is_text(payload):
                raise
            raise Poison("malformed", "the payload is text, neither JSON nor protobuf") from None
    try:
        return json(payload)
    except Poison as json_error:
        try:
            return protobuf(payload)
        except Poison:
            raise json_error from None
