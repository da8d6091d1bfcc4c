"""
Lookup and conversion of single fields, the same for every kind.

Lookup is by presence, not truth: `false`, `0` and `""` are values, null is absence.
"""

import datetime as dt
import math
from collections.abc import Sequence
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


def number(value: Any) -> float | None:
    """Convert a number, a boolean (1 or 0) or entirely numeric text to a float; return None for anything else."""
    if value.__class__ is float or value.__class__ is int or value.__class__ is bool:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if value.__class__ is str and "_" not in value:
        try:
            return float(value)
        except ValueError:
            return None
    return None


def integer(value: Any, limits: tuple[int, int], adjustments: Adjustments) -> int | None:
    """Convert a value to an integer, clamped to `limits` and then counted; return None if it is not integral."""
    if value.__class__ is not int:
        if value is None or value.__class__ is bool:
            return None if value is None else int(value)
        value = _integral(value)
        if value is None:
            return None
    low, high = limits
    if low <= value <= high:
        return value  # type: ignore[no-any-return]
    adjustments.clamped += 1
    return low if value < low else high


def _integral(value: Any) -> int | None:
    if value.__class__ is str:
        stripped = value.strip()
        try:
            return int(stripped) if "_" not in stripped and len(stripped) < 40 else None
        except ValueError:
            value = number(stripped)
    if value.__class__ is float and math.isfinite(value) and value == int(value):
        return int(value)
    return None


def boolean(value: Any, default: bool | None) -> bool | None:
    """Convert a boolean, 0, 1 or the words true, false, yes and no; return `default` for anything else."""
    if value.__class__ is bool:
        return value
    if value.__class__ in (int, float) and value in (0, 1):
        return bool(value)
    if value.__class__ is str:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            value.strip().lower(), default
        )
    return default


def instant_us(value: Any) -> int | None:
    """
    Parse an instant.

    ISO 8601 text without an offset is UTC; fraction digits beyond microseconds are truncated.
    A number, or numeric text, is in seconds, milliseconds, microseconds or nanoseconds
    depending on its magnitude.

    Returns:
        Microseconds since 1970 UTC. None if the value is missing, zero, negative,
        unparsable, or in 2262 or later.
    """
    kind = value.__class__
    if kind is str:
        if value[4:5] == "-":
            us = _iso_us(value)
        else:
            as_number = number(value)
            us = _iso_us(value) if as_number is None else _magnitude_us(value, as_number)
    elif kind is int or kind is float:
        us = _magnitude_us(value, value)
    else:
        return None
    return us if us is not None and 0 < us < LATEST_US else None


def _iso_us(value: str) -> int | None:
    try:
        moment = dt.datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    delta = moment - _EPOCH
    return delta.days * _DAY_US + delta.seconds * 1_000_000 + delta.microseconds


def _magnitude_us(exact: Any, value: float) -> int | None:
    if value.__class__ is float and not math.isfinite(value):
        return None
    whole: Any = exact if exact.__class__ is int else value
    if exact.__class__ is str and exact.strip().isdigit():
        whole = int(exact)
    size = abs(whole)
    if size < 1e11:
        return round(float(whole) * 1_000_000) if whole.__class__ is float else whole * 1_000_000
    if size < 1e14:
        return int(whole * 1000)
    return int(whole) if size < 1e17 else int(whole) // 1000


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
