"""Durations and sizes as people write them. Pure."""

import math
import re

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, the micro sign
    "μs": 1e-6,  # U+03BC, the Greek letter; Go accepts both
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)

_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"(\d{1,15}) ?(B|KB|MB|GB|KIB|MIB|GIB)", re.ASCII | re.IGNORECASE)

_TEXT_MAX = 64  # characters; nothing longer is a duration, and int() is slow on digits without end

DURATION = 'text with a unit, like "500ms", "30s", "1m30s" or "2h"'
MILLISECONDS = f"a number of milliseconds, or {DURATION}"
SIZE = 'a whole number of bytes, or text with a unit, like "512KiB", "16MiB" or "1GB"'


def seconds(value: object, unit_s: float | None = None) -> float:
    """
    Read a duration.

    Args:
        value: `"30s"`, `"1m30s"`, `"500ms"`; a number where `unit_s` says what one means.
        unit_s: Seconds of a bare number: 1e-3 for milliseconds, 1e-9 for Go's
            nanoseconds; None where a number without a unit would be a guess.

    Returns:
        Seconds, never negative.

    Raises:
        ValueError: It is no duration; the text says what is allowed.

    Source:
        Go, package time, ParseDuration; `d` is ours.
    """
    if isinstance(value, str) and len(value) <= _TEXT_MAX:
        parts = _PART.findall(value.strip())
        if parts and "".join(number + unit for number, unit in parts) == value.strip():
            return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)
        if value.strip() == "0":
            return 0.0
    elif isinstance(value, int | float) and not isinstance(value, bool) and unit_s is not None and 0 <= value < 1e30:
        # Divided, not multiplied: 100 ms is then 0.1 s and not 0.1000…01 s.
        return value / round(1 / unit_s)
    raise ValueError(DURATION if unit_s is None else MILLISECONDS if unit_s == 1e-3 else f"{DURATION}, or a number")


def duration_text(value_s: float) -> str:
    """Write seconds so that `seconds` reads the same number back."""
    if value_s < 1 and round(value_s * 1000) / 1000 == value_s:
        return f"{round(value_s * 1000)}ms"
    return f"{value_s:.9f}".rstrip("0").rstrip(".") + "s"


def size_bytes(value: object) -> int:
    """
    Read a size; KB, MB, GB count by 1000 and KiB, MiB, GiB by 1024.

    Raises:
        ValueError: It is no size; the text says what is allowed.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _BYTES[match[2].upper()]
    raise ValueError(SIZE)


def size_text(value: int) -> str | int:
    """Write bytes so that `size_bytes` reads the same number back: in the largest unit that divides them."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return value
