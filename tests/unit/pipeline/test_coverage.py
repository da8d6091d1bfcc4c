"""Stream sequences that a delivery accounts for."""

from eventwriter.model import Message
from eventwriter.pipeline.coverage import CoverageTracker


def delivery(stream_seq: int, consumer_seq: int, num_delivered: int = 1) -> Message:
    return Message("", "", b"", None, stream_seq, consumer_seq, num_delivered, 0)


def test_consecutive_first_deliveries_cover_filtered_sequences() -> None:
    """The sequences between two consecutive first deliveries are covered, because the filter excludes them."""
    tracker = CoverageTracker(4, 10)

    assert [11, 16] == [tracker.first_covered(delivery(15, 5)), tracker.first_covered(delivery(20, 6))]


def test_gap_in_consumer_sequence_ends_the_run() -> None:
    """A missing delivery is not covered by the next one."""
    tracker = CoverageTracker(4, 10)

    assert 20 == tracker.first_covered(delivery(20, 6))
    assert 21 == tracker.first_covered(delivery(25, 7))


def test_redelivery_covers_itself_and_keeps_the_run() -> None:
    """A redelivery between first deliveries covers itself only and does not end the run."""
    tracker = CoverageTracker(4, 10)

    covered = [tracker.first_covered(d) for d in (delivery(12, 5), delivery(3, 6, 2), delivery(20, 7))]
    assert [11, 3, 13] == covered


def test_redelivery_after_a_gap_ends_the_run() -> None:
    """If deliveries are missing before a redelivery, the next first delivery covers itself only."""
    tracker = CoverageTracker(4, 10)

    assert [3, 20] == [tracker.first_covered(delivery(3, 8, 2)), tracker.first_covered(delivery(20, 9))]


def test_first_delivery_of_unknown_consumer_covers_itself() -> None:
    """If the state of the consumer is unknown, the first delivery covers itself only."""
    assert 7 == CoverageTracker().first_covered(delivery(7, 1))


def test_first_gap_is_kept() -> None:
    """`gap_from` is the first sequence that was covered without being delivered, and later gaps do not change it."""
    tracker = CoverageTracker(4, 10)

    tracker.first_covered(delivery(11, 5))
    assert tracker.gap_from is None
    tracker.first_covered(delivery(15, 6))
    tracker.first_covered(delivery(20, 7))

    assert 12 == tracker.gap_from
