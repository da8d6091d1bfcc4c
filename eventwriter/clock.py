"""
The one place that reads time.

Everything that decides takes `now` as an argument; what acts asks here. Instants
are integer nanoseconds since 1970 (`_ns`); durations are float seconds (`_s`).
"""

import time


def now_ns() -> int:
    """Return the wall clock: integer nanoseconds since 1970-01-01 UTC."""
    return time.time_ns()


def monotonic_s() -> float:
    """Return the monotonic clock: seconds, only differences mean anything, clock steps do not touch it."""
    return time.monotonic()
