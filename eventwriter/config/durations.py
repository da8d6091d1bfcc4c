"""Durations as text: "30s", "1m", "500ms", "1h30m", "1 day", "90 minutes". Pure."""

import math
import re

_UNITS_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_WORDS = {
    "second": "s", "seconds": "s", "sec": "s", "secs": "s", "minute": "m", "minutes": "m", "min": "m", "mins": "m",
    "hour": "h", "hours": "h", "day": "d", "days": "d", "week": "w", "weeks": "w",
    "millisecond": "ms", "milliseconds": "ms",
}  # fmt: skip
"""Units as PostgreSQL and people write them."""
_NUMBER = r"\d+(?:\.\d+)?"
_UNIT = "|".join(sorted([*_UNITS_S, *_WORDS], key=len, reverse=True))
_PART = re.compile(rf"({_NUMBER}) ?({_UNIT})(?![a-zµ])[ ,]*")
_WHOLE = re.compile(rf"(?:{_NUMBER} ?(?:{_UNIT})(?![a-zµ])[ ,]*)+")
_FORMAT_UNITS = ("d", "h", "m", "s", "ms", "us")
_ERROR = 'not a duration; write one like "30s", "500ms", "1m30s" or "90 minutes"'

FOREVER = "forever"
"""Text of an infinite duration."""

PATTERN = r"^(\d+(\.\d+)? ?([a-zµ]+)?[ ,]*)+$"
"""Pattern of durations for the JSON schema; `parse_duration` is stricter."""


def parse_duration(value: object, number_unit_s: float) -> float:
    """
    Return a duration in seconds.

    Args:
        value: Text with units, or a plain number (also as text).
        number_unit_s: Unit of a plain number in seconds: 1 for most keys, 1e-3 for
            `batch_timeout`, 1e-9 for the integer nanoseconds of Go.

    Raises:
        ValueError: The value is neither.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_ERROR)
    if isinstance(value, int | float):
        return round(value * number_unit_s, 9)
    text = value.strip()
    if _WHOLE.fullmatch(text):
        parts = _PART.findall(text)
        return round(sum(float(number) * _UNITS_S[_WORDS.get(unit, unit)] for number, unit in parts), 9)
    try:
        return round(float(text) * number_unit_s, 9)
    except ValueError:
        raise ValueError(_ERROR) from None


def format_duration(duration_s: float) -> str:
    """Return a duration as `parse_duration` reads it, in the largest unit that keeps it whole: `30s`, `250ms`."""
    if duration_s == math.inf:
        return FOREVER
    for unit in _FORMAT_UNITS:
        count = round(duration_s / _UNITS_S[unit], 9)
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{duration_s:g}s"
