"""What `verify` finds of one slot, and what it amounts to; pure."""

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
    Messages that the books do not account for, or account for more than once.

    Attributes:
        first, last: Stream sequences of the first and the last message that was looked at.
        messages: How many of them the filter wants.
        complete: False where looking ended before the range did, so there may be more.
        subjects: Some of theirs.
        what: One sentence: why they are named, and what was found of them.
    """

    first: int
    last: int
    messages: int
    complete: bool
    subjects: tuple[str, ...]
    what: str


@dataclass(slots=True)
class RowsLooked:
    """
    What became of the messages that were looked at one by one.

    Attributes:
        looked: How many.
        rows: Rows that were found for them.
        written, dead, empty: Messages with all their rows, with a dead letter, without anything to write.
        missing: Sequences of messages with neither their rows nor a dead letter.
        twice: Sequences of messages of whose rows there are more than they make.
        doubted: Reason → number of messages of which nothing can be proven.
        of: How many sequences they stand for.
    """

    looked: int = 0
    rows: int = 0
    written: int = 0
    dead: int = 0
    empty: int = 0
    missing: list[int] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)
    doubted: dict[str, int] = field(default_factory=dict)
    of: int = 0

    def doubt(self, why: str) -> None:
        """Count a message of which nothing can be proven."""
        self.doubted[why] = self.doubted.get(why, 0) + 1


@dataclass(slots=True)
class Report:
    """
    The books of one slot.

    Attributes:
        trouble: Why they could not be looked into at all; then the rest is empty.
        gaps: What is missing or there twice, one for each place.
        unprovable: One sentence for each thing that cannot be proven, with the reason.
    """

    slot: str
    stream: str
    durable: str
    trouble: str | None = None
    facts: Facts | None = None
    judged: JudgedSets | None = None
    rows: RowsLooked = field(default_factory=RowsLooked)
    letters: tuple[int, int] = (0, 0)
    gaps: list[Gap] = field(default_factory=list)
    unprovable: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing and nothing there twice, as far as can be proven."""
        return self.trouble is None and not self.gaps

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
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
                "absorbed": size(judged.absorbed),
                "not_delivered": size(judged.ahead),
                "gone": size(judged.gone),
            },
            "looked_at": {
                "messages": rows.looked,
                "rows": rows.rows,
                "written": rows.written,
                "dead": rows.dead,
                "empty": rows.empty,
                "missing": rows.missing,
                "twice": rows.twice,
                "doubted": rows.doubted,
            },
            "dead_letters": {"letters": self.letters[0], "messages": self.letters[1]},
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
    """Whether it is the row that the daemon writes now."""
    return row in facts.current and row.epoch == facts.epoch and row.filter_hash == facts.filter_hash


def why_old(row: LedgerRow, facts: Facts) -> str:
    """Say why a row of the ledger is not the one that is written now."""
    if row not in facts.current:
        return "of a stream of this name that was deleted"
    if row.epoch != facts.epoch:
        return "of before the stream went backwards"
    return "of other filter subjects"


def when(at_us: int) -> str:
    """Return an instant as ISO 8601 in UTC, to the second; microseconds since 1970 UTC."""
    return dt.datetime.fromtimestamp(at_us // 1_000_000, dt.UTC).isoformat().replace("+00:00", "Z")


def some(subjects: Sequence[str]) -> tuple[str, ...]:
    """Return some of these subjects, each once."""
    different = dict.fromkeys(subjects)
    shown = list(different)[:_SUBJECTS_SHOWN_MAX]
    return (*shown, "…") if len(different) > len(shown) else tuple(shown)
