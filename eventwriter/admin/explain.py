"""
What one payload becomes, as text and as JSON; pure.

The rows come from the very decoders and builders that the daemon runs; here they are
only put back into the words that PostgreSQL would show.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.json import dumps, parse_exactly
from eventwriter.kinds.registry import Kind
from eventwriter.model import Adjustments, Message, Origin, Record
from eventwriter.pipeline.decode import decode_message, is_marker, of_record, subject_matches
from eventwriter.postgres.schema.conversions import json_value as json_value
from eventwriter.tables.table import IGNORED, Build, Row, RowBuilder, Table

_LATER_NS = 86_400_000_000_000
"""A day: columns that move with the message's own time are found by asking twice."""


@dataclass(frozen=True, slots=True)
class Explainer:
    """
    How a payload is to be read.

    Attributes:
        kind: What it is said to be.
        tables: Which tables it goes to.
        ocsf_version, redact, options, ignore_subjects: As in the settings.
    """

    kind: Kind
    tables: Sequence[Table]
    ocsf_version: str
    redact: frozenset[str]
    options: Mapping[str, Any]
    ignore_subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExplainedRow:
    """One row: its table, the record it comes from, and its columns as (name, SQL type, value, remark)."""

    table: str
    record: int
    columns: Sequence[tuple[str, str, Any, str]]


@dataclass(slots=True)
class Explanation:
    """
    What a message becomes.

    Attributes:
        form: The payload's encoding and the number of records in it.
        keys: The keys of the payload; of a protobuf payload those of its first record.
        rows: In the order in which they would be written.
        poison: Why it would become a dead letter instead; None where it would not.
        adjusted: What was put in the place of values that were missing or out of range, counted.
        ignored: Whether it is counted and acknowledged without rows, because of its subject or because NATS made it.
    """

    form: str = ""
    keys: list[str] = field(default_factory=list)
    rows: list[ExplainedRow] = field(default_factory=list)
    poison: Poison | None = None
    adjusted: dict[str, Any] = field(default_factory=dict)
    ignored: bool = False


def explain(explainer: Explainer, message: Message) -> Explanation:
    """Decode a message and build its rows, as a worker of `explainer.kind` would."""
    found, tally = Explanation(), Adjustments()
    if is_ignored(explainer, message):
        return Explanation(form=encoding(message.payload), ignored=True)
    try:
        message, records = decode_message(explainer.kind.decode, message)
        tally.fields_ignored += getattr(records, "fields_ignored", 0)
        count = f"{len(records)} record{'' if len(records) == 1 else 's'}"
        found.form = f"{encoding(message.payload, True)}, {shape(message.payload, explainer.kind)}, {count}"
        found.keys = list(outermost(message.payload) or (records[0] if records else ()))
        found.rows = _rows(explainer, message, records, tally)
    except Poison as poison:
        found.form = found.form or encoding(message.payload)
        found.poison = poison
        return found
    found.adjusted = {name: count for name in Adjustments.__slots__ if (count := getattr(tally, name))}
    return found


def encoding(payload: bytes, decoded: bool = False) -> str:
    """Name what a payload looks like by its first byte that is no white space; what else was `decoded` is protobuf."""
    first = payload.lstrip()[:1]
    if first == b"{":
        return "JSON object"
    if first == b"[":
        return "JSON array"
    if decoded:
        return "protobuf"
    return f"{len(payload):,} bytes that are no JSON object or array" if payload else "empty"


def is_ignored(explainer: Explainer, message: Message) -> bool:
    """Return whether the entry ignores the subject, or NATS itself created the empty message."""
    if any(subject_matches(pattern, message.subject) for pattern in explainer.ignore_subjects):
        return True
    return not message.payload and is_marker(message.headers)


def outermost(payload: bytes) -> Record:
    """Return the JSON object of a payload, or the first one of its array; empty for any other payload."""
    try:
        value = parse_exactly(payload)
    except (ValueError, RecursionError):
        return {}
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, dict) else {}


def shape(payload: bytes, kind: Kind) -> str:
    """Say which of the known shapes a decoded payload has, by the fields that tell, or by its kind if it is no JSON."""
    if encoding(payload, True) == "protobuf":
        return _PROTOBUF.get(kind.name, "a record")
    keys = outermost(payload).keys()
    return next((words for words, marks in _SHAPES if any(mark <= keys for mark in marks)), "a flat record")


_PROTOBUF = {
    "netflow": "a FlowMessage",
    **dict.fromkeys(("logs", "otel_metrics", "otel_traces"), "an OTLP export"),
}
_OTLP_TAILS = ("Spans", "Metrics", "Logs", "_spans", "_metrics", "_logs")
_SHAPES: Sequence[tuple[str, Sequence[frozenset[str]]]] = (
    ("an OTLP export", [frozenset({f"resource{tail}"}) for tail in _OTLP_TAILS]),
    ("an OCSF object", [frozenset({key}) for key in ("class_uid", "classUid")]),
    ("a CloudEvent", [frozenset({"specversion"})]),
    ("a GELF message", [frozenset({"version", "host", key}) for key in ("short_message", "shortMessage")]),
    ("an SNMP trap", [frozenset({"varbinds"})]),
)
"""Words, and the sets of keys of which any one tells; the first that fits."""


