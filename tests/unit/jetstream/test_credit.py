"""Credit, status messages and slices of the pull loop."""

import pytest

from eventwriter.jetstream.credit import Credit, PullStatus, limit_in, next_slice, pull_status


@pytest.mark.parametrize(
    ("status", "description", "expected"),
    [
        ("100", "Idle Heartbeat", PullStatus.HEARTBEAT),
        ("404", "No Messages", PullStatus.EXPIRED),
        ("408", "Request Timeout", PullStatus.EXPIRED),
        ("409", "Message Size Exceeds MaxBytes", PullStatus.FULL),
        ("409", "Consumer Deleted", PullStatus.GONE),
        ("409", "Consumer is push based", PullStatus.REFUSED),
        ("409", "Leadership Change", PullStatus.RENEW),
        ("409", "Server Shutdown", PullStatus.RENEW),
        ("409", "Exceeded MaxRequestBatch of 10", PullStatus.LIMIT),
        ("409", "Exceeded MaxWaiting", PullStatus.LIMIT),
        ("400", "Bad Request", PullStatus.REFUSED),
        ("503", "", PullStatus.GONE),
    ],
)
def test_status_message_is_classified(status: str, description: str, expected: PullStatus) -> None:
    """Every status message that ends a request has a class."""
    assert expected is pull_status(status, description)


def test_limit_is_read_from_description() -> None:
    """A description that contains a limit gives its name and its value."""
    assert ("batch", 10) == limit_in("Exceeded MaxRequestBatch of 10")
    assert limit_in("Exceeded MaxWaiting") is None


def test_next_batch_refills_credit() -> None:
    """Credit is refilled at half of the window, and never beyond the worker's room."""
    credit = Credit(100, 100)

    assert 100 == credit.next_batch(1000)
    credit.outstanding = 100
    assert 0 == credit.next_batch(1000)
    credit.received(60)
    assert 60 == credit.next_batch(1000)
    assert 0 == credit.next_batch(0)
    credit.ended(40)
    assert 30 == credit.next_batch(30)


@pytest.mark.parametrize(
    ("size", "used_s", "expected"),
    [
        pytest.param(1, 0.0, 2, id="cheap slice grows"),
        pytest.param(200, 0.001, 256, id="growth is limited"),
        pytest.param(100, 0.005, 100, id="slice on target keeps its size"),
        pytest.param(256, 0.2, 128, id="expensive slice shrinks"),
        pytest.param(1, 5.0, 1, id="slice has at least one message"),
    ],
)
def test_slice_size_follows_duration(size: int, used_s: float, expected: int) -> None:
    """The event loop decodes as many messages at once as take a few milliseconds."""
    assert expected == next_slice(size, used_s)
