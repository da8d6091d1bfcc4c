"""Report of the verification of one slot. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventwriter.admin.verify.judge import Facts, JudgedSets, size
from eventwriter.postgres.ledger.verify_queries import LedgerRow

_SUBJECTS_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class Gap:
    """
    Messages that are not accounted for, or more than once.

    Attributes:
        first: Stream sequence of the first message.
        last: Stream sequence of the last message.
        messages: Number of messages that match the filter.
        complete: False if the scan reached its limit, so that there may be more.
        subjects: Some of their subjects.
        what: One sentence: why they are reported, and what was found.
    """

    first: int
    last: int
    messages: int
    complete: bool
    subjects: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class UnjustifiedEpoch:
    """
    An epoch that began although the stream lost nothing.

    Attributes:
        epoch: The epoch that began.
        previous: The epoch that it closed, whose last message the stream still has.
        last_seq: Stream sequence of that message.
        last_us: Its JetStream timestamp, microseconds since 1970 UTC.
        ambiguous: Number of sequences that the ledger has under several epochs.
    """

    epoch: int
    previous: int
    last_seq: int
    last_us: int
    ambiguous: int

    @property
    def sentence(self) -> str:
        """What happened, what it means, and what to do."""
        found = (
            f"epoch {self.epoch} began on a false suspicion: the stream still has the last message of epoch"
            f" {self.previous} (sequence {self.last_seq}, stored at {when(self.last_us)}), so it lost nothing."
        )
        if self.ambiguous:
            return (
                f"{found} {self.ambiguous:,} sequences are in several epochs, and their rows may exist twice; look them"
                " up with --range."
            )
        return f"{found} No message was lost or written twice because of it. Nothing needs to be done."


@dataclass(slots=True)
class RowLookups:
    """
    Outcome of the messages whose rows were looked up.

    Attributes:
        messages: Number of messages.
        rows: Rows found for them.
        written: Messages with all their rows.
        dead: Messages with a dead letter.
        empty: Messages with nothing to write.
        missing: Sequences of messages with neither rows nor a dead letter.
        duplicated: Sequences of messages with more rows than expected.
        inconclusive: Reason → number of messages for which nothing can be proven.
        of: Number of sequences that they are a sample of.
    """

    messages: int = 0
    rows: int = 0
    written: int = 0
    dead: int = 0
    empty: int = 0
    missing: list[int] = field(default_factory=list)
    duplicated: list[int] = field(default_factory=list)
    inconclusive: dict[str, int] = field(default_factory=dict)
    of: int = 0

    def add_inconclusive(self, why: str) -> None:
        """Count a message for which nothing can be proven."""
        self.inconclusive[why] = self.inconclusive.get(why, 0) + 1


@dataclass(slots=True)
class Report:
    """
    Report of one slot.

    Attributes:
        trouble: Why the slot could not be verified at all; the rest is then empty.
        gaps: Missing or duplicated messages, one entry for each place.
        unprovable: One sentence, with the reason, for each thing that cannot be proven.
        unjustified_epochs: Epochs that began although the stream lost nothing.
    """

    slot: str
    stream: str
    durable: str
    trouble: str | None = None
    facts: Facts | None = None
    judged: JudgedSets | None = None
    rows: RowLookups = field(default_factory=RowLookups)
    dead_letters: tuple[int, int] = (0, 0)
    gaps: list[Gap] = field(default_factory=list)
    unprovable: list[str] = field(default_factory=list)
    unjustified_epochs: list[UnjustifiedEpoch] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing or duplicated, as far as can be proven."""
        return self.trouble is None and not self.gaps

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        facts, judged = self.facts, self.judged
        rows = self.rows
        return {
            "slot": self.slot,
            "stream": self.stream,
            "durable": self.durable,
            "balanced": self.balanced,
            "trouble": self.trouble,
            "jetstream": facts and _jetstream(facts),
            "ledger": [_ledger_row(row, facts) for row in facts.rows] if facts else [],
            "sequences": judged
            and {
                "known": size(judged.known),
                "unacked": size(judged.unacked),
                "undelivered": size(judged.undelivered),
                "removed": size(judged.removed),
            },
            "lookups": {
                "messages": rows.messages,
                "rows": rows.rows,
                "written": rows.written,
                "dead": rows.dead,
                "empty": rows.empty,
                "missing": rows.missing,
                "duplicated": rows.duplicated,
                "inconclusive": rows.inconclusive,
            },
            "dead_letters": {"count": self.dead_letters[0], "messages": self.dead_letters[1]},
            "gaps": [
                {
                    "first": gap.first,
                    "last": gap.last,
                    "messages": gap.messages,
                    "complete": gap.complete,
                    "subjects": list(gap.subjects),
                    "what": gap.what,
                }
                for gap in self.gaps
            ],
            "unprovable": self.unprovable,
            "unjustified_epochs": [
                {
                    "epoch": epoch.epoch,
                    "previous": epoch.previous,
                    "last_seq": epoch.last_seq,
                    "timestamp": when(epoch.last_us),
                    "ambiguous": epoch.ambiguous,
                    "what": epoch.sentence,
                }
                for epoch in self.unjustified_epochs
            ],
        }


def _jetstream(facts: Facts) -> Mapping[str, Any]:
    stream, consumer = facts.stream, facts.consumer
    return {
        "created": when(stream.incarnation_ns // 1000),
        "first_seq": stream.first_seq,
        "last_seq": stream.last_seq,
        "delivered": consumer and consumer.delivered_stream_seq,
        "ack_floor": consumer and consumer.ack_floor_stream_seq,
        "ack_pending": consumer and consumer.ack_pending,
        "pending": consumer and consumer.pending,
    }


def _ledger_row(row: LedgerRow, facts: Facts) -> Mapping[str, Any]:
    return {
        "incarnation": when(row.incarnation_us),
        "epoch": row.epoch,
        "filter_hash": row.filter_hash,
        "current": is_current(row, facts),
        "ranges": len(row.committed),
        "sequences": size(row.committed),
        "first_seq": row.committed[0][0] if row.committed else None,
        "last_seq": row.committed[-1][1] - 1 if row.committed else None,
        "updated_at": row.updated_at,
    }


def is_current(row: LedgerRow, facts: Facts) -> bool:
    """Return whether the daemon currently writes this row."""
    return row in facts.current and row.epoch == facts.epoch and row.filter_hash == facts.filter_hash


def why_old(row: LedgerRow, facts: Facts) -> str:
    """Return why a ledger row is not the current one."""
    if row not in facts.current:
        return "of a deleted stream of this name"
    if row.epoch != facts.epoch:
        return "closed when the stream seemed to go backwards"
    return "of other filter subjects"


def when(at_us: int) -> str:
    """Return an instant as ISO 8601 in UTC, to the second; microseconds since 1970 UTC."""
    return dt.datetime.fromtimestamp(at_us // 1_000_000, dt.UTC).isoformat().replace("+00:00", "Z")


def some(subjects: Sequence[str]) -> tuple[str, ...]:
    """Return the first few distinct subjects."""
    distinct = list(dict.fromkeys(subjects))
    first = distinct[:_SUBJECTS_SHOWN_MAX]
    return (*first, "…") if len(distinct) > len(first) else tuple(first)
