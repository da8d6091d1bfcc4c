"""Rests after exits that nobody asked for."""

import pytest

from eventwriter.supervisor.backoff import PARDONS_MAX, Limits, RestartDelay, delay_s, is_quarantine_exit, next_restart
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
def test_rest_doubles_between_its_bounds(attempt: int, jitter: float, expected_s: float) -> None:
    """The rest doubles from the least to the longest, and chance takes off at most half."""
    assert pytest.approx(expected_s, rel=1e-2) == delay_s(attempt, LIMITS, lambda: jitter)


@pytest.mark.parametrize(
    ("exits", "looping", "expected"),
    [
        pytest.param(1, False, RestartDelay(State.BACKOFF, 0.2), id="first exit"),
        pytest.param(4, False, RestartDelay(State.BACKOFF, 1.6), id="below the limit"),
        pytest.param(5, False, RestartDelay(State.FAILED, 30.0), id="at the limit"),
        pytest.param(1, True, RestartDelay(State.FAILED, 30.0), id="again after having failed"),
    ],
)
def test_crash_loop_limit_turns_rest_into_failure(exits: int, looping: bool, expected: RestartDelay) -> None:
    """At the limit a slot fails and is tried again at the longest rest only."""
    assert expected == next_restart(exits, looping, LIMITS, lambda: 1.0)


@pytest.mark.parametrize(
    ("suspects", "pardons", "expected"),
    [
        pytest.param(0, 0, False, id="nothing was suspected"),
        pytest.param(1, 0, True, id="quarantine is at it"),
        pytest.param(256, PARDONS_MAX - 1, True, id="still"),
        pytest.param(1, PARDONS_MAX, False, id="nothing was written for too long: it is not the messages"),
    ],
)
def test_deaths_of_suspects_are_pardoned(suspects: int, pardons: int, expected: bool) -> None:
    """An exit that quarantine expected does not count towards the crash loop, while messages are written in between."""
    assert expected is is_quarantine_exit(suspects, pardons)
