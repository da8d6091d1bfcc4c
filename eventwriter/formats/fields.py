"""
Lookup and conversion of single fields, the same for every kind.

Lookup is by presence, not truth: `false`, `0` and `""` are values, null is absence.
"""

import datetime as dt
import math
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.json import dumps, loads_clean
from eventwriter.model import Adjustments, Record

LATEST_US = 9_214_646_400_000_000
"""2262-01-01 UTC in microseconds since 1970. Later instants are treated as invalid."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_US = 86_400_000_000

INT4 = (-(2**31), 2**31 - 1)
INT8 = (-(2**63), 2**63 - 1)


def names(snake: str, *aliases: str) -> tuple[str, ...]:
    """Return the keys that may hold a field, in lookup order: snake_case, camelCase, then the aliases."""
    head, *rest = snake.split("_")
    camel = head + "".join(part.capitalize() for part in rest)
    return tuple(dict.fromkeys((snake, camel, *aliases)))


def find(record: Record, keys: Sequence[str]) -> Any:
    """Return the first value that is not null, or None."""
    for key in keys:
        value = record.get(key)
        if value is not None:
            return value
    return None


def text(value: Any) -> str | None:
    """Return text as it is and any other value as compact JSON; None stays None, NaN is "NaN"."""
    if value is None or value.__class__ is str:
        return value
    if value.__class__ is float and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return dumps(value).decode()


def text_of(record: Record, keys: Sequence[str]) -> str | None:
    """Return the first value that is not null as text, or None."""
    for key in keys:
        value = record.get(key)
        if value is not None:
            return value if value.__class__ is str else text(value)
    return None


def is_blank(value: Any) -> bool:
    """Return whether a value is text that is empty or white space only."""
    return value.__class__ is str and (not value or value.isspace())


def number(value: Any) -> float | None:
    """
    Convert a number, or text that is entirely numeric, to a float.

    Returns:
        None for anything else, booleans included, and for numbers beyond the range of a float.
        NaN and the infinities are returned if they are written as such.
    """
    kind = value.__class__
    if kind is float:
        return value  # type: ignore[no-any-return]
    if kind is int or kind is Decimal:
        try:
            converted = float(value)
        except OverflowError:
            return None
        return converted if math.isfinite(converted) else None
    if kind is str and "_" not in value and value.isascii():
        try:
            converted = float(value)
        except ValueError:
            return None
        return converted if not math.isinf(converted) or "inf" in value.lower() else None
    return None


_DIGITS_MAX = 400
"""Digits of a number that is converted to an integer; converting many digits takes quadratic time."""


def whole(value: Any) -> int | None:
    """Convert an integer, an integral number or integral numeric text to an integer; None for anything else."""
    if value.__class__ is int:
        return value
    if value.__class__ is float:
        return int(value) if value.is_integer() else None
    exact = decimal(value)
    if exact is None or not exact.is_finite() or abs(exact.adjusted()) > _DIGITS_MAX:
        return None
    return int(exact) if exact == exact.to_integral_value() else None


def decimal(value: Any) -> Decimal | None:
    """Return a Decimal, or text that is entirely numeric with all its digits; None for anything else."""
    if value.__class__ is Decimal:
        return value
    if value.__class__ is not str or "_" in value or not value.isascii():
        return None
    try:
        return Decimal(value.strip())
    except InvalidOperation:
        return None


def integer(value: Any, limits: tuple[int, int], adjustments: Adjustments, column: str) -> int | None:
    """
    Convert a value to an integer within `limits`.

    A value out of range is clamped and counted; a value that is not integral is counted as nulled.
    """
    exact = whole(value)
    if exact is None:
        if value is not None:
            adjustments.nulled_by_column.add(column)
        return None
    low, high = limits
    if low <= exact <= high:
        return exact
    adjustments.clamped_by_column.add(column)
    return low if exact < low else high


_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
"""Source: PostgreSQL documentation, "Boolean Type"."""


def boolean(value: Any) -> bool | None:
    """Convert a boolean, 0, 1 or a word that PostgreSQL reads as a boolean; return None for anything else."""
    if value.__class__ is bool:
        return value
    if value.__class__ is str:
        return _BOOLEANS.get(value.strip().lower())
    return bool(value) if value.__class__ in (int, float) and value in (0, 1) else None


def instant_us(value: Any) -> int | None:
    """
    Parse an instant.

    ISO 8601 text without an offset is UTC; fraction digits beyond microseconds are truncated. Leap seconds
    and 24:00:00 are accepted, as in PostgreSQL. A number, or numeric text, is in seconds, milliseconds,
    microseconds or nanoseconds depending on its magnitude. Objects with seconds and nanoseconds are
    accepted as protobuf (`seconds`, `nanos`) and Log4j (`epochSecond`, `nanoOfSecond`) write them.

    Returns:
        Microseconds since 1970 UTC. None if the value is missing, zero, negative,
        unparsable, or in 2262 or later.
    """
    kind = value.__class__
    if kind is str:
        us = _iso_us(value) if value[4:5] == "-" else _numeric_text_us(value)
    elif kind is int or kind is float:
        us = _magnitude_us(value)
    elif kind is Decimal:
        us = _magnitude_us(value) if value.is_finite() and abs(value.adjusted()) < _DIGITS_MAX else None
    elif kind is dict:
        us = _object_us(value)
    else:
        return None
    return us if us is not None and 0 < us < LATEST_US else None


def _iso_us(value: str) -> int | None:
    try:
        moment = dt.datetime.fromisoformat(value.strip())
    except ValueError:
        return _lenient_iso_us(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    delta = moment - _EPOCH
    return delta.days * _DAY_US + delta.seconds * 1_000_000 + delta.microseconds


_LENIENT_ISO = re.compile(
    r"\s*([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]+([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"\s*(?:([+-])([0-9]{2}):?([0-9]{2})?(?::?([0-9]{2}))?)?\s*(?:[Zz]|UTC|GMT)?\s*"
)
"""ISO 8601 and what PostgreSQL reads besides: :60, 24:00:00, t and z; also Go's `2006-01-02 15:04:05 +0000 UTC`."""


