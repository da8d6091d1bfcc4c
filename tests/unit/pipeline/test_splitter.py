"""Taking a batch apart, without a database."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventwriter.pipeline.splitter import BatchSizeLimit, BatchSplitter, Piece


def play(count: int, guilty: set[int], names: Callable[[Piece], int | None]) -> tuple[int, list[Piece]]:
    """Write a batch in which some are guilty; return the number of attempts, and the pieces as they were written."""
    pieces, dead, attempts, written = BatchSplitter(count, count), set[int](), 0, list[Piece]()
    while (piece := pieces.take()) is not None:
        attempts += 1
        if dead.issuperset(set(piece) & guilty):
            written.append(piece)
            pieces.written(piece)
        elif len(piece) > 1:
            pieces.part(piece, names(piece))
        else:
            dead.add(piece[0])
            pieces.bury(piece[0])
    assert len(dead) == pieces.buried
    return attempts, written


@given(st.integers(1, 3000), st.data())
@settings(deadline=None, max_examples=100)
def test_every_message_is_written_once_whatever_is_named(count: int, data: st.DataObject) -> None:
    """Right names, wrong names and none: each message is in one written piece, and the cost stays logarithmic."""
    guilty = set(data.draw(st.lists(st.integers(0, count - 1), max_size=12)))
    how = data.draw(st.sampled_from(["right", "none", "first", "last", "other"]))
    ways: dict[str, Callable[[Piece], int | None]] = {
        "right": lambda piece: min(set(piece) & guilty),
        "none": lambda piece: None,
        "first": lambda piece: piece[0],
        "last": lambda piece: piece[-1],
        "other": lambda piece: count + 1,
    }

    attempts, written = play(count, guilty, ways[how])

    assert list(range(count)) == sorted(position for piece in written for position in piece)
    most = 3 * len(guilty) + 2 if how == "right" else 2 * len(guilty) * (math.log2(count) + 1) + 6
    assert attempts <= most


def test_wrong_name_is_believed_once() -> None:
    """After the named message was written by itself, pieces are halved."""
    pieces = BatchSplitter(8, 8)
    pieces.part(pieces.take() or [], 7)
    assert [0, 1, 2, 3, 4, 5, 6] == pieces.take()
    named = pieces.take()
    assert [7] == named
    pieces.written(named)

    pieces.part([0, 1, 2, 3], 2)

    assert [0, 1] == pieces.take()


def test_batch_begins_in_pieces_of_what_was_not_too_much() -> None:
    """A limit is kept from the first piece on."""
    pieces = BatchSplitter(5, 2)

    assert [[0, 1], [2, 3], [4], None] == [pieces.take() for _ in range(4)]


def test_dead_letters_come_last_and_together() -> None:
    """What was found guilty is written when nothing else is left."""
    pieces = BatchSplitter(3, 1)
    for position in (0, 2):
        pieces.bury(position)

    assert [[0], [1], [2], [0, 2], None] == [pieces.take() for _ in range(5)]


def test_limit_is_halved_and_doubled_again() -> None:
    """What was too much is halved, and a batch within the limit doubles it for the next."""
    most = BatchSizeLimit(1000)

    seen = [most.messages]
    for tried in (800, None, None, None, 1, None):
        if tried:
            most.lower(tried)
        most.settled()
        seen.append(most.messages)

    assert [1000, 400, 800, 1000, 1000, 1, 2] == seen


@pytest.mark.parametrize("count", [0])
def test_empty_batch_has_no_piece(count: int) -> None:
    """Nothing to write is nothing to do."""
    assert BatchSplitter(count, 10).take() is None
