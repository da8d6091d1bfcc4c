"""
JetStream's numbers against the ledger's: which sequences are accounted for, and which need a look; pure.

What the consumer said is older than what the ledger said: whatever was acknowledged
then was committed before, so a sequence below that ack floor that the ledger lacks
is no race with a running daemon. Which of those sequences carry a message that the
filter wants, only the stream itself can say.
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
    What the servers said of one slot.

    Attributes:
        stream: The stream, asked first.
        consumer: Its durable, asked before the ledger; None where it is missing.
        ours: Whether eventwriter made the durable.
        rows: Every ledger row of the stream's name and the durable.
        filter_hash: Of the configured subjects.
        asked: The range to be judged: first sequence, and the one after the last.
    """

    stream: StreamState
    consumer: ConsumerState | None
    ours: bool
    rows: Sequence[LedgerRow]
    filter_hash: str
    asked: tuple[int, int] = (1, SEQ_MAX)

    @property
    def current(self) -> list[LedgerRow]:
        """The rows of the stream's present life."""
        return [row for row in self.rows if row.incarnation_us == self.stream.incarnation_ns // 1000]

    @property
    def epoch(self) -> int:
        """The newest epoch of the stream's present life."""
        return max((row.epoch for row in self.current), default=0)

    @property
    def last_seq_known(self) -> int:
        """The highest sequence that the newest epoch's rows have."""
        return max((row.last_seq for row in self.current if row.epoch == self.epoch), default=0)


@dataclass(frozen=True, slots=True)
class JudgedSets:
    """
    The stream's sequences, each in one of the first five sets (as far as they are asked for).

    Attributes:
        known: In the ledger and still in the stream.
        before: Not in the ledger, older than what eventwriter is known to have been given.
        below: Not in the ledger, at or below the ack floor: a wanted message here is lost.
        between: Not in the ledger, delivered, above the ack floor: as many wanted ones as are unacknowledged may be.
        ahead: Not in the ledger, not delivered yet.
        absorbed: In the ledger and above the ack floor: delivered again they are not written again.
        gone: Not in the ledger, and no longer in the stream.
        doubled: In the ledger under several epochs, and not known to have been given out again between them.
        floor: The ack floor; where the consumer is missing, the sequence before which a new one would not begin.
    """

    known: Ranges
    before: Ranges
    below: Ranges
    between: Ranges
    ahead: Ranges
    absorbed: Ranges
    gone: Ranges
    doubled: Ranges
    floor: int


def judge(facts: Facts, cutoffs: Mapping[int, int]) -> JudgedSets:
    """
    Sort the stream's sequences.

    Args:
        cutoffs: For epochs that are over: the first sequence that has been given out again since.
    """
    stream, consumer = facts.stream, facts.consumer
    known = committed(facts.current, cutoffs)
    asked = normal([facts.asked])
    window = common(normal([(stream.first_seq, stream.last_seq + 1)]), asked)
    floor = consumer.ack_floor_stream_seq if consumer else new_floor(facts)
    delivered = consumer.delivered_stream_seq if consumer else floor
    begin = begins(facts, known, floor)
    unknown = difference(window, known)
    return JudgedSets(
        known=common(known, window),
        before=between(unknown, 0, begin),
        below=between(unknown, begin, floor + 1),
        between=between(unknown, max(begin, floor + 1), delivered + 1),
        ahead=between(unknown, max(begin, floor + 1, delivered + 1), SEQ_MAX),
        absorbed=between(common(known, window), floor + 1, SEQ_MAX),
        # Before the first that is known, the stream may have begun later than its sequences.
        gone=common(difference(normal([(known[0][0], stream.first_seq)]), known), asked) if known else [],
        doubled=common(doubled(facts.current, cutoffs), asked),
        floor=floor,
    )


def committed(rows: Sequence[LedgerRow], cutoffs: Mapping[int, int]) -> Ranges:
    """Return what the rows of one life of a stream account for, without what has been given out again since."""
    known: Ranges = []
    for row in rows:
        known = union(known, between(row.committed, 0, cutoffs.get(row.epoch, SEQ_MAX)))
    return known


def doubled(rows: Sequence[LedgerRow], cutoffs: Mapping[int, int]) -> Ranges:
    """
    Return the sequences that several epochs of one life of a stream account for.

    Where a sequence has been given out again since an epoch, it is another message than that epoch's.
    """
    known: Ranges = []
    twice: Ranges = []
    for epoch in sorted({row.epoch for row in rows}):
        own = committed([row for row in rows if row.epoch == epoch], cutoffs)
        twice, known = union(twice, common(known, own)), union(known, own)
    return twice


def new_floor(facts: Facts) -> int:
    """Return the sequence before which a consumer that is made anew would not begin."""
    mine = [row for row in facts.current if row.filter_hash == facts.filter_hash and row.epoch == facts.epoch]
    starts = [row.committed[0][1] - 1 for row in mine if row.committed]
    return min(starts, default=0)


def begins(facts: Facts, known: Ranges, floor: int) -> int:
    """
    Return the first sequence that must be accounted for.

    A durable that eventwriter made tells where it began. One of another origin may have
    been another writer's: then only from the ledger's first sequence on.
    """
    consumer = facts.consumer
    if consumer is not None and facts.ours and consumer.start_seq is not None:
        return consumer.start_seq
    return known[0][0] if known else floor + 1


def between(given: Ranges, low: int, high: int) -> Ranges:
    """Return the part of `given` in [low, high)."""
    return normal((max(a, low), min(b, high)) for a, b in given)


def common(one: Ranges, other: Ranges) -> Ranges:
    """Return the sequences in both."""
    return difference(one, difference(one, other))


def size(given: Ranges) -> int:
    """Return how many sequences these are."""
    return sum(high - low for low, high in given)


def spread(given: Ranges, most: int) -> list[int]:
    """Return at most `most` sequences of `given`, evenly spread, the first and the last among them."""
    count = size(given)
    if count <= most:
        return [seq for low, high in given for seq in range(low, high)]
    wanted = [count - 1 if most == 1 else at * (count - 1) // (most - 1) for at in range(most)]
    found, passed, ranges = [], 0, iter(given)
    low, high = next(ranges)
    for position in wanted:
        while position >= passed + high - low:
            passed += high - low
            low, high = next(ranges)
        found.append(low + position - passed)
    return found
