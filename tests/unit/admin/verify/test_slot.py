"""Messages that are missing, joined to gaps."""

import pytest

from eventwriter.admin.verify.slot import runs


@pytest.mark.parametrize(
    ("missing", "order", "expected"),
    [
        ([], [1, 2], []),
        ([4, 7], [1, 4, 7, 9], [(4, 7, 2)]),
        ([1, 9], [1, 4, 7, 9], [(1, 1, 1), (9, 9, 1)]),
    ],
)
def test_missing_messages_that_follow_each_other_are_one_gap(
    missing: list[int], order: list[int], expected: list[tuple[int, int, int]]
) -> None:
    """Messages between which only unwanted subjects lie are one gap."""
    assert expected == runs(missing, order)
