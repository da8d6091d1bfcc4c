"""What the ledger knows, over epochs."""

import pytest

from eventwriter.model import Message, Origin
from eventwriter.postgres.ledger.store import ClosedEpoch, Ledger, LedgerKey


def message(seq: int, at_us: int) -> Message:
    """Return a delivery."""
    return Message("", "s", b"", None, seq, seq, 1, at_us * 1000)


@pytest.fixture
def ledger() -> Ledger:
    """A ledger in its second epoch: sequences 1 to 99 were written by 1,000 µs, then 50 to 59 anew by 2,000 µs."""
    key = LedgerKey(Origin("s", 0, 1), "d", "f")
    return Ledger(key, "t", [(50, 60)], 59, 2000, (ClosedEpoch([(1, 100)], 1000),))


@pytest.mark.parametrize(
    ("seq", "at_us", "known"),
    [
        pytest.param(10, 500, True, id="what is left of the earlier epoch"),
        pytest.param(10, 1001, False, id="a new message with a sequence of the earlier epoch"),
        pytest.param(55, 1500, True, id="written in this epoch"),
        pytest.param(70, 1500, False, id="given out again, not yet written"),
        pytest.param(100, 500, False, id="beyond both"),
    ],
)
def test_message_is_known_by_sequence_and_time(ledger: Ledger, seq: int, at_us: int, known: bool) -> None:
    """A message of an earlier epoch is known if it is not younger than that; else only this epoch's are."""
    assert known is ledger.knows(message(seq, at_us))


def test_sequence_alone_is_of_this_epoch(ledger: Ledger) -> None:
    """Of a sequence without its message only the present epoch is asked: an earlier one may hold another message."""
    assert (True, False) == (ledger.has(55), ledger.has(10))


def test_known_below_is_over_all_epochs(ledger: Ledger) -> None:
    """From the highest sequence of any epoch on nothing is known."""
    assert 100 == ledger.known_below()


def test_regression_is_of_this_epoch(ledger: Ledger) -> None:
    """A younger message means another regression only where this epoch has its sequence."""
    assert (True, False) == (ledger.regressed(message(55, 3000)), ledger.regressed(message(10, 500)))
