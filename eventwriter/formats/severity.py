"""
Severity of log records in the numbers of OpenTelemetry: 1 (TRACE) to 24 (FATAL4).

Sources: OpenTelemetry log data model, "Field: SeverityNumber", and its appendix on syslog; RFC 5424,
section 6.2.1; the level names of falco, pino, bunyan, winston, zap, log/slog, java.util.logging, Serilog,
Python's logging, loguru, Monolog and Google Cloud Logging.
"""

import re
from typing import Any

from eventwriter.formats.fields import whole

NAMES: tuple[str, ...] = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""Names of the six ranges of four numbers each."""

SHORT_NAMES: dict[str, int] = {
    f"{name}{step or ''}": index * 4 + max(step, 1) for index, name in enumerate(NAMES) for step in (0, 2, 3, 4)
}
"""The name of each number: INFO is 9, INFO2 is 10, and so on."""

_WORDS: dict[str, int] = {
    **{name.lower(): number for name, number in SHORT_NAMES.items()},
    "silly": 1, "finest": 1, "trc": 1, "finer": 2, "fine": 5, "dbg": 5, "config": 6, "verbose": 7, "http": 8,
    "informational": 9, "information": 9, "inf": 9, "success": 9, "notice": 10, "warning": 13, "wrn": 13,
    "err": 17, "severe": 17, "dpanic": 18, "crit": 18, "critical": 18, "alert": 19,
    "emerg": 21, "emergency": 21, "panic": 21, "fatal": 21, "ftl": 21,
    # Words of ServiceRadar's rules.
    "very high": 18, "very_high": 18, "high": 17, "medium": 13, "low": 9,
}  # fmt: skip

_NO_LEVELS = frozenset({"unknown", "default", "notset", "none", "unspecified", "n/a", "-"})
"""Words that tell nothing about the severity."""

_SYSLOG: tuple[int, ...] = (21, 19, 18, 17, 13, 10, 9, 5)
"""By numeric level of syslog and GELF: 0 is an emergency, 7 is debug."""
_TENS: tuple[int, ...] = (1, 5, 9, 13, 17, 21)
"""By numeric level of pino and bunyan, from 10 in steps of 10."""
_PYTHON: dict[int, int] = {5: 1, 10: 5, 20: 9, 25: 9, 30: 13, 40: 17, 50: 18}
_MONOLOG: dict[int, int] = {100: 5, 200: 9, 250: 10, 300: 13, 400: 17, 500: 18, 550: 19, 600: 21}
_GOOGLE: dict[int, int] = {100: 5, 200: 9, 300: 10, 400: 13, 500: 17, 600: 18, 700: 19, 800: 21}

_SLOG = re.compile(r"(DEBUG|INFO|WARN|ERROR)([+-][0-9]{1,3})")
_NUMBER_PREFIX = "SEVERITY_NUMBER_"


def name(number: int) -> str:
    """Return the name of a number from 1 to 24."""
    return NAMES[(number - 1) // 4]


def known_number(value: Any) -> int | None:
    """Return a severity number from 1 to 24, given as a number, text or protobuf name; None for anything else."""
    if value.__class__ is str and value.upper().startswith(_NUMBER_PREFIX):
        return SHORT_NAMES.get(value.upper().removeprefix(_NUMBER_PREFIX))
    number = whole(value)
    return number if number is not None and 1 <= number <= 24 else None


def level_number(value: Any, is_google: bool = False) -> int | None:
    """
    Return the severity number of a level name in any case, or of a numeric level; None for anything else.

    Numeric levels are those of syslog (0 to 7), pino (10 to 60), and Monolog or Google Cloud Logging (from 100).

    Args:
        is_google: Numbers from 100 are those of Google Cloud Logging.
    """
    if value.__class__ is str:
        word = value.strip()
        if (number := _WORDS.get(word.lower())) is not None:
            return number
        if (slog := _SLOG.fullmatch(word)) is not None:
            return min(max(_WORDS[slog[1].lower()] + int(slog[2]), 1), 24)
    level = whole(value)
    if level is None:
        return None
    if 0 <= level <= 7:
        return _SYSLOG[level]
    if 10 <= level < 70:
        return _TENS[level // 10 - 1]
    return (_GOOGLE if is_google else _MONOLOG).get(level)


def python_level_number(value: Any) -> int | None:
    """Return the severity number of a numeric level of Python's logging or loguru; None for anything else."""
    level = whole(value)
    return None if level is None else _PYTHON.get(level)


def is_word(value: Any) -> bool:
    """Return whether a value is a word for a severity: text that is neither blank nor a number nor `unknown`."""
    return (
        value.__class__ is str
        and bool(value.strip())
        and whole(value) is None
        and value.strip().lower() not in _NO_LEVELS
    )
