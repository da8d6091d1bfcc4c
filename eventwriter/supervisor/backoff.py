"""Delay of a restart after an unexpected exit, and the crash-loop limit. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from eventwriter.supervisor.slot import State

DOUBLINGS_MAX = 32  # with more, every sensible upper bound is long reached

QUARANTINE_EXITS_MAX = 20
"""
Largest number of quarantine exits without a message written in between that do not count as crashes.

One message that kills workers costs four such exits, and two for each of its direct neighbours, so
twenty exits isolate nine such messages in a row with the shortest delay. If every message kills its
worker, the cause is the machine or the program, and the crash-loop limit must slow down what would
turn every message into a dead letter.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The supervisor's settings as numbers: seconds, counts and bytes."""

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
    """What follows an unexpected exit."""

    state: State
    """`BACKOFF` or `FAILED`."""
    delay_s: float


def is_quarantine_exit(suspects: int, quarantine_exits: int) -> bool:
    """
    Return whether an unexpected exit does not count towards the crash loop, because quarantine is isolating its cause.

    Args:
        suspects: Messages that the worker was about to decode and that may have killed it.
        quarantine_exits: Such exits since a message was last written.
    """
    return suspects > 0 and quarantine_exits < QUARANTINE_EXITS_MAX


def backoff_s(attempt: int, limits: Limits, random: Callable[[], float]) -> float:
    """
    Return the delay before a restart: it doubles with each attempt, and its upper half is random.

    The random part keeps workers that failed together, because of a server, from restarting together.

    Args:
        attempt: 1 for the first exit within the window.
        limits: `backoff_min_s` and `backoff_max_s` bound the result.
        random: Returns a number from 0 to below 1.
    """
    doublings = min(attempt - 1, DOUBLINGS_MAX)
    whole_s = min(limits.backoff_max_s, limits.backoff_min_s * 2.0**doublings)
    return max(limits.backoff_min_s, whole_s * (0.5 + 0.5 * random()))


def next_restart(exits: int, in_crash_loop: bool, limits: Limits, random: Callable[[], float]) -> RestartDelay:
    """
    Decide what follows an unexpected exit.

    Args:
        exits: Unexpected exits within the crash-loop window, including this one.
        in_crash_loop: Whether the slot reached the limit before and has not been ready for a whole window since.
        limits: The crash-loop limit and the bounds of the delay.
        random: Returns a number from 0 to below 1.
    """
    if in_crash_loop or exits >= limits.crash_loop_exits_max:
        return RestartDelay(State.FAILED, limits.backoff_max_s)
    return RestartDelay(State.BACKOFF, backoff_s(exits, limits, random))
