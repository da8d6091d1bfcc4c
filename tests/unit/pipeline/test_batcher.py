"""The batcher: when a batch is sealed, and which rows it has."""

from collections.abc import Sequence

import pytest

from eventwriter.errors import Poison
from eventwriter.model import Message, Record, Trigger
from eventwriter.pipeline.batcher import Batcher, BatchLimits, RowWriter, seal_trigger
from eventwriter.pipeline.coverage import CoverageTracker

LIMITS = BatchLimits(batch_size=3, max_batch_size=6, max_batch_bytes=1000, batch_timeout_s=1.0)


def message(seq: int, num_delivered: int = 1, size: int = 1) -> Message:
    return Message(f"r{seq}.{num_delivered}", "s", b"x" * size, None, seq, seq, num_delivered, seq)


def new_batcher(encode=lambda row, out: out.extend(row[0].encode())) -> Batcher:
    def build(record, message, index):
        if record.get("bad"):
            raise Poison("bad_value", "x")
        return (record["v"],) if "v" in record else None

    return Batcher([RowWriter(build, encode)], LIMITS, CoverageTracker(0, 0), (TypeError,))


def fill(batcher: Batcher, count: int, size: int = 1) -> None:
    """Add messages that do not seal the batch."""
    decoded = [(message(n + 1, size=size), [{"v": "a"}]) for n in range(count)]
    assert [] == list(batcher.add(decoded, False, 10**6, 0.0))


@pytest.mark.parametrize(
    ("count", "size", "copy_idle", "pending", "now_s", "expected"),
    [
        pytest.param(0, 1, True, 0, 99, None, id="an empty batch is never sealed"),
        pytest.param(2, 1, True, 0, 0.5, None, id="too few messages, too young"),
        pytest.param(2, 1, True, 0, 1.0, Trigger.AGE, id="old enough"),
        pytest.param(2, 1, False, 0, 9.0, None, id="old, while the copy stage is busy"),
        pytest.param(3, 1, True, 0, 0, Trigger.ROWS, id="enough messages"),
        pytest.param(3, 1, True, 2, 0, None, id="enough messages, but more are pending"),
        pytest.param(5, 1, True, 2, 0, Trigger.ROWS, id="the pending messages have arrived"),
        pytest.param(3, 400, False, 0, 0, Trigger.BYTES, id="too many bytes, while the copy stage is busy"),
    ],
)
def test_seal_trigger(count, size, copy_idle, pending, now_s, expected) -> None:
    """The trigger is the first one that applies."""
    batcher = new_batcher()
    if count and size > 1:
        batcher.open.messages = [message(n + 1, size=size) for n in range(count)]
        batcher.open.payload_bytes = count * size
    else:
        fill(batcher, count)

    assert expected == seal_trigger(batcher.open, LIMITS, copy_idle, pending, now_s)


def test_full_batch_is_sealed_while_the_copy_stage_is_busy() -> None:
    """A batch never has more messages than `max_batch_size`."""
    batcher = new_batcher()

    sealed = list(batcher.add([(message(n + 1), [{"v": "a"}]) for n in range(13)], False, 10**6, 0.0))

    assert [6, 6, 1] == [*(len(batch) for batch in sealed), len(batcher.open)]


def test_messages_with_many_rows_fill_a_batch() -> None:
    """The limit counts rows: messages with many rows fill a batch sooner, and no message is split."""
    batcher = new_batcher()
    four = [{"v": "a"}] * 4

    sealed = list(batcher.add([(message(n + 1), four) for n in range(3)], False, 10**6, 0.0))

    assert [2, 1] == [*(len(batch) for batch in sealed), len(batcher.open)]
    assert Trigger.ROWS is sealed[0].trigger


def test_poison_discards_all_rows_of_its_message() -> None:
    """A message whose second record is poison has no rows; other messages keep theirs."""
    batcher = new_batcher()

    list(
        batcher.add(
            [(message(1), [{"v": "a"}]), (message(2), [{"v": "b"}, {"bad": 1}]), (message(3), [{"v": "c"}])],
            False,
            0,
            0,
        )
    )

    assert (b"ac", {1}, [1, 0, 1]) == (bytes(batcher.open.buffers[0]), set(batcher.open.dead), batcher.open.rows)


