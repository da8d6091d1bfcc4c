"""Delays after unexpected exits."""

import pytest

from eventwriter.supervisor.backoff import (
    QUARANTINE_EXITS_MAX,
    Limits,
    RestartDelay,
    backoff_s,
    is_quarantine_exit,
    next_restart,
)
from eventwriter.supervisor.slot import State

LIMITS = Limits(
    hang_max_s=20.0,
    start_max_s=60.0,
    drain_max_s=30.0,
    backoff_min_s=0.2,
    backoff_max_s=30.0,
    crash_loop_exits_max=5,
    crash_loop_window_s=60.0,
    worker_memory_bytes_max=1,
)


@pytest.mark.parametrize(
    ("attempt", "jitter", "expected_s"),
    [
        (1, 0.0, 0.2),
        (1, 0.999, 0.2),
        (2, 0.0, 0.2),
        (2, 1.0, 0.4),
        (4, 0.0, 0.8),
        (4, 1.0, 1.6),
        (9, 1.0, 30.0),
        (9, 0.0, 15.0),
        (10**9, 1.0, 30.0),
    ],
)
def test_delay_doubles_between_its_bounds(attempt: int, jitter: float, expected_s: float) -> None:
    """The delay doubles from the minimum to the maximum, and the random part reduces it by at most half."""
    assert pytest.approx(expected_s, rel=1e-2) == backoff_s(attempt, LIMITS, lambda: jitter)


@pytest.mark.parametrize(
    ("exits", "in_crash_loop", "expected"),
    [
        pytest.param(1, False, RestartDelay(State.BACKOFF, 0.2), id="first exit"),
        pytest.param(4, False, RestartDelay(State.BACKOFF, 1.6), id="below the limit"),
        pytest.param(5, False, RestartDelay(State.FAILED, 30.0), id="at the limit"),
        pytest.param(1, True, RestartDelay(State.FAILED, 30.0), id="again after a crash loop"),
    ],
)
def test_crash_loop_limit_makes_the_slot_fail(exits: int, in_crash_loop: bool, expected: RestartDelay) -> None:
    """At the limit a slot fails, and is restarted only after the longest delay."""
    assert expected == next_restart(exits, in_crash_loop, LIMITS, lambda: 1.0)


@pytest.mark.parametrize(
    ("suspects", "quarantine_exits", "expected"),
    [
        pytest.param(0, 0, False, id="no suspects"),
        pytest.param(1, 0, True, id="first exit"),
        pytest.param(256, QUARANTINE_EXITS_MAX - 1, True, id="below the limit"),
        pytest.param(1, QUARANTINE_EXITS_MAX, False, id="at the limit"),
    ],
)
def test_quarantine_exit_is_not_a_crash_up_to_a_limit(suspects: int, quarantine_exits: int, expected: bool) -> None:
    """An exit while decoding suspects does not count towards the crash loop, up to a limit without written messages."""
    assert expected is is_quarantine_exit(suspects, quarantine_exits)
