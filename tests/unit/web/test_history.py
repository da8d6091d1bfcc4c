"""History of the last fifteen minutes."""

from typing import Any

from snapshots import heartbeat, made

from eventwriter.web.history import POINTS_MAX, History, lag_messages

START_S = 1_767_225_600.0


def snapshot(messages: int, **streams: Any) -> dict[str, Any]:
    """Return a snapshot of stream A, or of the slots given by name."""
    return made(streams or {"A/0": heartbeat(messages_total=messages)})


def test_each_step_has_one_point() -> None:
    """Of snapshots every second, one per five seconds becomes a point, with the rate over the whole step."""
    history = History()
    was_point = [history.add(START_S + second, snapshot(100 * second)) for second in range(11)]

    assert [0, 5, 10] == [second for second, yes in enumerate(was_point) if yes]
    assert [None, 100.0, 100.0] == list(history.streams["A"].messages_per_s)
    assert [START_S, START_S + 5, START_S + 10] == history.to_dict()["at_s"]


def test_history_is_bounded() -> None:
    """After fifteen minutes each new point replaces the oldest one in every series."""
    history = History()
    for step in range(POINTS_MAX + 50):
        history.add(START_S + 5 * step, snapshot(step))

    everything = history.to_dict()
    assert {POINTS_MAX} == {len(series) for series in (everything["at_s"], *everything["streams"]["A"].values())}
    assert START_S + 250 == everything["at_s"][0]


def test_new_stream_has_unknown_earlier_points() -> None:
    """A new stream has as many points as the others, with unknown earlier values; a removed stream is dropped."""
    history = History()
    history.add(START_S, snapshot(1))
    history.add(START_S + 5, snapshot(1, **{"A/0": heartbeat(), "B/0": heartbeat(lag_messages=9)}))

    assert [None, 9] == history.to_dict()["streams"]["B"]["lag_messages"]
    history.add(START_S + 10, snapshot(1, **{"B/0": heartbeat()}))
    assert {"B"} == history.to_dict()["streams"].keys()


def test_shrinking_total_has_no_rate() -> None:
    """If a slot is removed and the total of its stream shrinks, the rate is unknown, not negative."""
    history = History()
    history.add(START_S, snapshot(1, **{"A/0": heartbeat(), "A/1": heartbeat()}))
    history.add(START_S + 5, snapshot(1, **{"A/0": heartbeat()}))

    assert [None, None] == list(history.streams["A"].messages_per_s)


def test_rate_after_a_pause_covers_the_pause() -> None:
    """After a pause without snapshots, the rate is that over the pause, not over one step."""
    history = History()
    history.add(START_S, snapshot(0))
    history.add(START_S + 20, snapshot(200))

    assert 10.0 == history.streams["A"].messages_per_s[-1]


def test_clock_set_back_adds_no_point() -> None:
    """A snapshot that is older than the newest point adds none."""
    history = History()
    history.add(START_S, snapshot(0))

    assert not history.add(START_S - 60, snapshot(5))


def test_newest_point_has_the_form_of_the_history() -> None:
    """The newest point alone has the same form as the whole history."""
    history = History()
    history.add(START_S, snapshot(0))
    history.add(START_S + 5, snapshot(50))

    assert [START_S + 5] == history.to_dict(points=1)["at_s"]
    assert {"messages_per_s": [10.0], "lag_messages": [5]} == history.to_dict(points=1)["streams"]["A"]
    assert history.to_dict().keys() == history.to_dict(points=1).keys()


def test_lag_of_a_shared_durable_counts_once() -> None:
    """Slots that share a durable report the same lag, which counts once; unknown lags are skipped."""
    shared = [{"name": f"A/{n}", "durable": "d", "lag_messages": 7} for n in range(3)]
    own = [{"name": "B/0", "durable": "x", "lag_messages": 7}, {"name": "B/1", "durable": "y", "lag_messages": None}]

    assert (7, 14, None) == (lag_messages(shared), lag_messages(shared + own), lag_messages(own[1:]))
