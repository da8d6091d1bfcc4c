"""
Clocks and time conversions.

No other module reads the time. Functions that decide take `now` as an argument. Instants are
integer nanoseconds since 1970 (`_ns`); durations are float seconds (`_s`).
"""

import datetime as dt
import time

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def now_ns() -> int:
    """Return the wall clock time as integer nanoseconds since 1970-01-01 UTC."""
    return time.time_ns()


def monotonic_s() -> float:
    """Return the monotonic clock time in seconds; only differences are meaningful, and clock steps do not affect it."""
    return time.monotonic()


def utc_now() -> dt.datetime:
    """Return the wall clock time as a datetime in UTC."""
    return datetime_of(now_ns())


def datetime_of(at_ns: int) -> dt.datetime:
    """Return nanoseconds since 1970-01-01 UTC as a datetime in UTC, truncated to microseconds."""
    return _EPOCH + dt.timedelta(microseconds=at_ns // 1000)


def epoch_us(at: dt.datetime) -> int:
    """Return a time zone aware datetime as microseconds since 1970-01-01 UTC."""
    return (at - _EPOCH) // _MICROSECOND
