"""
A batch: whole messages and their rows for one transaction; pure.

A batch is open while messages are added, sealed once, and then settled. Rows are kept encoded,
in one buffer per table with a mark after each message, so that any subset of the messages can
be written without building their rows again when a rejected batch is split.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from eventwriter.errors import Poison
from eventwriter.model import Message, Outcome, Record, Trigger
from eventwriter.postgres.ledger.ranges import Newest, Ranges, normal

KNOWN: list[Record] = []
"""Stands for the records of a message that was not decoded, because it is in the ledger. Compared by identity."""


@dataclass(slots=True)
class Batch:
    """
    Messages in the order of arrival, and what is to be written for each.

    Attributes:
        tables: Number of tables of the slot, which is the number of buffers.
        buffers: For each table, rows in COPY's binary format.
        marks: For each table, the length of the buffer after each message.
        covers: For each message, the first stream sequence that it accounts for.
        rows: For each message, the number of its rows in all tables together.
        extra_rows: Number of rows beyond one per message.
        dead: Poison by position, for messages that cannot become rows.
        ignored: Positions of messages whose subjects are ignored.
        known: Positions of messages that were not decoded, because they are in the ledger.
        repeat_replies: Ack subjects of deliveries that repeat a message of this batch.
        payload_bytes: Bytes of all payloads, and again of those that become dead letters, which store them.
        dead_bytes: Bytes of the payloads that become dead letters.
        opened_s: Monotonic time of the first message.
        trigger: Why the batch was sealed; None while it is open.
        decode_s: Time spent on decoding the messages, including the rest of the list that filled the batch.
        rows_s: Time spent on building and encoding the rows.
    """

    tables: int
    messages: list[Message] = field(default_factory=list)
    buffers: list[bytearray] = field(default_factory=list)
    marks: list[list[int]] = field(default_factory=list)
    covers: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    extra_rows: int = 0
    dead: dict[int, Poison] = field(default_factory=dict)
    ignored: set[int] = field(default_factory=set)
    known: set[int] = field(default_factory=set)
    repeat_replies: list[str] = field(default_factory=list)
    payload_bytes: int = 0
    dead_bytes: int = 0
    opened_s: float = 0.0
    trigger: Trigger | None = None
    decode_s: float = 0.0
    rows_s: float = 0.0

    def __post_init__(self) -> None:
        """Create the buffers."""
        if not self.buffers:
            self.buffers = [bytearray() for _ in range(self.tables)]
            self.marks = [[] for _ in range(self.tables)]

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.messages)

    @property
    def size_bytes(self) -> int:
        """Bytes of payloads, which are kept until the batch is settled, and of encoded rows."""
        return self.payload_bytes + sum(map(len, self.buffers))

    def add_dead_letter(self, position: int, poison: Poison) -> None:
        """Make the message at a position of the open batch a dead letter."""
        size = len(self.messages[position].payload)
        self.payload_bytes += size
        self.dead_bytes += size
        self.dead[position] = poison.without_origin()

    def covered(self) -> Ranges:
        """Return the stream sequences that the batch accounts for."""
        runs: Ranges = []
        low = high = 0
        for first, message in zip(self.covers, self.messages, strict=True):
            seq = message.stream_seq
            if first == high:
                high = seq + 1
                continue
            if high:
                runs.append((low, high))
            low, high = first, seq + 1
        if high:
            runs.append((low, high))
        return runs if len(runs) == 1 else normal(runs)

    def newest(self) -> Newest:
        """Return the highest sequence and the latest timestamp."""
        return Newest(max(m.stream_seq for m in self.messages), max(m.timestamp_ns for m in self.messages))

    def select(self, positions: Sequence[int]) -> "Batch":
        """
        Return a batch of some of the messages, with their rows and dead letters.

        Args:
            positions: Indexes into `messages`, ascending.
        """
        part = Batch(self.tables, opened_s=self.opened_s, trigger=self.trigger)
        for position in positions:
            at = len(part.messages)
            part.messages.append(self.messages[position])
            part.covers.append(self.covers[position])
            part.rows.append(self.rows[position])
            part.payload_bytes += len(self.messages[position].payload)
            if position in self.dead:
                part.dead[at] = self.dead[position]
            if position in self.ignored:
                part.ignored.add(at)
            if position in self.known:
                part.known.add(at)
            for table, marks in enumerate(self.marks):
                buffer = part.buffers[table]
                buffer += self.buffers[table][marks[position - 1] if position else 0 : marks[position]]
                part.marks[table].append(len(buffer))
        return part

    def deduplicated(self) -> "Batch":
        """
        Return a batch with each message once: this one if it has no repeats.

        After a reset the consumer delivers held messages as first deliveries again. Only sequence and timestamp
        reveal that, and the ledger cannot, because the repeats would be in one transaction.
        """
        first: dict[tuple[int, int], int] = {}
        for position, message in enumerate(self.messages):
            first.setdefault((message.stream_seq, message.timestamp_ns), position)
        if len(first) == len(self.messages):
            return self
        kept = set(first.values())
        part = self.select(sorted(kept))
        part.repeat_replies = [*self.repeat_replies, *(m.reply for at, m in enumerate(self.messages) if at not in kept)]
        part.decode_s, part.rows_s = self.decode_s, self.rows_s
        return part

    def message_of_row(self, table: int, line: int, positions: Sequence[int]) -> int | None:
        """
        Return the position of the message that a copied row belongs to.

        Walks over the encoded rows (2 bytes of field count; per field 4 bytes of length, -1 for NULL, and the
        value). It is called only after PostgreSQL rejected a row.

        Args:
            table: Index of the table.
            line: Number of the row in the COPY, from 1.
            positions: Positions of the messages that were copied.
        """
        marks, buffer = self.marks[table], self.buffers[table]
        for position in positions:
            at, end = marks[position - 1] if position else 0, marks[position]
            while at < end:
                line -= 1
                if not line:
                    return position
                fields, at = int.from_bytes(buffer[at : at + 2]), at + 2
                for _ in range(fields):
                    at += 4 + max(0, int.from_bytes(buffer[at : at + 4], signed=True))
        return None

    def messages_of_rows(self, table: int, lines: Collection[int], positions: Sequence[int]) -> dict[int, int]:
        """
        Return the message of each of several copied rows, as line → position; see `message_of_row`.

        Args:
            table: Index of the table.
            lines: Numbers of the rows in the COPY, from 1.
            positions: Positions of the messages that were copied.
        """
        marks, buffer, line = self.marks[table], self.buffers[table], 0
        found: dict[int, int] = {}
        for position in positions:
            at, end = marks[position - 1] if position else 0, marks[position]
            while at < end:
                line += 1
                if line in lines:
                    found[line] = position
                fields, at = int.from_bytes(buffer[at : at + 2]), at + 2
                for _ in range(fields):
                    at += 4 + max(0, int.from_bytes(buffer[at : at + 4], signed=True))
        return found

    def reject(self, rejected: Mapping[int, Poison]) -> None:
        """
        Turn messages whose rows PostgreSQL rejected into dead letters, and remove their rows.

        Args:
            rejected: Poison by position.
        """
        for table, marks in enumerate(self.marks):
            whole, kept, start = self.buffers[table], bytearray(), 0
            for position, end in enumerate(marks):
                if position not in rejected:
                    kept += whole[start:end]
                start, marks[position] = end, len(kept)
            self.buffers[table] = kept
        for position in rejected:
            self.rows[position] = 0
        self.dead.update(rejected)


@dataclass(frozen=True, slots=True)
class Settled:
    """
    Outcome of each message of a batch.

    Attributes:
        batch: The batch.
        outcomes: One per message, in the order of the batch.
        already_written: Number of messages that an earlier batch had written.
        duplicates: Number of rows not written because of a table's conflict rule.
        rows_already_written: Number of rows of the messages that an earlier batch had written.
    """

    batch: Batch
    outcomes: Sequence[Outcome]
    already_written: int = 0
    duplicates: int = 0
    rows_already_written: int = 0

    def __post_init__(self) -> None:
        """Check that every message has an outcome."""
        if len(self.outcomes) != len(self.batch.messages):
            raise AssertionError(f"{len(self.outcomes)} outcomes for {len(self.batch.messages)} messages")

    def count(self, outcome: Outcome) -> int:
        """Return the number of messages with an outcome."""
        return sum(1 for o in self.outcomes if o is outcome)

    def new_dead_letters(self) -> list[Poison]:
        """Return the poison of the messages that became dead letters in this batch, not in an earlier one."""
        return [poison for at, poison in self.batch.dead.items() if self.outcomes[at] is Outcome.DEAD]
