"""
Accumulates messages into batches, and decides when a batch is sealed.

A batch is sealed if the copy stage is idle and the batch has `batch_size` messages or is
`batch_timeout` old. While the copy stage is busy, or more messages are pending, the batch grows
to at most `max_batch_size` rows or `max_batch_bytes`. So a quiet stream gets small fresh
batches, and a backlog gets large efficient ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from eventwriter.errors import Poison
from eventwriter.model import Message, Record, Trigger
from eventwriter.pipeline.batch import KNOWN, Batch
from eventwriter.pipeline.coverage import CoverageTracker
from eventwriter.pipeline.decode import Decoded, defect, of_record
from eventwriter.tables.table import RowBuilder

EncodeRow = Callable[[Sequence[object], bytearray], None]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """
    Limits from the stream's settings at which a batch is sealed.

    Attributes:
        batch_size: Messages that suffice if no more are pending.
        max_batch_size: Most rows; a message counts as at least one row and is never split.
        max_batch_bytes: Most bytes of payloads and rows.
        batch_timeout_s: Greatest age, counted from the first message.
    """

    batch_size: int
    max_batch_size: int
    max_batch_bytes: int
    batch_timeout_s: float


@dataclass(frozen=True, slots=True)
class RowWriter:
    """How a record becomes a row of one table, and how the row is encoded."""

    build: RowBuilder
    encode: EncodeRow


def seal_trigger(batch: Batch, limits: BatchLimits, copy_idle: bool, pending: int, now_s: float) -> Trigger | None:
    """
    Return why an open batch must be sealed now, None if it stays open.

    Args:
        copy_idle: Whether the copy stage is waiting for a batch.
        pending: Number of messages that the consumer has not delivered yet.
        now_s: Monotonic seconds.
    """
    count = len(batch)
    if not count:
        return None
    if count + batch.extra_rows >= limits.max_batch_size:
        return Trigger.ROWS
    if batch.size_bytes >= limits.max_batch_bytes:
        return Trigger.BYTES
    if not copy_idle:
        return None
    if now_s - batch.opened_s >= limits.batch_timeout_s:
        return Trigger.AGE
    if count >= min(limits.batch_size + pending, limits.max_batch_size):
        return Trigger.ROWS
    return None


class Batcher:
    """
    Adds decoded messages to the open batch and yields sealed batches. Written by the pipeline's pull task only.

    Args:
        writers: Row builder and encoder of each table.
        encode_errors: Exceptions that an encoder raises for a value of the wrong type or range.

    Attributes:
        open: The open batch.
    """

    def __init__(
        self,
        writers: Sequence[RowWriter],
        limits: BatchLimits,
        tracker: CoverageTracker,
        encode_errors: tuple[type[Exception], ...],
    ) -> None:
        self._tables = tuple(writers)
        self._limits = limits
        self._tracker = tracker
        self._encode_errors = encode_errors
        self._open_batch()

    def due_in_s(self, copy_idle: bool, now_s: float) -> float | None:
        """
        Return the seconds until the open batch must be sealed because of its age.

        None if it is empty or the copy stage is busy: then a timeout does not seal it.

        Args: as for `seal_trigger`.
        """
        if not self.open.messages or not copy_idle:
            return None
        return self.open.opened_s + self._limits.batch_timeout_s - now_s

    def add(self, decoded: Sequence[Decoded], copy_idle: bool, pending: int, now_s: float) -> Iterator[Batch]:
        """
        Add decoded messages, and yield each batch that is sealed.

        All rows of a message go into one batch. With no messages, only the triggers are checked.

        Args: as for `seal_trigger`.
        """
        # Hot: once per message.
        rows_max, bytes_max = self._limits.max_batch_size, self._limits.max_batch_bytes
        for message, records in decoded:
            batch = self.open
            if message.num_delivered > 1 and self._is_repeat(message):
                batch.repeat_replies.append(message.reply)
                continue
            if not batch.messages:
                batch.opened_s = now_s
            batch.covers.append(self._tracker.first_covered(message))
            self._add_message(batch, message, records)
            if len(batch.messages) + batch.extra_rows >= rows_max:
                yield self.seal(Trigger.ROWS)
            elif batch.payload_bytes + len(batch.buffers[0]) >= bytes_max:
                yield self.seal(Trigger.BYTES)
        trigger = seal_trigger(self.open, self._limits, copy_idle, pending, now_s)
        if trigger:
            yield self.seal(trigger)

    def seal(self, trigger: Trigger) -> Batch:
        """Seal the open batch and open a new one."""
        sealed = self.open
        self._open_batch()
        sealed.trigger = trigger
        if self._tracker.may_repeat:
            self._tracker.may_repeat, sealed = False, sealed.deduplicated()
        return sealed

    def _open_batch(self) -> None:
        self.open = Batch(len(self._tables))
        self._seen: set[tuple[int, int]] | None = None
        self._writers = [(t.build, t.encode, b) for t, b in zip(self._tables, self.open.buffers, strict=True)]

    def _add_message(self, batch: Batch, message: Message, records: list[Record] | Poison | None) -> None:
        position = len(batch.messages)
        batch.messages.append(message)
        batch.payload_bytes += len(message.payload)
        if self._seen is not None:
            self._seen.add((message.stream_seq, message.timestamp_ns))
        rows = 0
        if isinstance(records, list):
            try:
                rows = self._encode_rows(message, records)
            except Poison as poison:
                rows = self._discard_rows(batch, position, poison)
        elif records is None:
            batch.ignored.add(position)
        else:
            batch.add_dead_letter(position, records)
        for marks, buffer in zip(batch.marks, batch.buffers):  # noqa: B905  # hot: equal by construction
            marks.append(len(buffer))
        batch.rows.append(rows)
        if rows > 1:
            batch.extra_rows += rows - 1
        elif records is KNOWN:
            batch.known.add(position)

    def _encode_rows(self, message: Message, records: list[Record]) -> int:
        """Encode the rows of a message into the buffers of the open batch, and return their number."""
        rows = index = 0
        try:
            for index, record in enumerate(records):
                before = rows
                for build, encode, buffer in self._writers:
                    if row := build(record, message, index):
                        encode(row, buffer)
                        rows += 1
                    elif row is not None:
                        before = -1  # ignored by a documented rule of the table, and counted
                if rows == before:
                    raise Poison("no_table", "no table of this slot stores records of this shape")
        except Poison as poison:
            raise of_record(poison, index, records) from None
        except self._encode_errors as error:
            does_not_fit = Poison("bad_value", f"a value does not fit its column: {error}")
            raise of_record(does_not_fit, index, records) from error
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # a defect, which is logged
            raise of_record(defect("bad_value", "row builder", error), index, records) from None
        return rows

    def _discard_rows(self, batch: Batch, position: int, poison: Poison) -> int:
        """Discard the rows that a message already has when one of its records is poison."""
        for marks, buffer in zip(batch.marks, batch.buffers, strict=True):
            del buffer[marks[-1] if marks else 0 :]
        batch.add_dead_letter(position, poison)
        return 0

    def _is_repeat(self, message: Message) -> bool:
        """Return whether a redelivered message is in the open batch; the set is built when it is first needed."""
        if self._seen is None:
            self._seen = {(m.stream_seq, m.timestamp_ns) for m in self.open.messages}
        return (message.stream_seq, message.timestamp_ns) in self._seen
