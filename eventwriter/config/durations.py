"""Durations as people write them: "30s", "1m", "500ms", "1h30m"; pure."""

import math
import re

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_SHOWN = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6))

FOREVER = "forever"
"""What an endless duration is called."""

PATTERN = r"^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d)?)+$"
"""For the JSON schema: texts that can be read; the code is the judge."""


def seconds(value: object, number_unit_s: float) -> float:
    """
    Read a duration.

    Args:
        value: Text with units, or a plain number (also as text).
        number_unit_s: What a plain number counts, in seconds: 1 for our own keys,
            1e-3 for `batch_timeout`, 1e-9 where Go wrote integer nanoseconds.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('write a duration, like "30s", "500ms" or "1m30s"')
    if isinstance(value, int | float):
        return round(value * number_unit_s, 9)
    text = value.strip()
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return round(sum(float(number) * _UNITS_S[unit] for number, unit in parts), 9)
    try:
        return round(float(text) * number_unit_s, 9)
    except ValueError:
        raise ValueError('write a duration, like "30s", "500ms" or "1m30s"') from None


def shown(duration_s: float) -> str:
    """Write a duration as `seconds` reads it, in the largest unit that keeps it whole: `30s`, `250ms`, `1.5s`."""
    if duration_s == math.inf:
        return FOREVER
    for unit, unit_s in _SHOWN:
        count = round(duration_s / unit_s, 9)
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{duration_s:g}s"
