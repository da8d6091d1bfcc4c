"""The last fifteen minutes."""

from typing import Any

from snapshots import heartbeat, made

from eventwriter.web.history import POINTS_MAX, History, lag_messages

BEGIN_S = 1_767_225_600.0


def snapshot(messages: int, **streams: Any) -> dict[str, Any]:
    """Return a snapshot of one stream, or of these."""
    return made(streams or {"A/0": heartbeat(messages_total=messages)})


def test_each_step_is_one_point() -> None:
    """Snapshots come each second, points every five; a point's rate is over the whole step."""
    history = History()
    was_point = [history.add(BEGIN_S + second, snapshot(100 * second)) for second in range(11)]

    assert [0, 5, 10] == [second for second, yes in enumerate(was_point) if yes]
    assert [None, 100.0, 100.0] == list(history.streams["A"].messages_per_s)
    assert [BEGIN_S, BEGIN_S + 5, BEGIN_S + 10] == history.all()["at_s"]


def test_history_is_bounded() -> None:
    """After fifteen minutes each new point drives out the oldest, in all series alike."""
    history = History()
    for step in range(POINTS_MAX + 50):
        history.add(BEGIN_S + 5 * step, snapshot(step))

    everything = history.all()
    assert {POINTS_MAX} == {len(series) for series in (everything["at_s"], *everything["streams"]["A"].values())}
    assert BEGIN_S + 250 == everything["at_s"][0]


def test_new_stream_has_an_unknown_past() -> None:
    """A stream that comes later has as many points as the others, early ones unknown; one that goes is forgotten."""
    history = History()
    history.add(BEGIN_S, snapshot(1))
    history.add(BEGIN_S + 5, snapshot(1, **{"A/0": heartbeat(), "B/0": heartbeat(lag_messages=9)}))

    assert [None, 9] == history.all()["streams"]["B"]["lag_messages"]
    history.add(BEGIN_S + 10, snapshot(1, **{"B/0": heartbeat()}))
    assert {"B"} == history.all()["streams"].keys()


def test_total_that_shrinks_is_no_rate() -> None:
    """A slot less makes a stream's total smaller; that is not a negative speed."""
    history = History()
    history.add(BEGIN_S, snapshot(1, **{"A/0": heartbeat(), "A/1": heartbeat()}))
    history.add(BEGIN_S + 5, snapshot(1, **{"A/0": heartbeat()}))

    assert [None, None] == list(history.streams["A"].messages_per_s)


def test_late_snapshot_is_divided_by_the_time_that_passed() -> None:
    """After a pause the rate is over the pause, not over a step."""
    history = History()
    history.add(BEGIN_S, snapshot(0))
    history.add(BEGIN_S + 20, snapshot(200))

    assert 10.0 == history.streams["A"].messages_per_s[-1]


def test_clock_that_goes_back_adds_nothing() -> None:
    """A point is never older than the one before."""
    history = History()
    history.add(BEGIN_S, snapshot(0))

    assert not history.add(BEGIN_S - 60, snapshot(5))


def test_newest_point_has_the_form_of_all() -> None:
    """What is sent each step is what is sent at first, one point long."""
    history = History()
    history.add(BEGIN_S, snapshot(0))
    history.add(BEGIN_S + 5, snapshot(50))

    assert [BEGIN_S + 5] == history.last()["at_s"]
    assert {"messages_per_s": [10.0], "lag_messages": [5]} == history.last()["streams"]["A"]
    assert history.all().keys() == history.last().keys()


def test_shared_durable_waits_once() -> None:
    """Slots that share a durable report the same lag, which counts once; unknown lags do not count."""
    shared = [{"name": f"A/{n}", "durable": "d", "lag_messages": 7} for n in range(3)]
    own = [{"name": "B/0", "durable": "x", "lag_messages": 7}, {"name": "B/1", "durable": "y", "lag_messages": None}]

    assert (7, 14, None) == (lag_messages(shared), lag_messages(shared + own), lag_messages(own[1:]))
