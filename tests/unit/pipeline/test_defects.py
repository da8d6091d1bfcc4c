"""Unexpected exceptions of decoders and row builders: one message becomes a dead letter, and the others go on."""

from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.model import Message, Record
from eventwriter.pipeline.batcher import Batcher, BatchLimits, RowWriter
from eventwriter.pipeline.coverage import CoverageTracker
from eventwriter.pipeline.decode import DecodeStage

LIMITS = BatchLimits(100, 100, 10**6, 1.0)


def message(seq: int, payload: bytes) -> Message:
    return Message("", "things.one", payload, None, seq, seq, 1, seq)


def decode(message: Message) -> list[Record]:
    if message.payload == b"defect":
        raise TypeError("a defect")
    if message.payload == b"memory":
        raise MemoryError
    return [{"payload": message.payload}]


def build(record: Record, message: Message, index: int) -> Any:
    if record["payload"] == b"odd":
        raise OverflowError("another defect")
    return (record["payload"],)


def batcher() -> Batcher:
    writer = RowWriter(build, lambda row, buffer: buffer.extend(row[0]))
    return Batcher([writer], LIMITS, CoverageTracker(0, 0), ())


def test_defect_of_a_decoder_concerns_one_message() -> None:
    """The message becomes a dead letter whose detail names the exception."""
    (_, first), (_, second), (_, third) = DecodeStage(decode, ())(
        [message(1, b"good"), message(2, b"defect"), message(3, b"good")]
    )

    assert isinstance(second, Poison)
    assert ("malformed", True) == (second.reason, "TypeError: a defect" in second.detail)
    assert ([{"payload": b"good"}], [{"payload": b"good"}]) == (first, third)


def test_defect_of_a_row_builder_concerns_one_message() -> None:
    """The rows of the other messages are written, also those of the same batch."""
    messages = [message(1, b"a"), message(2, b"odd"), message(3, b"b")]
    batches = batcher()

    assert [] == list(batches.add(DecodeStage(decode, ())(messages), False, 1000, 0.0))

    assert b"ab" == bytes(batches.open.buffers[0])
    assert [(1, "bad_value")] == [(at, poison.reason) for at, poison in batches.open.dead.items()]


def test_lack_of_memory_is_no_defect_of_a_message() -> None:
    """The worker ends, and its messages are delivered again."""
    with pytest.raises(MemoryError):
        DecodeStage(decode, ())([message(1, b"memory")])
