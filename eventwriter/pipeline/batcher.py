"""
Records to encoded rows in the open batch, and the rules by which it is sealed.

A batch is sealed when the copy stage is free for it and it has `batch_size`
messages or is `batch_timeout` old; while the copy stage is busy, or the consumer
has more waiting, it grows, up to `max_batch_size` rows or `max_batch_bytes`.
So a quiet stream has small fresh batches and a backlog big cheap ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from eventwriter.errors import Poison
from eventwriter.model import Message, Record, Trigger
from eventwriter.pipeline.batch import KNOWN, Batch
from eventwriter.pipeline.coverage import Tracker
from eventwriter.pipeline.decode import Decoded
from eventwriter.tables.table import RowBuilder

EncodeRow = Callable[[Sequence[object], bytearray], None]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """
    When a batch is sealed.

    Attributes:
        messages: Enough messages, when nothing more waits.
        rows_max: So many rows, whatever waits; a message counts as one at least, and is never split.
        bytes_max: So many bytes of payloads and rows, whatever waits.
        age_s_max: So old, seconds since its first message.
    """

    messages: int
    rows_max: int
    bytes_max: int
    age_s_max: float


@dataclass(frozen=True, slots=True)
class Target:
    """One table of the slot: how a record becomes its row, and how that is encoded."""

    build: RowBuilder
    encode: EncodeRow


def seal_trigger(batch: Batch, limits: BatchLimits, free: bool, waiting: int, now_s: float) -> Trigger | None:
    """
    Decide whether an open batch is to be sealed now.

    Args:
        free: Whether the copy stage waits for a batch.
        waiting: Messages that the consumer has not delivered yet.
        now_s: Monotonic seconds.
    """
    count = len(batch)
    if not count:
        return None
    if count + batch.extra_rows >= limits.rows_max:
        return Trigger.ROWS
    if batch.size_bytes >= limits.bytes_max:
        return Trigger.BYTES
    if not free:
        return None
    if now_s - batch.opened_s >= limits.age_s_max:
        return Trigger.AGE
    if count >= min(limits.messages + waiting, limits.rows_max):
        return Trigger.ROWS
    return None


class Rows:
    """
    The stage: decoded messages in, sealed batches out.

    Owned by the worker's fill; the open batch is read (never written) by others.

    Args:
        encode_errors: What a value that does not fit its column's encoder raises.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        limits: BatchLimits,
        tracker: Tracker,
        encode_errors: tuple[type[Exception], ...],
    ) -> None:
        self._targets = tuple(targets)
        self._limits = limits
        self._tracker = tracker
        self._encode_errors = encode_errors
        self._begin()

    def due_in_s(self, now_s: float) -> float | None:
        """Return the seconds until the open batch is too old; None where it is empty."""
        return self.open.opened_s + self._limits.age_s_max - now_s if self.open.messages else None

    def add(self, decoded: Sequence[Decoded], free: bool, waiting: int, now_s: float) -> Iterator[Batch]:
        """
        Add decoded messages, yielding each batch that is sealed on the way.

        Args: as in `seal_trigger`. A message's rows go into one batch whole.
        """
        # Hot: once per message.
        rows_max, bytes_max = self._limits.rows_max, self._limits.bytes_max
        for message, records in decoded:
            batch = self.open
            if message.num_delivered > 1 and self._repeats(message):
                batch.repeats.append(message.reply)
                continue
            if not batch.messages:
                batch.opened_s = now_s
            batch.covers.append(self._tracker.first_covered(message))
            self._place(batch, message, records)
            if len(batch.messages) + batch.extra_rows >= rows_max:
                yield self.seal(Trigger.ROWS)
            elif batch.payload_bytes + len(batch.buffers[0]) >= bytes_max:
                yield self.seal(Trigger.BYTES)
        trigger = seal_trigger(self.open, self._limits, free, waiting, now_s)
        if trigger:
            yield self.seal(trigger)

    def seal(self, trigger: Trigger) -> Batch:
        """Close the open batch and begin another."""
        sealed = self.open
        self._begin()
        sealed.trigger = trigger
        if self._tracker.may_repeat:
            self._tracker.may_repeat, sealed = False, sealed.once()
        return sealed

    def _begin(self) -> None:
        self.open = Batch(len(self._targets))
        self._seen: set[tuple[int, int]] | None = None
        self._writers = [(t.build, t.encode, b) for t, b in zip(self._targets, self.open.buffers, strict=True)]

    def _place(self, batch: Batch, message: Message, records: list[Record] | Poison | None) -> None:
        position = len(batch.messages)
        batch.messages.append(message)
        batch.payload_bytes += len(message.payload)
        if self._seen is not None:
            self._seen.add((message.stream_seq, message.timestamp_ns))
        rows = 0
        if records.__class__ is list:
            try:
                rows = self._write(message, records)
            except Poison as poison:
                rows = self._undo(batch, position, poison)
            except self._encode_errors as error:
                rows = self._undo(batch, position, Poison("bad_value", f"a value does not fit its column: {error}"))
        elif records is None:
            batch.ignored.add(position)
        else:
            batch.dead[position] = records  # type: ignore[assignment]
        for marks, buffer in zip(batch.marks, batch.buffers):  # noqa: B905  # hot: equal by construction
            marks.append(len(buffer))
        batch.rows.append(rows)
        if rows > 1:
            batch.extra_rows += rows - 1
        elif records is KNOWN:
            batch.known.add(position)

    def _write(self, message: Message, records: list[Record]) -> int:
        """Encode a message's rows into the open batch's buffers and return their number."""
        rows = 0
        for index, record in enumerate(records):
            before = rows
            for build, encode, buffer in self._writers:
                if (row := build(record, message, index)) is not None:
                    encode(row, buffer)
                    rows += 1
            if rows == before:
                raise Poison("no_table", f"record {index} has a shape that no table of this slot stores")
        return rows

    def _undo(self, batch: Batch, position: int, poison: Poison) -> int:
        """Take back the rows of a message that turned out to be poison half-way; whole messages only."""
        for marks, buffer in zip(batch.marks, batch.buffers, strict=True):
            del buffer[marks[-1] if marks else 0 :]
        batch.dead[position] = poison
        return 0

    def _repeats(self, message: Message) -> bool:
        """Say whether a redelivered message is in the open batch already; the set is made when first needed."""
        if self._seen is None:
            self._seen = {(m.stream_seq, m.timestamp_ns) for m in self.open.messages}
        return (message.stream_seq, message.timestamp_ns) in self._seen
