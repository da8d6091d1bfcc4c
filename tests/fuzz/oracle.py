"""
What must be true of any payload thrown at a kind, and what is found where it is not.

Only poison of a known reason may be raised; rows have the table's width and forms; a second time, decoded anew,
by builders that remember other things, the tables in another order, everything is the same; secrets are in no
row; and it takes no longer than 50 ms of CPU for every 10 kB.
"""

import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fuzz.copying import Copier
from fuzz.forms import mistakes
from fuzz.json_mutations import SECRET
from fuzz.lanes import OURS, Lane, Made
from fuzz.mutations import Thrown

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS, Kind
from eventwriter.model import Message, Record
from eventwriter.postgres.encode import ENCODE_ERRORS
from eventwriter.tables.table import Row

REASONS = frozenset({"malformed", "missing_field", "bad_value", "unknown_shape"})
STORED_NS = 1_767_225_600_000_000_000
LIMIT_S, LIMIT_BYTES = 0.05, 10_000
_REMADE_EVERY = 50
_LETTER_EVERY = 8
_DETAIL_MAX = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be: `sign` is the same for the same fault."""

    sign: str
    n: int
    detail: str
    payload: bytes
    subject: str


@dataclass(slots=True)
class Report:
    """What a process saw."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unencodable: Counter[str] = field(default_factory=Counter)
    """What builders made and the encoder refused, which makes a dead letter, by lane and words."""
    refused: Counter[str] = field(default_factory=Counter)
    """What PostgreSQL refused, by table, SQLSTATE and words."""
    examples: dict[str, int] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)
    """Seconds for 10 kB, and the payload's number."""
    widest: tuple[float, int] = (0.0, 0)
    """Bytes of rows for a byte of payload, and the payload's number."""

    def add(self, other: "Report") -> None:
        """Add what another process saw; of each fault the shortest payload is kept."""
        for mine, theirs in (
            (self.counts, other.counts), (self.reasons, other.reasons),
            (self.unencodable, other.unencodable), (self.refused, other.refused),
        ):  # fmt: skip
            mine.update(theirs)
        self.examples = {**other.examples, **self.examples}
        self.slowest, self.widest = max(self.slowest, other.slowest), max(self.widest, other.widest)
        for finding in other.findings.values():
            self.found(finding)

    def found(self, finding: Finding) -> None:
        known = self.findings.get(finding.sign)
        if known is None or len(finding.payload) < len(known.payload):
            self.findings[finding.sign] = finding


Rows = list[tuple[int, Row]]
"""(which of the lane's tables, row)."""


