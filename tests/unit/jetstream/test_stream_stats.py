"""How close unread messages are to being dropped by a stream's limits."""

from typing import Any

import pytest

from eventwriter.admin.doctor.consumers import backlog_finding, span
from eventwriter.admin.doctor.findings import Reporter
from eventwriter.jetstream.api import instant_ns
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.stream_stats import Backlog, LimitUsage, fullest_limit, growth, limit_usages, stats_of

NOW_NS = instant_ns("2026-01-01T10:00:00Z")
STATE = {"messages": 1000, "bytes": 100_000, "first_seq": 1, "last_seq": 1000}


def consumer(ack_floor: int, pending: int = 10, ack_pending: int = 0) -> ConsumerState:
    return ConsumerState("", 0, 0, ack_floor, ack_pending, pending, 1)


def stream_info(**config: Any) -> dict[str, Any]:
    """Return STREAM.INFO of 101 messages and 10,100 bytes, stored evenly over the last hour."""
    state = {
        "first_seq": 100, "last_seq": 200, "messages": 101, "bytes": 10_100,
        "first_ts": "2026-01-01T09:00:00Z", "last_ts": "2026-01-01T10:00:00Z",
    }  # fmt: skip
    return {"config": config, "state": state}


def backlog(first_seq: int = 501, age_s: float = 60.0, rate: float = 10.0) -> Backlog:
    """Return a backlog of messages of 100 bytes."""
    return Backlog(first_seq, age_s, rate, rate * 100)


@pytest.mark.parametrize(
    ("config", "ack_floor", "expected"),
    [
        ({}, 149, None),
        ({"max_age": 7200 * 10**9}, 149, 0.25),
        ({"max_age": 7200 * 10**9}, 0, 0.5),
        ({"max_msgs": 102, "discard": "old"}, 149, 0.5),
        ({"max_bytes": 10_200, "discard": "old"}, 0, 101 / 102),
        ({"max_msgs": 51, "discard": "new"}, 149, None),
        ({"max_age": 7200 * 10**9, "max_msgs": 102}, 149, 0.5),
    ],
)
def test_retention_used_is_share_of_nearest_limit(
    config: dict[str, Any], ack_floor: int, expected: float | None
) -> None:
    """The share is that of the limit that will drop the oldest unread message first."""
    stats = stats_of(stream_info(**config), consumer(ack_floor), NOW_NS)

    assert expected == pytest.approx(stats.retention_used)
    assert (100, 200) == (stats.first_seq, stats.last_seq)


def test_retention_used_without_unread_messages_is_zero() -> None:
    """If every message is read, limits drop only read messages."""
    assert 0.0 == stats_of(stream_info(max_age=10**9), consumer(0, pending=0), NOW_NS).retention_used


def test_unacknowledged_message_counts_as_unread() -> None:
    """A message that was delivered but not acknowledged may still be dropped."""
    stats = stats_of(stream_info(max_age=7200 * 10**9), consumer(0, 0, 1), NOW_NS)

    assert 0.5 == pytest.approx(stats.retention_used)


def test_stats_of_empty_stream_are_zero() -> None:
    """A stream that never had a message, with RFC 3339's zero times, gives zeros."""
    state = {"first_seq": 0, "last_seq": 0, "messages": 0, "bytes": 0,
             "first_ts": "0001-01-01T00:00:00Z", "last_ts": "0001-01-01T00:00:00Z"}  # fmt: skip
    stats = stats_of({"config": {"max_age": 10**9}, "state": state}, consumer(0, 0), NOW_NS)

    assert (0, 0, 0.0) == (stats.first_seq, stats.last_seq, stats.retention_used)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({}, [], id="no limit"),
        pytest.param({"max_age": 0, "max_msgs": -1, "max_bytes": -1}, [], id="unlimited"),
        pytest.param({"max_age": 120 * 10**9}, [LimitUsage("max_age", 0.5, 60.0)], id="age"),
        pytest.param({"max_msgs": 1000}, [LimitUsage("max_msgs", 0.5, 50.0)], id="messages"),
        pytest.param({"max_bytes": 200_000}, [LimitUsage("max_bytes", 0.25, 150.0)], id="bytes"),
        pytest.param(
            {"max_msgs": 2000, "max_age": 80 * 10**9},
            [LimitUsage("max_age", 0.75, 20.0), LimitUsage("max_msgs", 0.25, 150.0)],
            id="nearest first",
        ),
        pytest.param({"max_msgs": 1000, "discard": "new"}, [], id="a full stream rejects messages instead"),
    ],
)
def test_limit_usages_have_share_and_time_left(config: dict[str, Any], expected: list[LimitUsage]) -> None:
    """Each limit has the share that unread messages use, and the time until the oldest is dropped."""
    assert expected == limit_usages(config, STATE, backlog())


def test_stream_without_growth_drops_nothing() -> None:
    """Without growth, the rest of a limit lasts forever."""
    (usage,) = limit_usages({"max_msgs": 1000}, STATE, backlog(rate=0.0))

    assert float("inf") == usage.left_s


@pytest.mark.parametrize(("first_seq", "expected"), [(901, "ok"), (501, "warn"), (101, "fail")])
def test_doctor_judges_used_share_of_limit(first_seq: int, expected: str) -> None:
    """Half of a limit is a warning, nine tenths are a failure."""
    reporter = Reporter("s", "backlog")

    finding = backlog_finding(reporter, {"config": {"max_msgs": 1000}, "state": STATE}, backlog(first_seq))

    assert expected == str(finding.status)


def test_fullest_limit_of_stream_that_rejects_messages() -> None:
    """Only a stream with discard policy new has a fullest limit."""
    config = {"discard": "new", "max_msgs": 2000, "max_bytes": 125_000}

    assert ("max_bytes", 0.8) == fullest_limit(config, STATE)
    assert fullest_limit({**config, "discard": "old"}, STATE) is None
    assert fullest_limit({"discard": "new"}, STATE) is None


@pytest.mark.parametrize(
    ("grown", "span_s", "stored_s", "expected"),
    [(0, 2.0, 100.0, 10.0), (40, 2.0, 100.0, 20.0), (40, 0.0, 0.0, 0.0)],
    ids=["mean rate is higher", "present rate is higher", "no times"],
)
def test_growth_is_higher_of_present_and_mean_rate(
    grown: int, span_s: float, stored_s: float, expected: float
) -> None:  # fmt: skip
    """The growth of a stream is the higher of its present and its mean rate."""
    before = {**STATE, "last_seq": 1000 - grown}

    assert (expected, expected * 100) == growth(before, STATE, span_s, stored_s)


@pytest.mark.parametrize(
    ("value_s", "expected"),
    [(0.25, "0.2 s"), (119, "119.0 s"), (120, "2.0 min"), (7200, "2.0 h"), (400_000, "4.6 days")],
)
def test_duration_is_shown_in_one_unit(value_s: float, expected: str) -> None:
    """A duration is shown in the largest suitable unit."""
    assert expected == span(value_s)