def test_redelivery_within_a_batch_is_only_acknowledged() -> None:
    """A redelivery of a message in the open batch adds no row and is acknowledged with the batch."""
    batcher = new_batcher()

    list(batcher.add([(message(1), [{"v": "a"}]), (message(1, 2), [{"v": "a"}])], False, 0, 0))

    assert (b"a", ["r1.2"], 1) == (bytes(batcher.open.buffers[0]), batcher.open.repeat_replies, len(batcher.open))


def test_repeated_first_delivery_is_written_once() -> None:
    """A message that a reset consumer delivers as new, while it is in the open batch, is written once."""
    batcher = new_batcher()
    # A reset restarts both counts: that of deliveries and the consumer sequence.
    again = message(1)._replace(reply="again")

    list(batcher.add([(m, [{"v": "ab"[m.stream_seq - 1]}]) for m in (message(1), message(2), again)], False, 9, 0.0))
    batch = batcher.seal(Trigger.AGE)

    assert (b"ab", [(1, 3)], ["again"], [1, 2]) == (
        bytes(batch.buffers[0]),
        batch.covered(),
        batch.repeat_replies,
        [m.stream_seq for m in batch.messages],
    )


def test_batch_without_repeats_is_not_copied() -> None:
    """A batch whose deliveries went back without repeating a message is sealed unchanged."""
    batcher = new_batcher()

    list(batcher.add([(message(5), [{"v": "a"}]), (message(2), [{"v": "b"}])], False, 9, 0.0))
    opened = batcher.open

    assert opened is batcher.seal(Trigger.AGE)


def test_record_without_table_is_poison() -> None:
    """A record that no table of the slot stores makes its message a dead letter and discards its other rows."""
    batcher = new_batcher()

    assert [] == list(batcher.add([(message(1), [{"v": "a"}, {"w": "b"}]), (message(2), [{"v": "c"}])], False, 0, 0.0))
    assert (["no_table"], [0, 1], b"c") == (
        [poison.reason for poison in batcher.open.dead.values()],
        batcher.open.rows,
        bytes(batcher.open.buffers[0]),
    )


@pytest.mark.parametrize(
    ("records", "named"),
    [
        ([{"v": "a"}, {"bad": 1}], "record 1: "),
        ([{"v": "a"}, {"v": "a"}, {}], "record 2: "),
        ([{"v": "a"}, {"v": None}], "record 1: "),
        ([{"bad": 1}], ""),
    ],
    ids=["row builder", "no table", "encoder", "only record"],
)
def test_dead_letter_names_the_record(records: list[Record], named: str) -> None:
    """The detail of a dead letter has the index of the record that cannot be stored, if there are several."""

    def encode(row: Sequence[object], out: bytearray) -> None:
        if row[0] is None:
            raise TypeError("not text")

    batcher = new_batcher(encode)
    assert [] == list(batcher.add([(message(1), records)], False, 10**6, 0.0))

    detail = batcher.open.dead[0].detail
    assert detail.startswith(named)
    assert named or not detail.startswith("record")


def test_dead_letter_keeps_neither_traceback_nor_context() -> None:
    """A batch keeps the text of an error, but not the frames that raised it, which hold the payload."""
    batcher = new_batcher()
    bad = [{"v": "a"}, {"bad": True}]
    try:
        try:
            raise ValueError("cause")
        except ValueError as cause:
            raise Poison("malformed", "x") from cause
    except Poison as raised:
        undecoded = raised

    list(batcher.add([(message(1), bad), (message(2), undecoded)], False, 10**6, 0.0))

    dead = batcher.open.dead
    assert {0: "bad_value", 1: "malformed"} == {position: poison.reason for position, poison in dead.items()}
    assert {(None, None, None)} == {(p.__traceback__, p.__cause__, p.__context__) for p in dead.values()}


def test_payload_of_a_dead_letter_counts_twice() -> None:
    """A dead letter stores the payload, so a batch of dead letters is sealed at half of `max_batch_bytes`."""
    batcher = new_batcher()
    dead = [(message(n + 1, size=260), Poison("malformed", "x")) for n in range(2)]

    (sealed,) = batcher.add(dead, False, 10**6, 0.0)

    assert (Trigger.BYTES, 1040, 520) == (sealed.trigger, sealed.payload_bytes, sealed.dead_bytes)
