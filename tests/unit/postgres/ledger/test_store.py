"""Lookups in a ledger with several epochs."""

import pytest

from eventwriter.model import Message, Origin
from eventwriter.postgres.ledger.store import ClosedEpoch, Ledger, LedgerKey


def message(seq: int, at_us: int) -> Message:
    """Return a message with a sequence and a JetStream timestamp."""
    return Message("", "s", b"", None, seq, seq, 1, at_us * 1000)


@pytest.fixture
def ledger() -> Ledger:
    """Return a ledger in epoch 1: epoch 0 has sequences 1 to 99 up to 1,000 µs, epoch 1 has 50 to 59 up to 2,000 µs."""
    key = LedgerKey(Origin("s", 0, 1), "d", "f")
    return Ledger(key, "t", [(50, 60)], 59, 2000, (ClosedEpoch([(1, 100)], 1000),))


@pytest.mark.parametrize(
    ("seq", "at_us", "known"),
    [
        pytest.param(10, 500, True, id="message of the closed epoch"),
        pytest.param(10, 1001, False, id="later message with a sequence of the closed epoch"),
        pytest.param(55, 1500, True, id="message of the current epoch"),
        pytest.param(70, 1500, False, id="sequence assigned again, not written yet"),
        pytest.param(100, 500, False, id="beyond both epochs"),
    ],
)
def test_message_is_looked_up_by_sequence_and_time(ledger: Ledger, seq: int, at_us: int, known: bool) -> None:
    """A closed epoch contains a message only if the message is not later than the epoch's latest timestamp."""
    assert known is ledger.has_message(message(seq, at_us))


def test_sequence_is_looked_up_in_the_current_epoch(ledger: Ledger) -> None:
    """Without a timestamp a closed epoch is not consulted, because it may contain another message."""
    assert (True, False) == (ledger.has_seq(55), ledger.has_seq(10))


def test_end_covers_all_epochs(ledger: Ledger) -> None:
    """The end is the sequence after the highest one of all epochs."""
    assert 100 == ledger.end_seq()


def test_regression_concerns_the_current_epoch(ledger: Ledger) -> None:
    """A later message shows a regression only if the current epoch contains its sequence."""
    assert (True, False) == (ledger.shows_regression(message(55, 3000)), ledger.shows_regression(message(10, 500)))


@pytest.mark.parametrize(
    ("committed", "first_seq", "start_seq", "ack_floor", "expected"),
    [
        pytest.param([(41, 101)], 1, 1, 100, [(1, 41)], id="hole before the first range"),
        pytest.param([(41, 101)], 41, 1, 100, [], id="first range begins where the consumer did"),
        pytest.param([(41, 101)], 30, 60, 100, [(30, 41)], id="start of the first consumer counts"),
        pytest.param([], None, 1, 50, [], id="empty ledger has no hole"),
        pytest.param([(1, 101)], None, 1, 100, [], id="complete ledger"),
        pytest.param([(1, 101)], None, 1, 60, [], id="ledger ahead of the consumer"),
        pytest.param([(1, 61)], None, 1, 100, [(61, 101)], id="end is missing after a restore of the database"),
        pytest.param([(1, 11), (21, 101)], None, 1, 100, [(11, 21)], id="hole"),
        pytest.param([(1, 11), (21, 101)], None, 1, 10, [], id="hole above the ack floor"),
        pytest.param([(41, 101)], None, 1, 100, [], id="nothing is known below the first range"),
        pytest.param([(1, 11), (21, 101)], None, 15, 100, [(15, 21)], id="consumer started within the hole"),
        pytest.param([(1, 11), (21, 101)], None, None, 100, [(11, 21)], id="start of the consumer is unknown"),
    ],
)
def test_holes_below_ack_floor(
    committed: list[tuple[int, int]],
    first_seq: int | None,
    start_seq: int | None,
    ack_floor: int,
    expected: list[tuple[int, int]],
) -> None:
    """Acknowledged sequences that the ledger does not have are holes."""
    ledger = Ledger(LedgerKey(Origin("s", 0, 0), "d", "f"), "t", committed, first_seq=first_seq)

    assert expected == ledger.holes(start_seq, ack_floor)


@pytest.mark.parametrize(
    ("committed", "first_seq", "expected"),
    [
        pytest.param([], 1, None, id="empty ledger"),
        pytest.param([(1, 11), (21, 31)], 1, 11, id="first hole"),
        pytest.param([(3, 5)], 1, 1, id="hole before the first range"),
        pytest.param([(3, 5)], 3, 5, id="consumer began with the first range"),
        pytest.param([(3, 5)], None, 5, id="row of an older version"),
    ],
)
def test_recreated_consumer_starts_at_first_hole(
    committed: list[tuple[int, int]], first_seq: int | None, expected: int | None
) -> None:
    """Everything below the returned sequence is in the ledger, or was never the consumer's."""
    ledger = Ledger(LedgerKey(Origin("s", 0, 0), "d", "f"), "t", committed, first_seq=first_seq)

    assert expected == ledger.resume_seq()
