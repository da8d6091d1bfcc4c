"""Batches: covered sequences, subsets and rejected messages."""

from hypothesis import given
from hypothesis import strategies as st

from eventwriter.errors import Poison
from eventwriter.model import Message
from eventwriter.pipeline.batch import Batch


def batch_of(sizes: list[int]) -> Batch:
    """Return a batch whose message n has `sizes[n]` bytes of rows, each of them the byte n."""
    batch = Batch(1)
    for n, size in enumerate(sizes):
        batch.messages.append(Message(f"r{n}", "s", b"p", None, n + 1, n + 1, 1, n))
        batch.covers.append(n + 1)
        batch.rows.append(1 if size else 0)
        batch.buffers[0] += bytes([n]) * size
        batch.marks[0].append(len(batch.buffers[0]))
    return batch


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_subset_has_the_rows_of_its_messages(sizes: list[int], data: st.DataObject) -> None:
    """A subset of a batch has the encoded rows of its messages, in order."""
    batch = batch_of(sizes)
    positions = sorted(data.draw(st.sets(st.integers(0, len(sizes) - 1))))

    part = batch.select(positions)

    assert b"".join(bytes([p]) * sizes[p] for p in positions) == bytes(part.buffers[0])
    assert [batch.messages[p] for p in positions] == part.messages


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_rejected_message_loses_its_rows(sizes: list[int], data: st.DataObject) -> None:
    """Rejecting a message removes its rows and no others."""
    batch = batch_of(sizes)
    at = data.draw(st.integers(0, len(sizes) - 1))

    batch.reject({at: Poison("rejected", "x")})

    remaining = [p for p in range(len(sizes)) if p != at]
    assert b"".join(bytes([p]) * sizes[p] for p in remaining) == bytes(batch.buffers[0])
    assert b"".join(bytes([p]) * sizes[p] for p in remaining) == bytes(batch.select(remaining).buffers[0])


def test_consecutive_messages_are_one_range() -> None:
    """Consecutive messages are covered by one range."""
    assert [(1, 4)] == batch_of([1, 1, 1]).covered()
