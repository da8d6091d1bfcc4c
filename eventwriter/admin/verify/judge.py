"""
Compares the sequences of a stream with those of the ledger. Pure.

The consumer is read before the ledger. Everything acknowledged by then was committed earlier,
so a sequence below that ack floor that is missing from the ledger is not a race with a running
daemon. Only the stream itself can tell which of those sequences match the consumer's filter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventwriter.jetstream.api import StreamState
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.postgres.ledger.ranges import Ranges, difference, normal, union
from eventwriter.postgres.ledger.verify_queries import LedgerRow

SEQ_MAX = 2**62


@dataclass(frozen=True, slots=True)
class Facts:
    """
    Answers of the servers about one slot.

    Attributes:
        stream: State of the stream.
        consumer: State of the durable, read before the ledger; None if it does not exist.
        ours: Whether eventwriter created the durable.
        rows: All ledger rows of the stream name and durable.
        filter_hash: Hash of the configured subjects.
        requested: Range to verify: first sequence, and the one after the last.
    """

    stream: StreamState
    consumer: ConsumerState | None
    ours: bool
    rows: Sequence[LedgerRow]
    filter_hash: str
    requested: tuple[int, int] = (1, SEQ_MAX)

    @property
    def current(self) -> list[LedgerRow]:
        """Ledger rows of the current incarnation of the stream."""
        return [row for row in self.rows if row.incarnation_us == self.stream.incarnation_ns // 1000]

    @property
    def epoch(self) -> int:
        """Newest epoch of the current incarnation."""
        return max((row.epoch for row in self.current), default=0)

    @property
    def last_seq_known(self) -> int:
        """Highest sequence in the ledger rows of the newest epoch."""
        return max((row.last_seq for row in self.current if row.epoch == self.epoch), default=0)


@dataclass(frozen=True, slots=True)
class JudgedSets:
    """
    The requested sequences of a stream; each is in exactly one of the first five sets.

    Attributes:
        known: In the ledger and still in the stream.
        predating: Not in the ledger, and older than anything delivered to eventwriter.
        acknowledged: Not in the ledger, at or below the ack floor; a matching message here is lost.
        delivered: Not in the ledger, delivered, above the ack floor; at most as many matching ones as ack pending.
        undelivered: Not in the ledger, not delivered yet.
        unacked: In the ledger and above the ack floor; if redelivered, they are not written again.
        removed: Not in the ledger, and no longer in the stream.
        ambiguous: In the ledger under several epochs, without evidence that the sequences were reused.
        floor: Ack floor; without a consumer, the sequence after which a new one would start.
    """

    known: Ranges
    predating: Ranges
    acknowledged: Ranges
    delivered: Ranges
    undelivered: Ranges
    unacked: Ranges
    removed: Ranges
    ambiguous: Ranges
    floor: int


def judge(facts: Facts, cutoffs: Mapping[int, int]) -> JudgedSets:
    """
    Sort the sequences of the stream into sets.

    Args:
        facts: Answers of the servers.
        cutoffs: For closed epochs, the first sequence that was reused since.
    """
    stream, consumer = facts.stream, facts.consumer
    known = committed(facts.current, cutoffs)
    requested = normal([facts.requested])
    window = common(normal([(stream.first_seq, stream.last_seq + 1)]), requested)
    floor = consumer.ack_floor_stream_seq if consumer else new_floor(facts)
    delivered = consumer.delivered_stream_seq if consumer else floor
    begin = first_accountable(facts, known, floor)
    unknown = difference(window, known)
    return JudgedSets(
        known=common(known, window),
        predating=between(unknown, 0, begin),
        acknowledged=between(unknown, begin, floor + 1),
        delivered=between(unknown, max(begin, floor + 1), delivered + 1),
        undelivered=between(unknown, max(begin, floor + 1, delivered + 1), SEQ_MAX),
        unacked=between(common(known, window), floor + 1, SEQ_MAX),
        # Before the first known sequence, the stream may simply have started at a higher sequence.
        removed=common(difference(normal([(known[0][0], stream.first_seq)]), known), requested) if known else [],
        ambiguous=common(repeated(facts.current, cutoffs), requested),
        floor=floor,
    )


def committed(rows: Sequence[LedgerRow], cutoffs: Mapping[int, int]) -> Ranges:
    """Return the committed sequences of one incarnation, without those reused since."""
    known: Ranges = []
    for row in rows:
        known = union(known, between(row.committed, 0, cutoffs.get(row.epoch, SEQ_MAX)))
    return known


def repeated(rows: Sequence[LedgerRow], cutoffs: Mapping[int, int]) -> Ranges:
    """
    Return the sequences that are committed under several epochs of one incarnation.

    A sequence that was reused since an epoch belongs to another message and is not included.
    """
    known: Ranges = []
    repeated_: Ranges = []
    for epoch in sorted({row.epoch for row in rows}):
        own = committed([row for row in rows if row.epoch == epoch], cutoffs)
        repeated_, known = union(repeated_, common(known, own)), union(known, own)
    return repeated_


def new_floor(facts: Facts) -> int:
    """Return the sequence after which a recreated consumer would start."""
    rows = [row for row in facts.current if row.filter_hash == facts.filter_hash and row.epoch == facts.epoch]
    starts = [row.committed[0][1] - 1 for row in rows if row.committed]
    return min(starts, default=0)


def first_accountable(facts: Facts, known: Ranges, floor: int) -> int:
    """
    Return the first sequence that must be accounted for.

    A durable created by eventwriter records its start. Any other durable may have belonged to
    another writer, so only sequences from the first one in the ledger count.
    """
    consumer = facts.consumer
    if consumer is not None and facts.ours and consumer.start_seq is not None:
        return consumer.start_seq
    return known[0][0] if known else floor + 1


def between(ranges: Ranges, low: int, high: int) -> Ranges:
    """Return the part of the ranges in [low, high)."""
    return normal((max(a, low), min(b, high)) for a, b in ranges)


def common(one: Ranges, other: Ranges) -> Ranges:
    """Return the intersection of two sets of ranges."""
    return difference(one, difference(one, other))


def size(ranges: Ranges) -> int:
    """Return the number of sequences."""
    return sum(high - low for low, high in ranges)


def spread(ranges: Ranges, limit: int) -> list[int]:
    """Return at most `limit` sequences, evenly spread and including the first and the last."""
    count = size(ranges)
    if count <= limit:
        return [seq for low, high in ranges for seq in range(low, high)]
    positions = [count - 1 if limit == 1 else at * (count - 1) // (limit - 1) for at in range(limit)]
    found, passed, remaining = [], 0, iter(ranges)
    low, high = next(remaining)
    for position in positions:
        while position >= passed + high - low:
            passed += high - low
            low, high = next(remaining)
        found.append(low + position - passed)
    return found
