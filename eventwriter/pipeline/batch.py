"""
A batch: whole messages and their rows, bound for one transaction; pure.

Open while rows are added, sealed once, then settled. Rows are kept encoded, one
buffer for each table, with a mark after each message, so that any subset of the
messages can be written by itself (a rejected batch is bisected) without building
rows anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from eventwriter.errors import Poison
from eventwriter.model import Message, Outcome, Record, Trigger
from eventwriter.postgres.ledger.ranges import Newest, Ranges, normal

KNOWN: list[Record] = []
"""In a message's records' place: it was not decoded, because the ledger has it. Told by identity; never added to."""


@dataclass(slots=True)
class Batch:
    """
    Messages in the order of arrival, and what is to be written for each.

    Attributes:
        tables: How many tables each message may have rows in; the number of buffers.
        buffers: For each table, rows in COPY's binary format.
        marks: For each table, the buffer's length after each message.
        covers: For each message, the first stream sequence that it accounts for.
        rows: For each message, how many rows it became in all tables together.
        extra_rows: Rows beyond one for each message.
        dead: Poison by position, for the messages that cannot become rows.
        ignored: Positions of the messages that the configuration says to drop.
        known: Positions of the messages that were not decoded because the ledger had them.
        repeats: Ack subjects of deliveries that repeat a message of this batch.
        payload_bytes: Bytes of all payloads.
        opened_s: Monotonic seconds of the first message.
        trigger: Why it was sealed; None while it is open.
        decode_s: Seconds that decoding its messages took, with those of the list that filled it.
        rows_s: Seconds that building and encoding its rows took.
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
    repeats: list[str] = field(default_factory=list)
    payload_bytes: int = 0
    opened_s: float = 0.0
    trigger: Trigger | None = None
    decode_s: float = 0.0
    rows_s: float = 0.0

    def __post_init__(self) -> None:
        """Give each table its buffer."""
        if not self.buffers:
            self.buffers = [bytearray() for _ in range(self.tables)]
            self.marks = [[] for _ in range(self.tables)]

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.messages)

    @property
    def size_bytes(self) -> int:
        """Memory that grows with the batch: payloads (kept until it is settled) and encoded rows."""
        return self.payload_bytes + sum(map(len, self.buffers))

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
        Return a batch of just these messages, with their rows, dead letters and marks.

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

    def once(self) -> "Batch":
        """
        Return a batch that has each message once, this one where it does.

        A consumer that somebody resets delivers what we hold for a first time once more, so nothing but sequence
        and timestamp tell; and within one transaction the ledger could not.
        """
        first: dict[tuple[int, int], int] = {}
        for position, message in enumerate(self.messages):
            first.setdefault((message.stream_seq, message.timestamp_ns), position)
        if len(first) == len(self.messages):
            return self
        kept = set(first.values())
        part = self.select(sorted(kept))
        part.repeats = [*self.repeats, *(m.reply for at, m in enumerate(self.messages) if at not in kept)]
        part.decode_s, part.rows_s = self.decode_s, self.rows_s
        return part

    def owner_of_row(self, table: int, line: int, positions: Sequence[int]) -> int | None:
        """
        Return whose row was the `line`th, from 1, of a table when the messages at `positions` were copied.

        Walks over encoded rows (2 bytes of count; per field 4 bytes of length, -1 for NULL, and the value):
        done only when PostgreSQL has refused a row.
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

    def bury(self, position: int, poison: Poison) -> None:
        """Make a dead letter of a message whose rows PostgreSQL refused: its rows are taken out."""
        for table, marks in enumerate(self.marks):
            start, end = marks[position - 1] if position else 0, marks[position]
            del self.buffers[table][start:end]
            for later in range(position, len(marks)):
                marks[later] -= end - start
        self.rows[position] = 0
        self.dead[position] = poison


@dataclass(frozen=True, slots=True)
class Settled:
    """
    How each message of a batch ended.

    Attributes:
        batch: The batch.
        outcomes: One for each message, in the batch's order.
        already: How many of the written ones an earlier batch had written.
        duplicates: How many rows were left out by a table's conflict rule.
        rows_before: How many rows those that an earlier batch had written have, and this one did not write.
    """

    batch: Batch
    outcomes: Sequence[Outcome]
    already: int = 0
    duplicates: int = 0
    rows_before: int = 0

    def __post_init__(self) -> None:
        """Check that no message was forgotten."""
        if len(self.outcomes) != len(self.batch.messages):
            raise AssertionError(f"{len(self.outcomes)} outcomes for {len(self.batch.messages)} messages")

    def count(self, outcome: Outcome) -> int:
        """Return how many messages ended so."""
        return sum(1 for o in self.outcomes if o is outcome)

    def buried(self) -> list[Poison]:
        """Return what was wrong with the messages that became dead letters now, not before."""
        return [poison for at, poison in self.batch.dead.items() if self.outcomes[at] is Outcome.DEAD]
