"""A consumer that somebody changes, and how long to wait before something is tried again."""

import pytest

from eventwriter.worker.drift import next_pause_s


@pytest.mark.parametrize(
    ("before_s", "well_s", "expected"),
    [
        pytest.param(0.0, 0.0, 0.5, id="the first time soon"),
        pytest.param(0.5, 0.0, 1.0, id="then twice as long"),
        pytest.param(8.0, 1.0, 10.0, id="up to a limit"),
        pytest.param(10.0, 60.0, 0.5, id="soon again after it went well"),
    ],
)
def test_pause_grows_and_is_forgotten(before_s: float, well_s: float, expected: float) -> None:
    """Pauses double up to a limit, and begin anew after it went well for longer than that."""
    assert expected == next_pause_s(before_s, well_s)
