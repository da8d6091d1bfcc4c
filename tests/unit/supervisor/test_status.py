"""How fast a slot is."""

import os
import socket
from typing import Any

import pytest

from eventwriter.model import SlotName
from eventwriter.supervisor.slot import Slot, Worker
from eventwriter.supervisor.status import catch_up_s, lag_per_s, stalled_s

NOW_S = 1000.0


def slot(*lags: tuple[float, int], **heartbeat: Any) -> Slot:
    """Return a slot whose worker told of these lags: (seconds ago, messages)."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far.close()
    made = Slot(SlotName("A", 0), born_s=NOW_S - 500)
    made.worker = Worker(1, os.open("/dev/null", os.O_RDONLY), near, NOW_S - 400, "f")
    for ago_s, lag in lags:
        made.hear(NOW_S - ago_s, {"state": "running", "lag_messages": lag, **heartbeat})
    return made


@pytest.mark.parametrize(
    ("lags", "change", "left_s"),
    [
        pytest.param([], None, None, id="nothing known"),
        pytest.param([(0, 50)], None, None, id="one look"),
        pytest.param([(10, 5000), (0, 4000)], -100.0, 40.0, id="shrinks"),
        pytest.param([(10, 4000), (0, 5000)], 100.0, None, id="grows"),
        pytest.param([(10, 4000), (0, 4000)], 0.0, None, id="stands still"),
        pytest.param([(10, 4000), (0, 0)], -400.0, 0.0, id="caught up"),
        pytest.param([(100, 90_000), (40, 5000), (10, 5000), (0, 4000)], -25.0, 160.0, id="what was long ago"),
    ],
)
def test_time_to_catch_up_follows_the_change_of_the_lag(
    lags: list[tuple[float, int]], change: float | None, left_s: float | None
) -> None:
    """A lag that shrinks has a time to its end; one that grows or stands still has none."""
    given = slot(*lags)

    assert (change, left_s) == (lag_per_s(given), catch_up_s(given))
    given.bury()


def test_slot_without_anything_to_do_is_not_stalled() -> None:
    """Nothing moves where nothing waits, and that is well."""
    given = slot((60, 5), (50, 0))

    assert 0.0 == stalled_s(NOW_S, given)
    given.bury()


def test_slot_is_stalled_since_it_last_settled_something() -> None:
    """While something waits, the time since the last progress counts."""
    given = slot((60, 5))
    given.hear(NOW_S - 20, {"state": "running", "lag_messages": 5, "rows_total": 1})
    given.hear(NOW_S, {"state": "running", "lag_messages": 9, "rows_total": 1})

    assert 20.0 == stalled_s(NOW_S, given)
    given.bury()
