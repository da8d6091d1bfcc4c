"""What a delivery accounts for in the ledger."""

from eventwriter.model import Message
from eventwriter.pipeline.coverage import Tracker


def delivery(stream_seq: int, consumer_seq: int, num_delivered: int = 1) -> Message:
    return Message("", "", b"", None, stream_seq, consumer_seq, num_delivered, 0)


def test_consecutive_first_deliveries_cover_what_the_filter_skips() -> None:
    """Between two first deliveries in a row, the stream holds only what the filter does not want."""
    tracker = Tracker(4, 10)

    assert [11, 16] == [tracker.first_covered(delivery(15, 5)), tracker.first_covered(delivery(20, 6))]


def test_gap_in_consumer_sequence_ends_the_run() -> None:
    """A delivery that never came is not accounted for by the next."""
    tracker = Tracker(4, 10)

    assert 20 == tracker.first_covered(delivery(20, 6))
    assert 21 == tracker.first_covered(delivery(25, 7))


def test_redelivery_covers_itself_and_keeps_the_run() -> None:
    """A redelivery in between says nothing of the stream beyond itself, and hides nothing either."""
    tracker = Tracker(4, 10)

    covered = [tracker.first_covered(d) for d in (delivery(12, 5), delivery(3, 6, 2), delivery(20, 7))]
    assert [11, 3, 13] == covered


def test_redelivery_after_a_gap_ends_the_run() -> None:
    """When deliveries were missed before a redelivery, the next first delivery covers only itself."""
    tracker = Tracker(4, 10)

    assert [3, 20] == [tracker.first_covered(delivery(3, 8, 2)), tracker.first_covered(delivery(20, 9))]


def test_unknown_beginning_covers_only_itself() -> None:
    """Where nothing is known of the consumer, the first delivery covers only itself."""
    assert 7 == Tracker().first_covered(delivery(7, 1))


def test_first_gap_is_kept_until_it_is_taken() -> None:
    """The first sequence that was accounted for without being delivered is kept; deliveries without a gap have none."""
    tracker = Tracker(4, 10)

    tracker.first_covered(delivery(11, 5))
    assert tracker.gap_from is None
    tracker.first_covered(delivery(15, 6))
    tracker.first_covered(delivery(20, 7))

    assert 12 == tracker.gap_from
