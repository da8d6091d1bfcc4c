"""Counting what was asked for."""

import pytest

from eventwriter.jetstream.credit import Credit, Ended, limit_in, meaning, next_slice


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        ("100", "Idle Heartbeat", Ended.HEARTBEAT),
        ("404", "No Messages", Ended.EXPIRED),
        ("408", "Request Timeout", Ended.EXPIRED),
        ("409", "Message Size Exceeds MaxBytes", Ended.FULL),
        ("409", "Consumer Deleted", Ended.GONE),
        ("409", "Consumer is push based", Ended.REFUSED),
        ("409", "Leadership Change", Ended.RENEW),
        ("409", "Server Shutdown", Ended.RENEW),
        ("409", "Exceeded MaxRequestBatch of 10", Ended.LIMIT),
        ("409", "Exceeded MaxWaiting", Ended.LIMIT),
        ("400", "Bad Request", Ended.REFUSED),
        ("503", "", Ended.GONE),
    ],
)
def test_status_means(status: str, words: str, expected: Ended) -> None:
    """Every status that ends a request has its meaning."""
    assert expected is meaning(status, words)


def test_limit_is_read_from_the_words() -> None:
    """A refusal that names its limit is obeyed."""
    assert ("batch", 10) == limit_in("Exceeded MaxRequestBatch of 10")
    assert limit_in("Exceeded MaxWaiting") is None


def test_request_asks_for_what_is_missing() -> None:
    """Credit is refilled at half, and never beyond the worker's room."""
    credit = Credit(100, 100)

    assert 100 == credit.wanted(1000)
    credit.outstanding = 100
    assert 0 == credit.wanted(1000)
    credit.received(60)
    assert 60 == credit.wanted(1000)
    assert 0 == credit.wanted(0)
    credit.ended(40)
    assert 30 == credit.wanted(30)


@pytest.mark.parametrize(
    ("size", "used_s", "expected"),
    [
        pytest.param(1, 0.0, 2, id="cheap ones grow"),
        pytest.param(200, 0.001, 256, id="up to a limit"),
        pytest.param(100, 0.005, 100, id="the right size stays"),
        pytest.param(256, 0.2, 128, id="costly ones shrink"),
        pytest.param(1, 5.0, 1, id="never to none"),
    ],
)
def test_slice_follows_its_cost(size: int, used_s: float, expected: int) -> None:
    """As many messages are decoded in one turn of the event loop as take a few milliseconds."""
    assert expected == next_slice(size, used_s)