class Thrower:
    """Throws payloads at lanes; one for each process."""

    def __init__(self, every: list[Lane], letters: Lane, copier: Copier, report: Report) -> None:
        self._lanes = {kind: [lane for lane in every if lane.kind.name == kind] for kind in KINDS}
        self._lasting = {id(lane): lane.made() for lane in every}
        self._fresh = {id(lane): lane.made() for lane in every}
        self._uses: Counter[int] = Counter()
        self._letters = (letters, letters.made()[0])
        self._copier = copier
        self._report = report

    def __call__(self, n: int, thrown: Thrown) -> None:
        """Throw a payload at its own kind, and at another one."""
        self._report.counts["payloads"] += 1
        message = Message(
            "", thrown.subject, thrown.payload, {"X": "h\0\x7f"} if n % 3 else None, n, n, 1, STORED_NS + n
        )
        for kind in {thrown.seed.kind, thrown.other_kind if n % 2 else thrown.seed.kind}:
            self._report.counts["throws"] += 1
            self._report.counts[f"throws at {kind}"] += 1
            self._at_kind(KINDS[kind], n, message, thrown.secret)

    def _at_kind(self, kind: Kind, n: int, message: Message, secret: bool) -> None:
        lanes = self._lanes[kind.name]
        ours = [lane for lane in lanes if lane.schema == OURS]
        others = [lane for lane in lanes if lane.schema != OURS]
        turn = n // len(KINDS)
        chosen = [*ours, others[turn // 2 % len(others)]] if not ours or turn % 2 else ours
        first = self._pass(kind, n, message, chosen, self._lasting)
        for lane in chosen:
            self._uses[id(lane)] += 1
            if self._uses[id(lane)] % _REMADE_EVERY == 0:
                self._fresh[id(lane)] = lane.made()
        second = self._pass(kind, n, message, chosen[::-1], self._fresh)
        for lane in chosen:
            self._compare(lane, n, message, first[id(lane)], second[id(lane)], secret)

    def _pass(
        self, kind: Kind, n: int, message: Message, lanes: list[Lane], made: dict[int, tuple[Made, ...]]
    ) -> dict[int, Rows | Poison | None]:
        """Decode once and build for each lane; None where something was found."""
        began = time.thread_time()
        try:
            records: list[Record] | Poison = kind.decode(message)
        except Poison as poison:
            records = poison
        except Exception as error:
            self._raised(f"decode of {kind.name}", n, message, error)
            return {id(lane): None for lane in lanes}
        took_s = time.thread_time() - began
        self._time(f"decode of {kind.name}", n, message, took_s, lambda: kind.decode(message))
        if isinstance(records, Poison):
            return {id(lane): records for lane in lanes}
        return {id(lane): self._built(lane, n, message, records, made[id(lane)]) for lane in lanes}

    def _built(
        self, lane: Lane, n: int, message: Message, records: list[Record], made: tuple[Made, ...]
    ) -> Rows | Poison | None:
        rows: Rows = []
        began = time.thread_time()
        try:
            rows = _rows(made, message, records)
        except Poison as poison:
            return poison
        except Exception as error:
            self._raised(f"builder of {lane}", n, message, error)
            return None
        took_s = time.thread_time() - began
        self._time(f"builder of {lane}", n, message, took_s, lambda: _rows(made, message, records))
        return rows

    def _time(self, what: str, n: int, message: Message, took_s: float, again: Any) -> None:
        share = took_s / max(1.0, len(message.payload) / LIMIT_BYTES)
        if share > LIMIT_S:
            for _ in range(3):
                began = time.thread_time()
                try:
                    again()
                except Poison:
                    pass
                took_s = min(took_s, time.thread_time() - began)
            share = took_s / max(1.0, len(message.payload) / LIMIT_BYTES)
            if share > LIMIT_S:
                detail = f"{took_s * 1000:.0f} ms for {len(message.payload):,} bytes"
                self._report.found(Finding(f"slow: {what}", n, detail, message.payload, message.subject))
        self._report.slowest = max(self._report.slowest, (share, n))

    def _raised(self, what: str, n: int, message: Message, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/eventwriter/" in frame.filename] or frames
        where = f"{ours[-1].filename.rpartition('/eventwriter/')[2]}:{ours[-1].lineno}"
        sign = f"{what} raised {type(error).__name__} at {where}"
        self._report.found(Finding(sign, n, str(error)[:300], message.payload, message.subject))

    def _compare(
        self,
        lane: Lane,
        n: int,
        message: Message,
        first: Rows | Poison | None,
        second: Rows | Poison | None,
        secret: bool,
    ) -> None:
        if first is None or second is None:
            return
        if repr(first) != repr(second):
            detail = f"{str(first)[:2000]}\n  is not\n{str(second)[:2000]}"
            self._report.found(Finding(f"two outcomes: {lane}", n, detail, message.payload, message.subject))
        if isinstance(first, Poison):
            self._poison(lane, n, message, first)
            return
        if secret and SECRET in repr(first):
            self._report.found(Finding(f"secret: {lane}", n, str(first)[:2000], message.payload, message.subject))
        self._report.counts["rows"] += len(first)
        size = 0
        for at, row in first:
            for wrong in mistakes(lane.bindings[at].table, row):
                sign = f"form: {lane} {wrong.partition(', value')[0]}"
                self._report.found(Finding(sign, n, wrong, message.payload, message.subject))
            size += self._encoded(lane, at, n, row)
        self._report.widest = max(self._report.widest, (size / max(1000, len(message.payload)), n))

    def _encoded(self, lane: Lane, at: int, n: int, row: Row) -> int:
        made, out = self._lasting[id(lane)][at], bytearray()
        try:
            made.encode(row, out)
        except Poison as poison:
            self._report.unencodable[f"{lane}: poison {poison.reason}"] += 1
        except ENCODE_ERRORS as error:
            sign = f"{lane}: {type(error).__name__} {str(error)[:80]}"
            self._report.unencodable[sign] += 1
            self._report.examples.setdefault(sign, n)
        else:
            self._copier.offer(str(lane), made.binding, row, bytes(out), n)
        return len(out)

    def _poison(self, lane: Lane, n: int, message: Message, poison: Poison) -> None:
        self._report.reasons[f"{lane.kind.name} {poison.reason}"] += 1
        if lane.schema != OURS and n % _LETTER_EVERY:
            return
        for wrong in _wrong_words(poison):
            sign = f"words: {lane.kind.name} {poison.reason}: {wrong}"
            self._report.found(Finding(sign, n, poison.detail[:2000], message.payload, message.subject))
        letters, made = self._letters
        row = made.build({"poison": poison}, message, 0)
        assert row is not None
        for wrong in mistakes(made.binding.table, row):
            sign = f"form: dead letter {wrong.partition(', value')[0]}"
            self._report.found(Finding(sign, n, wrong, message.payload, message.subject))
        out = bytearray()
        made.encode(row, out)
        self._copier.offer(str(letters), made.binding, row, bytes(out), n)


def _rows(made: tuple[Made, ...], message: Message, records: list[Record]) -> Rows:
    return [
        (at, row)
        for index, record in enumerate(records)
        for at, one in enumerate(made)
        if (row := one.build(record, message, index))
    ]


def _wrong_words(poison: Poison) -> Iterator[str]:
    if poison.reason not in REASONS:
        yield "an unknown reason"
    if len(poison.detail) > _DETAIL_MAX:
        yield "a sentence of more than 500 characters"
    if SECRET in poison.detail:
        yield "a secret in the sentence"
