"""How close unread messages are to being dropped."""

from typing import Any

import pytest

from eventwriter.admin.doctor.consumers import judge_backlog, span
from eventwriter.admin.doctor.findings import Reporter
from eventwriter.jetstream.stream_stats import Backlog, LimitUsage, fullness, growth, pressures

STATE = {"messages": 1000, "bytes": 100_000, "first_seq": 1, "last_seq": 1000}
VOICE = Reporter("s", "backlog")


def backlog(first: int = 501, age_s: float = 60.0, rate: float = 10.0) -> Backlog:
    """Return a backlog of messages of 100 bytes."""
    return Backlog(first, age_s, rate, rate * 100)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({}, [], id="no limit"),
        pytest.param({"max_age": 0, "max_msgs": -1, "max_bytes": -1}, [], id="limits that are off"),
        pytest.param({"max_age": 120 * 10**9}, [LimitUsage("max_age", 0.5, 60.0)], id="age"),
        pytest.param({"max_msgs": 1000}, [LimitUsage("max_msgs", 0.5, 50.0)], id="messages"),
        pytest.param({"max_bytes": 200_000}, [LimitUsage("max_bytes", 0.25, 150.0)], id="bytes"),
        pytest.param(
            {"max_msgs": 2000, "max_age": 80 * 10**9},
            [LimitUsage("max_age", 0.75, 20.0), LimitUsage("max_msgs", 0.25, 150.0)],
            id="the closest first",
        ),
        pytest.param({"max_msgs": 1000, "discard": "new"}, [], id="a full stream refuses publishers instead"),
    ],
)
def test_pressure_of_each_limit(config: dict[str, Any], expected: list[LimitUsage]) -> None:
    """Each limit has a share that the unread messages have used up, and a time until the oldest is dropped."""
    assert expected == pressures(config, STATE, backlog())


def test_stream_that_does_not_grow_drops_nothing() -> None:
    """Without growth the rest of a limit lasts for ever."""
    (pressure,) = pressures({"max_msgs": 1000}, STATE, backlog(rate=0.0))

    assert float("inf") == pressure.left_s


@pytest.mark.parametrize(("first", "expected"), [(901, "ok"), (501, "warn"), (101, "fail")])
def test_share_of_a_limit_decides(first: int, expected: str) -> None:
    """Half of a limit used up is a warning, nine tenths a failure."""
    finding = judge_backlog(VOICE, {"config": {"max_msgs": 1000}, "state": STATE}, backlog(first))

    assert expected == str(finding.status)
    assert "max_msgs drops it in" in finding.sentence


def test_full_stream_that_refuses_is_measured() -> None:
    """Only a stream with discard new is full for its publishers; its fullest limit is named."""
    config = {"discard": "new", "max_msgs": 2000, "max_bytes": 125_000}

    assert ("max_bytes", 0.8) == fullness(config, STATE)
    assert fullness({**config, "discard": "old"}, STATE) is None
    assert fullness({"discard": "new"}, STATE) is None


@pytest.mark.parametrize(
    ("grown", "span_s", "lived_s", "expected"),
    [(0, 2.0, 100.0, 10.0), (40, 2.0, 100.0, 20.0), (40, 0.0, 0.0, 0.0)],
    ids=["the mean where it stands still", "the present rate where it is faster", "nothing is known"],
)
def test_growth_is_the_faster_of_now_and_the_mean(
    grown: int, span_s: float, lived_s: float, expected: float
) -> None:  # fmt: skip
    """A stream grows as fast as it does now, or did in the mean."""
    before = {**STATE, "last_seq": 1000 - grown}

    assert (expected, expected * 100) == growth(before, STATE, span_s, lived_s)


@pytest.mark.parametrize(
    ("value_s", "expected"),
    [(0.25, "0.2 s"), (119, "119.0 s"), (120, "2.0 min"), (7200, "2.0 h"), (400_000, "4.6 days")],
)
def test_span_is_said_in_one_unit(value_s: float, expected: str) -> None:
    """A duration is written in the unit that a person reads."""
    assert expected == span(value_s)
