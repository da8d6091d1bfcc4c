"""
Checks that every input of the fuzz test must pass.

A decoder or row builder may raise only Poison with a known reason; rows have the width and the types of the table;
the result is the same when the message is decoded again, by row builders with other caches and for the tables in
another order; no row contains a secret; decoding and building take at most 50 ms of CPU per 10 kB.
"""

import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fuzz.copier import Copier
from fuzz.inputs import FuzzInput
from fuzz.json_mutations import SECRET
from fuzz.targets import MIGRATED, TableWriter, Target
from fuzz.value_checks import row_errors

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS, Kind
from eventwriter.model import Message, Record
from eventwriter.postgres.encode import ENCODE_ERRORS
from eventwriter.tables.table import Row

REASONS = frozenset({"malformed", "missing_field", "bad_value", "unknown_shape"})
STORED_NS = 1_767_225_600_000_000_000
LIMIT_S, LIMIT_BYTES = 0.05, 10_000
_RENEWED_EVERY = 50
_DEAD_LETTER_EVERY = 8
_DETAIL_MAX = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """A failed check; findings with the same cause have the same signature."""

    signature: str
    n: int
    detail: str
    payload: bytes
    subject: str


@dataclass(slots=True)
class Report:
    """Results of a process."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unencodable: Counter[str] = field(default_factory=Counter)
    """Rows that the encoder rejected, so that a dead letter is written, by target and message."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Rows that PostgreSQL rejected, by table, SQLSTATE and message."""
    examples: dict[str, int] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)
    """CPU seconds per 10 kB, and the number of the input."""
    widest: tuple[float, int] = (0.0, 0)
    """Bytes of rows per byte of payload, and the number of the input."""

    def add(self, other: "Report") -> None:
        """Add the report of another process; the shortest payload of each signature is kept."""
        for counter, others in (
            (self.counts, other.counts), (self.reasons, other.reasons),
            (self.unencodable, other.unencodable), (self.rejected, other.rejected),
        ):  # fmt: skip
            counter.update(others)
        self.examples = {**other.examples, **self.examples}
        self.slowest, self.widest = max(self.slowest, other.slowest), max(self.widest, other.widest)
        for finding in other.findings.values():
            self.add_finding(finding)

    def add_finding(self, finding: Finding) -> None:
        """Add a finding, unless one with the same signature has a shorter payload."""
        known = self.findings.get(finding.signature)
        if known is None or len(finding.payload) < len(known.payload):
            self.findings[finding.signature] = finding


Rows = list[tuple[int, Row]]
"""(index of the table in the target, row)."""


