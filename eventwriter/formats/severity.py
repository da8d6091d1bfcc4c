"""
Severity of log records as OpenTelemetry severity numbers, 1 (TRACE) to 24 (FATAL4).

Source: OpenTelemetry log data model, "Field: SeverityNumber", and its appendix on
syslog; RFC 5424, section 6.2.1 (numeric levels).
"""

from typing import Any

NAMES: tuple[str, ...] = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""Names of the six ranges of four numbers each."""

SHORT_NAMES: dict[str, int] = {
    f"{name}{step or ''}": index * 4 + max(step, 1) for index, name in enumerate(NAMES) for step in (0, 2, 3, 4)
}
"""Severity numbers by their short names: INFO 9, INFO2 10, ..."""

_WORDS: dict[str, int] = {
    **{name.lower(): number for name, number in SHORT_NAMES.items()},
    "informational": 9, "information": 9, "notice": 10, "warning": 13, "err": 17, "crit": 18, "critical": 18,
    "alert": 19, "emerg": 21, "emergency": 21, "panic": 21, "fatal": 21,
    # The severity names of ServiceRadar's rules.
    "very high": 18, "very_high": 18, "high": 17, "medium": 13, "low": 9, "unknown": 9,
}  # fmt: skip

_LEVELS: tuple[int, ...] = (21, 19, 18, 17, 13, 10, 9, 5)
"""Severity numbers by syslog level, which GELF uses too: 0 is emergency, 7 is debug."""


def name(number: int) -> str:
    """Return the name of a severity number from 1 to 24."""
    return NAMES[(number - 1) // 4]


def known_number(value: Any) -> int | None:
    """Convert a severity number, an integral float or numeric text; return None outside 1 to 24."""
    whole = _whole(value)
    return whole if whole is not None and 1 <= whole <= 24 else None


def level_number(value: Any) -> int | None:
    """Return the severity number of a level name (in any case) or of a level from 0 to 7; None for other values."""
    if value.__class__ is str and (number := _WORDS.get(value.strip().lower())) is not None:
        return number
    level = _whole(value)
    return _LEVELS[level] if level is not None and 0 <= level <= 7 else None


def is_word(value: Any) -> bool:
    """Return whether a severity is a name: text that is neither blank nor a number."""
    return value.__class__ is str and bool(value.strip()) and _whole(value) is None


def _whole(value: Any) -> int | None:
    if value.__class__ is int:
        return value
    if value.__class__ is float:
        return int(value) if value.is_integer() else None
    if value.__class__ is str and len(digits := value.strip()) <= 3 and digits.isascii() and digits.isdigit():
        return int(digits)
    return None