def _lenient_iso_us(value: str) -> int | None:
    parts = _LENIENT_ISO.fullmatch(value)
    if parts is None:
        return None
    date, hours, minutes, seconds, fraction, sign, *offset = parts.groups()
    hour, minute, second = int(hours), int(minutes), int(seconds or 0)
    us = int((fraction or "")[:6].ljust(6, "0"))
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second or us)):
        return None
    try:
        days = dt.date.fromisoformat(date).toordinal() - _EPOCH.toordinal()
    except ValueError:
        return None
    offset_hours, offset_minutes, offset_seconds = (int(part or 0) for part in offset)
    shift_s = (offset_hours * 3600 + offset_minutes * 60 + offset_seconds) * (-1 if sign == "-" else 1)
    return days * _DAY_US + ((hour * 60 + minute) * 60 + second - shift_s) * 1_000_000 + us


def _numeric_text_us(value: str) -> int | None:
    exact = decimal(value)
    if exact is None:
        return _iso_us(value)
    return _magnitude_us(exact) if exact.is_finite() and abs(exact.adjusted()) < _DIGITS_MAX else None


def _object_us(value: Record) -> int | None:
    for seconds_key, nanos_key in (("seconds", "nanos"), ("epochSecond", "nanoOfSecond")):
        seconds, nanos = whole(value.get(seconds_key)), value.get(nanos_key)
        if seconds is not None and value.keys() <= {seconds_key, nanos_key}:
            exact_nanos = 0 if nanos is None else whole(nanos)
            return None if exact_nanos is None else seconds * 1_000_000 + exact_nanos // 1000
    return None


def _magnitude_us(value: Any) -> int | None:
    size = abs(value)
    if size < 1e11:
        return round(value * 1_000_000) if value.__class__ is float else int(value * 1_000_000)
    if size < 1e14:
        return int(value * 1000)
    if size < 1e17:
        return int(value)
    return int(value) // 1000 if size < 1e20 else None


_HEX = re.compile("[0-9a-f]+")


def hex_id(value: Any) -> str | None:
    """
    Return an identifier of a trace or span: hexadecimal text in lower case, without `0x`.

    Returns:
        None if the identifier is missing or consists of zeros. Text that is not hexadecimal is returned unchanged.
    """
    given = text(value)
    if not given or given.isspace():
        return None
    digits = given.strip().lower().removeprefix("0x")
    if _HEX.fullmatch(digits) is None:
        return given
    return digits if digits.strip("0") else None


def json_value(value: Any) -> Any:
    """Return the value that a JSON column stores: text that contains a JSON object or array is parsed."""
    if value.__class__ is str and value[:1] in ("{", "["):
        try:
            return loads_clean(value)
        except ValueError:
            return value
    return value


def required(value: str | None, name: str) -> str:
    """
    Return `value` if it is neither None nor empty.

    Raises:
        Poison: `missing_field`.
    """
    if not value:
        raise Poison("missing_field", f"{name} is missing or empty")
    return value
