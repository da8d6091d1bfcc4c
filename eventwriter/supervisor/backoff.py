"""How long a slot rests after its worker exited unasked, and when resting turns into `FAILED`. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from eventwriter.supervisor.slot import State


@dataclass(frozen=True, slots=True)
class Limits:
    """The supervisor's settings, as numbers: seconds, counts and bytes."""

    hang_max_s: float
    start_max_s: float
    drain_max_s: float
    backoff_min_s: float
    backoff_max_s: float
    crash_loop_exits_max: int
    crash_loop_window_s: float
    worker_memory_bytes_max: int


@dataclass(frozen=True, slots=True)
class RestartDelay:
    """What follows an exit that nobody asked for."""

    state: State
    """`BACKOFF` or `FAILED`."""
    rest_s: float


PARDONS_MAX = 20
"""
Deaths of quarantine's suspects that are pardoned while not one message is written.

One killer costs four such deaths, each of its direct neighbours two more: twenty let nine in a row
be found at the shortest rest. Where every message kills, the machine or the program is broken rather
than they, and the crash-loop limit must slow down what would make a dead letter of each.
"""


def is_quarantine_exit(suspects: int, pardons: int) -> bool:
    """
    Say whether an unasked exit is not to count towards the crash loop: quarantine narrows its cause down.

    Args:
        suspects: Messages that the worker was about to decode, and might die of.
        pardons: Pardoned exits since a message was last written.
    """
    return suspects > 0 and pardons < PARDONS_MAX


def delay_s(attempt: int, limits: Limits, random: Callable[[], float]) -> float:
    """
    Return the rest before a start: doubled for each attempt, the upper half of it random.

    The random half keeps workers that fell together (a server went away) from
    coming back together.

    Args:
        attempt: 1 for the first exit in the window.
        limits: `backoff_min_s` and `backoff_max_s` bound the answer, in seconds.
        random: Gives a number from 0 to below 1.
    """
    doublings = min(attempt - 1, 32)  # beyond that any sensible bound is long reached
    whole_s = min(limits.backoff_max_s, limits.backoff_min_s * 2.0**doublings)
    return max(limits.backoff_min_s, whole_s * (0.5 + 0.5 * random()))


def next_restart(exits: int, looping: bool, limits: Limits, random: Callable[[], float]) -> RestartDelay:
    """
    Decide what follows an unasked exit.

    Args:
        exits: Unasked exits within the crash-loop window, this one included.
        looping: The slot had reached the limit before and has not run for a whole window since.
        limits: Where the crash loop begins.
        random: Gives a number from 0 to below 1.
    """
    if looping or exits >= limits.crash_loop_exits_max:
        return RestartDelay(State.FAILED, limits.backoff_max_s)
    return RestartDelay(State.BACKOFF, delay_s(exits, limits, random))
