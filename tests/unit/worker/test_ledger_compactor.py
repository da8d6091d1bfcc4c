"""Holes in the ledger below the consumer's ack floor."""

import pytest

from eventwriter.worker.ledger_compactor import holes


@pytest.mark.parametrize(
    ("committed", "start_seq", "ack_floor", "expected"),
    [
        pytest.param([], 1, 50, [], id="empty ledger has no hole"),
        pytest.param([(1, 101)], 1, 100, [], id="complete ledger"),
        pytest.param([(1, 101)], 1, 60, [], id="ledger ahead of the consumer"),
        pytest.param([(1, 61)], 1, 100, [(61, 101)], id="end is missing after a restore of the database"),
        pytest.param([(1, 11), (21, 101)], 1, 100, [(11, 21)], id="hole"),
        pytest.param([(1, 11), (21, 101)], 1, 10, [], id="hole above the ack floor"),
        pytest.param([(41, 101)], 1, 100, [], id="nothing is known below the first range"),
        pytest.param([(1, 11), (21, 101)], 15, 100, [(15, 21)], id="consumer started within the hole"),
        pytest.param([(1, 11), (21, 101)], None, 100, [(11, 21)], id="start of the consumer is unknown"),
    ],
)
def test_holes_below_ack_floor(
    committed: list[tuple[int, int]], start_seq: int | None, ack_floor: int, expected: list[tuple[int, int]]
) -> None:
    """Acknowledged sequences that the ledger does not have are holes."""
    assert expected == holes(committed, start_seq, ack_floor)
