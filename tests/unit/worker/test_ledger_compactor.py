"""Holes in the ledger below the consumer's ack floor."""

import pytest

from eventwriter.worker.ledger_compactor import holes


@pytest.mark.parametrize(
    ("committed", "start_seq", "ack_floor", "expected"),
    [
        pytest.param([], 1, 50, [], id="an empty ledger knows of nothing to miss"),
        pytest.param([(1, 101)], 1, 100, [], id="all of it"),
        pytest.param([(1, 101)], 1, 60, [], id="the ledger is ahead, as it should be"),
        pytest.param([(1, 61)], 1, 100, [(61, 101)], id="the end is missing: an older database"),
        pytest.param([(1, 11), (21, 101)], 1, 100, [(11, 21)], id="a hole"),
        pytest.param([(1, 11), (21, 101)], 1, 10, [], id="a hole above the ack floor is still to come"),
        pytest.param([(41, 101)], 1, 100, [], id="below the ledger's beginning nothing is known"),
        pytest.param([(1, 11), (21, 101)], 15, 100, [(15, 21)], id="the consumer began within the hole"),
        pytest.param([(1, 11), (21, 101)], None, 100, [(11, 21)], id="where it began is not known"),
    ],
)
def test_holes(
    committed: list[tuple[int, int]], start_seq: int | None, ack_floor: int, expected: list[tuple[int, int]]
) -> None:
    """What the consumer has behind it and the ledger does not know is a hole."""
    assert expected == holes(committed, start_seq, ack_floor)
