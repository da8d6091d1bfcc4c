"""How near a stream's limits are to what is unread."""

from typing import Any

import pytest

from eventwriter.jetstream.api import instant_ns
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.stream_stats import read

NOW_NS = instant_ns("2026-01-01T10:00:00Z")


def consumer(ack_floor: int, pending: int = 10, ack_pending: int = 0) -> ConsumerState:
    """Return a consumer that has read so far."""
    return ConsumerState("", 0, 0, ack_floor, ack_pending, pending, 1)


def answer(**config: Any) -> dict[str, Any]:
    """Return a stream of 101 messages and 10,100 bytes, one every 36 seconds of the last hour, and its limits."""
    state = {
        "first_seq": 100, "last_seq": 200, "messages": 101, "bytes": 10_100,
        "first_ts": "2026-01-01T09:00:00Z", "last_ts": "2026-01-01T10:00:00Z",
    }  # fmt: skip
    return {"config": config, "state": state}


@pytest.mark.parametrize(
    ("config", "ack_floor", "used"),
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
def test_nearest_limit_counts(config: dict[str, Any], ack_floor: int, used: float | None) -> None:
    """The share is that of the limit that will drop the oldest unread message first."""
    look = read(answer(**config), consumer(ack_floor), NOW_NS)

    assert used == pytest.approx(look.retention_used)
    assert (100, 200) == (look.first_seq, look.last_seq)


def test_nothing_unread_is_nothing_used() -> None:
    """Where everything is read, limits drop only what was read."""
    assert 0.0 == read(answer(max_age=10**9), consumer(0, pending=0), NOW_NS).retention_used


def test_delivered_and_unanswered_is_unread() -> None:
    """What was delivered and not answered may still be dropped."""
    assert 0.5 == pytest.approx(read(answer(max_age=7200 * 10**9), consumer(0, 0, 1), NOW_NS).retention_used)


def test_empty_stream_is_read() -> None:
    """A stream that never had a message, whose times are the zero of RFC 3339, is no mistake."""
    state = {"first_seq": 0, "last_seq": 0, "messages": 0, "bytes": 0,
             "first_ts": "0001-01-01T00:00:00Z", "last_ts": "0001-01-01T00:00:00Z"}  # fmt: skip
    look = read({"config": {"max_age": 10**9}, "state": state}, consumer(0, 0), NOW_NS)

    assert (0, 0, 0.0) == (look.first_seq, look.last_seq, look.retention_used)
