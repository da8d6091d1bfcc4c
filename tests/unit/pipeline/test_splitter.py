"""Splitting a rejected batch, without a database."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventwriter.pipeline.splitter import _MANY, _SMALL, BatchSizeLimit, BatchSplitter, Piece


def write_batch(count: int, bad: set[int], named: Callable[[Piece], int | None]) -> tuple[int, list[Piece]]:
    """Write a batch with bad messages; return the number of attempts and the written pieces in order."""
    pieces, dead, attempts, written = BatchSplitter(count, count), set[int](), 0, list[Piece]()
    while (piece := pieces.take()) is not None:
        attempts += 1
        if dead.issuperset(set(piece) & bad):
            written.append(piece)
            pieces.mark_written(piece)
        elif len(piece) > 1:
            pieces.split(piece, named(piece))
        else:
            dead.add(piece[0])
            pieces.reject(piece[0])
    assert len(dead) == pieces.rejected
    return attempts, written


@given(st.integers(1, 3000), st.data())
@settings(deadline=None, max_examples=100)
def test_every_message_is_written_once(count: int, data: st.DataObject) -> None:
    """Whatever row PostgreSQL names, each message is in one written piece, and the number of COPYs is logarithmic."""
    bad = set(data.draw(st.lists(st.integers(0, count - 1), max_size=12)))
    how = data.draw(st.sampled_from(["right", "none", "first", "last", "other"]))
    names: dict[str, Callable[[Piece], int | None]] = {
        "right": lambda piece: min(set(piece) & bad),
        "none": lambda piece: None,
        "first": lambda piece: piece[0],
        "last": lambda piece: piece[-1],
        "other": lambda piece: count + 1,
    }

    attempts, written = write_batch(count, bad, names[how])

    assert list(range(count)) == sorted(position for piece in written for position in piece)
    attempts_max = 3 * len(bad) + 2 if how == "right" else 2 * len(bad) * (math.log2(count) + 1) + 6
    small_pieces = math.ceil(count / _SMALL) if len(bad) >= _MANY else 0
    assert attempts <= attempts_max + small_pieces


def test_after_a_wrong_name_pieces_are_halved() -> None:
    """If the named message is written successfully on its own, later names are ignored."""
    pieces = BatchSplitter(8, 8)
    pieces.split(pieces.take() or [], 7)
    assert [0, 1, 2, 3, 4, 5, 6] == pieces.take()
    named = pieces.take()
    assert [7] == named
    pieces.mark_written(named)

    pieces.split([0, 1, 2, 3], 2)

    assert [0, 1] == pieces.take()


def test_size_limit_applies_from_the_first_piece() -> None:
    """A batch larger than the limit starts in several pieces."""
    pieces = BatchSplitter(5, 2)

    assert [[0, 1], [2, 3], [4], None] == [pieces.take() for _ in range(4)]


def test_dead_letters_are_the_last_piece() -> None:
    """Rejected messages are taken together when nothing else is left."""
    pieces = BatchSplitter(3, 1)
    for position in (0, 2):
        pieces.reject(position)

    assert [[0], [1], [2], [0, 2], None] == [pieces.take() for _ in range(5)]


def test_size_limit_is_halved_and_doubled_again() -> None:
    """A batch that exceeds the server's limit halves the size limit, and each later batch doubles it."""
    limit = BatchSizeLimit(1000)

    sizes = [limit.messages]
    for rejected in (800, None, None, None, 1, None):
        if rejected:
            limit.lower(rejected)
        limit.batch_settled()
        sizes.append(limit.messages)

    assert [1000, 400, 800, 1000, 1000, 1, 2] == sizes


@pytest.mark.parametrize("count", [0])
def test_empty_batch_has_no_piece(count: int) -> None:
    """An empty batch has no piece."""
    assert BatchSplitter(count, 10).take() is None
