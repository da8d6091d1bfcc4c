"""Batches: coverage, subsets, burials."""

from hypothesis import given
from hypothesis import strategies as st

from eventwriter.errors import Poison
from eventwriter.model import Message
from eventwriter.pipeline.batch import Batch


def batch_of(sizes: list[int]) -> Batch:
    """Return a batch whose message number n has `sizes[n]` bytes of rows, all of them the byte n."""
    batch = Batch(1)
    for n, size in enumerate(sizes):
        batch.messages.append(Message(f"r{n}", "s", b"p", None, n + 1, n + 1, 1, n))
        batch.covers.append(n + 1)
        batch.rows.append(1 if size else 0)
        batch.buffers[0] += bytes([n]) * size
        batch.marks[0].append(len(batch.buffers[0]))
    return batch


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_subset_holds_just_its_messages_rows(sizes: list[int], data: st.DataObject) -> None:
    """Any subset of a batch has the bytes of its own messages, in order."""
    batch = batch_of(sizes)
    positions = sorted(data.draw(st.sets(st.integers(0, len(sizes) - 1))))

    part = batch.select(positions)

    assert b"".join(bytes([p]) * sizes[p] for p in positions) == bytes(part.buffers[0])
    assert [batch.messages[p] for p in positions] == part.messages


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_burial_takes_out_one_messages_rows(sizes: list[int], data: st.DataObject) -> None:
    """Burying a message removes its rows and leaves every other subset as it was."""
    batch = batch_of(sizes)
    at = data.draw(st.integers(0, len(sizes) - 1))

    batch.bury(at, Poison("rejected", "x"))

    left = [p for p in range(len(sizes)) if p != at]
    assert b"".join(bytes([p]) * sizes[p] for p in left) == bytes(batch.buffers[0])
    assert b"".join(bytes([p]) * sizes[p] for p in left) == bytes(batch.select(left).buffers[0])


def test_contiguous_messages_are_one_range() -> None:
    """Messages in a row are covered by one range."""
    assert [(1, 4)] == batch_of([1, 1, 1]).covered()