def _rows(explainer: Explainer, message: Message, records: Sequence[Record], tally: Adjustments) -> list[ExplainedRow]:
    later = message._replace(timestamp_ns=message.timestamp_ns + _LATER_NS)
    builders = [
        (table, _builder(explainer, table, tally), _builder(explainer, table, Adjustments()))
        for table in explainer.tables
    ]
    rows: list[ExplainedRow] = []
    for index, record in enumerate(records):
        before = len(rows)
        ignored = False
        for table, build, build_again in builders:
            try:
                row = build(record, message, index)
            except Poison as poison:
                raise of_record(poison, index, records) from None
            ignored = ignored or row is IGNORED
            if row:
                moved = _moved(row, build_again(record, later, index))
                rows.append(ExplainedRow(table.name, index, _columns(table, row, moved)))
        if len(rows) == before and not ignored:
            raise Poison("no_table", f"record {index} has a shape that no table of this slot stores")
    return rows


def _builder(explainer: Explainer, table: Table, tally: Adjustments) -> RowBuilder:
    names = frozenset(column.name for column in table.columns)
    options = {**explainer.options, "consumer": "explain", "kind": explainer.kind.name}
    return table.builder(
        Build(Origin("explain", 0, 0), tally, names, explainer.ocsf_version, explainer.redact, options)
    )


def _moved(row: Row, later: Row | None) -> set[int]:
    """Return the positions of values that come from the message's own time."""
    return {at for at, (now, then) in enumerate(zip(row, later or row, strict=True)) if now != then and now == now}


def _columns(table: Table, row: Row, moved: set[int]) -> list[tuple[str, str, Any, str]]:
    return [
        (
            column.name,
            column.type,
            _shown(value, column.type),
            "with the message's JetStream time" if at in moved else "",
        )
        for at, (column, value) in enumerate(zip(table.columns, row, strict=True))
    ]


def _shown(value: Any, sql_type: str) -> Any:
    """Return a value as SQL prints it, JSON parsed with all its digits."""
    if value is not None and sql_type in ("json", "jsonb"):
        return parse_exactly(value[1:] if sql_type == "jsonb" else value)
    return json_value(value, sql_type)


def as_json(found: Explanation, message: Message) -> dict[str, Any]:
    """Return an explanation as one JSON object."""
    poison = found.poison
    return {
        "subject": message.subject,
        "stream_seq": message.stream_seq,
        "form": found.form,
        "keys": found.keys,
        "outcome": "ignored" if found.ignored else "dead" if poison else "written",
        "rows": [
            {"table": row.table, "record": row.record, "columns": {name: value for name, _, value, _ in row.columns}}
            for row in found.rows
        ],
        "dead_letter": poison and {"reason": poison.reason, "detail": poison.detail},
        "adjusted": found.adjusted,
    }


def instant(ns: int) -> str:
    """Write nanoseconds since 1970 as RFC 3339, UTC, to the nanosecond: the setting `start` takes it."""
    seconds, rest = divmod(ns, 10**9)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def as_text(found: Explanation) -> list[str]:
    """Return an explanation in lines for a terminal; columns that stay NULL are named in one line."""
    lines = [f"payload: {found.form}" + (f"; keys {', '.join(found.keys)}" if found.keys else "")]
    for row in found.rows:
        lines += ["", f"row of {row.table} (record {row.record}):"]
        filled = [(name, kind, value, remark) for name, kind, value, remark in row.columns if value is not None]
        width = max((len(name) for name, *_ in filled), default=0)
        for name, kind, value, remark in filled:
            note = f"  ({remark})" if remark else ""
            lines.append(f"  {name:<{width}}  {kind:<11}  {dumps(value).decode()}{note}")
        if empty := [name for name, _, value, _ in row.columns if value is None]:
            lines.append(f"  NULL: {', '.join(empty)}")
    if found.poison:
        lines += ["", f"dead letter: {found.poison.reason}: {found.poison.detail}"]
    elif found.ignored:
        lines += ["", "ignored: it is counted and acknowledged without rows"]
    elif not found.rows:
        lines += ["", "no rows: there are no records in it; it counts as written"]
    lines += [f"{_ADJUSTED.get(name, name)}: {_counts(count)}" for name, count in found.adjusted.items()]
    return lines


def _counts(count: int | Mapping[str, int]) -> str:
    """Return a count, or counts by column."""
    return str(count) if isinstance(count, int) else ", ".join(f"{name} {each}" for name, each in count.items())


_ADJUSTED: Mapping[str, str] = {
    "timestamp_defaulted": "timestamps missing or unusable, the message's JetStream time put in their place",
    "clamped_by_column": "integers cut to their column's range",
}
