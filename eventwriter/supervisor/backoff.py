"""How long a slot rests after its worker exited unasked, and when resting turns into `FAILED`. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from eventwriter.supervisor.slot import State


@dataclass(frozen=True, slots=True)
class Limits:
    """The supervisor's settings, as numbers: seconds, counts and bytes."""

    hang_s_max: float
    start_s_max: float
    drain_s_max: float
    backoff_s_min: float
    backoff_s_max: float
    crash_loop_exits_max: int
    crash_loop_window_s: float
    worker_memory_bytes_max: int


@dataclass(frozen=True, slots=True)
class Rest:
    """What follows an exit that nobody asked for."""

    state: State
    """`BACKOFF` or `FAILED`."""
    rest_s: float


def delay_s(attempt: int, limits: Limits, random: Callable[[], float]) -> float:
    """
    Return the rest before a start: doubled for each attempt, the upper half of it random.

    The random half keeps workers that fell together (a server went away) from
    coming back together.

    Args:
        attempt: 1 for the first exit in the window.
        limits: `backoff_s_min` and `backoff_s_max` bound the answer, in seconds.
        random: Gives a number from 0 to below 1.
    """
    doublings = min(attempt - 1, 32)  # beyond that any sensible bound is long reached
    whole_s = min(limits.backoff_s_max, limits.backoff_s_min * 2.0**doublings)
    return max(limits.backoff_s_min, whole_s * (0.5 + 0.5 * random()))


def rest_after(exits: int, looping: bool, limits: Limits, random: Callable[[], float]) -> Rest:
    """
    Decide what follows an unasked exit.

    Args:
        exits: Unasked exits within the crash-loop window, this one included.
        looping: The slot had reached the limit before and has not run for a whole window since.
        limits: Where the crash loop begins.
        random: Gives a number from 0 to below 1.
    """
    if looping or exits >= limits.crash_loop_exits_max:
        return Rest(State.FAILED, limits.backoff_s_max)
    return Rest(State.BACKOFF, delay_s(exits, limits, random))