class Checker:
    """Checks inputs against all targets; one per process."""

    def __init__(self, targets: list[Target], dead_letters: Target, copier: Copier, report: Report) -> None:
        self._targets = {kind: [target for target in targets if target.kind.name == kind] for kind in KINDS}
        self._reused = {id(target): target.writers() for target in targets}
        self._renewed = {id(target): target.writers() for target in targets}
        self._uses: Counter[int] = Counter()
        self._dead_letters = (dead_letters, dead_letters.writers()[0])
        self._copier = copier
        self._report = report

    def __call__(self, n: int, fuzz_input: FuzzInput) -> None:
        """Check an input with its own kind, and every second one with another kind."""
        self._report.counts["payloads"] += 1
        message = Message(
            "", fuzz_input.subject, fuzz_input.payload, {"X": "h\0\x7f"} if n % 3 else None, n, n, 1, STORED_NS + n
        )
        for kind in {fuzz_input.seed.kind, fuzz_input.other_kind if n % 2 else fuzz_input.seed.kind}:
            self._report.counts["checks"] += 1
            self._report.counts[f"checks of {kind}"] += 1
            self._at_kind(KINDS[kind], n, message, fuzz_input.secret)

    def _at_kind(self, kind: Kind, n: int, message: Message, secret: bool) -> None:
        targets = self._targets[kind.name]
        migrated = [target for target in targets if target.schema == MIGRATED]
        others = [target for target in targets if target.schema != MIGRATED]
        turn = n // len(KINDS)
        chosen = [*migrated, others[turn // 2 % len(others)]] if not migrated or turn % 2 else migrated
        first = self._rows_of(kind, n, message, chosen, self._reused)
        for target in chosen:
            self._uses[id(target)] += 1
            if self._uses[id(target)] % _RENEWED_EVERY == 0:
                self._renewed[id(target)] = target.writers()
        second = self._rows_of(kind, n, message, chosen[::-1], self._renewed)
        for target in chosen:
            self._compare(target, n, message, first[id(target)], second[id(target)], secret)

    def _rows_of(
        self, kind: Kind, n: int, message: Message, targets: list[Target], writers: dict[int, tuple[TableWriter, ...]]
    ) -> dict[int, Rows | Poison | None]:
        """Decode once and build the rows of each target; None after a finding."""
        began = time.thread_time()
        try:
            records: list[Record] | Poison = kind.decode(message)
        except Poison as poison:
            records = poison
        except Exception as error:
            self._raised(f"decode of {kind.name}", n, message, error)
            return {id(target): None for target in targets}
        took_s = time.thread_time() - began
        self._time(f"decode of {kind.name}", n, message, took_s, lambda: kind.decode(message))
        if isinstance(records, Poison):
            return {id(target): records for target in targets}
        return {id(target): self._built(target, n, message, records, writers[id(target)]) for target in targets}

    def _built(
        self, target: Target, n: int, message: Message, records: list[Record], writers: tuple[TableWriter, ...]
    ) -> Rows | Poison | None:
        rows: Rows = []
        began = time.thread_time()
        try:
            rows = _rows(writers, message, records)
        except Poison as poison:
            return poison
        except Exception as error:
            self._raised(f"builder of {target}", n, message, error)
            return None
        took_s = time.thread_time() - began
        self._time(f"builder of {target}", n, message, took_s, lambda: _rows(writers, message, records))
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
                self._find(f"slow: {what}", n, detail, message)
        self._report.slowest = max(self._report.slowest, (share, n))

    def _find(self, signature: str, n: int, detail: str, message: Message) -> None:
        self._report.add_finding(Finding(signature, n, detail, message.payload, message.subject))

    def _raised(self, what: str, n: int, message: Message, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        last = ([frame for frame in frames if "/eventwriter/" in frame.filename] or frames)[-1]
        where = f"{last.filename.rpartition('/eventwriter/')[2]}:{last.lineno}"
        signature = f"{what} raised {type(error).__name__} at {where}"
        self._find(signature, n, str(error)[:300], message)

    def _compare(
        self,
        target: Target,
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
            self._report.add_finding(
                Finding(f"not deterministic: {target}", n, detail, message.payload, message.subject)
            )
        if isinstance(first, Poison):
            self._poison(target, n, message, first)
            return
        if secret and SECRET in repr(first):
            self._report.add_finding(
                Finding(f"secret: {target}", n, str(first)[:2000], message.payload, message.subject)
            )
        self._report.counts["rows"] += len(first)
        size = 0
        for at, row in first:
            for error in row_errors(target.bindings[at].table, row):
                signature = f"value: {target} {error.partition(', value')[0]}"
                self._find(signature, n, error, message)
            size += self._encoded(target, at, n, row)
        self._report.widest = max(self._report.widest, (size / max(1000, len(message.payload)), n))

    def _encoded(self, target: Target, at: int, n: int, row: Row) -> int:
        writer, out = self._reused[id(target)][at], bytearray()
        try:
            writer.encode(row, out)
        except Poison as poison:
            self._report.unencodable[f"{target}: poison {poison.reason}"] += 1
        except ENCODE_ERRORS as error:
            signature = f"{target}: {type(error).__name__} {str(error)[:80]}"
            self._report.unencodable[signature] += 1
            self._report.examples.setdefault(signature, n)
        else:
            self._copier.offer(str(target), writer.binding, row, bytes(out), n)
        return len(out)

    def _poison(self, target: Target, n: int, message: Message, poison: Poison) -> None:
        self._report.reasons[f"{target.kind.name} {poison.reason}"] += 1
        if target.schema != MIGRATED and n % _DEAD_LETTER_EVERY:
            return
        for error in _poison_errors(poison):
            signature = f"poison: {target.kind.name} {poison.reason}: {error}"
            self._find(signature, n, poison.detail[:2000], message)
        target, writer = self._dead_letters
        row = writer.build({"poison": poison}, message, 0)
        assert row is not None
        for error in row_errors(writer.binding.table, row):
            signature = f"value: dead letter {error.partition(', value')[0]}"
            self._find(signature, n, error, message)
        out = bytearray()
        writer.encode(row, out)
        self._copier.offer(str(target), writer.binding, row, bytes(out), n)


def _rows(writers: tuple[TableWriter, ...], message: Message, records: list[Record]) -> Rows:
    return [
        (at, row)
        for index, record in enumerate(records)
        for at, writer in enumerate(writers)
        if (row := writer.build(record, message, index))
    ]


def _poison_errors(poison: Poison) -> Iterator[str]:
    """Yield the errors of the reason and the detail of a Poison."""
    if poison.reason not in REASONS:
        yield "unknown reason"
    if len(poison.detail) > _DETAIL_MAX:
        yield "more than 500 characters"
    if SECRET in poison.detail:
        yield "contains a secret"
