"""
Where a mapped column's value comes from: a path in the record, or the message itself; pure.

What the configuration's `map` says is read once, when a worker binds.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventwriter.errors import Fatal
from eventwriter.formats.json import clean_text
from eventwriter.model import Message, Record
from eventwriter.tables.table import RealColumn
from eventwriter.tables.values import redacted_text

Source = Callable[[Record, Message], Any]
"""(record, its message) → the value, as JSON would have it; None where there is none."""

_HEADER = "$header."
_BEFORE_JSON = "\ufeff \t\r\n"
_INDEX = re.compile(r"\[([0-9]+)\]")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TIMES = ("timestamp with time zone", "timestamp without time zone", "date")
_NUMBERS = ("smallint", "integer", "bigint", "real", "double precision", "numeric")


def check_map(table: str, wanted: Any, columns: Mapping[str, RealColumn]) -> dict[str, str | None]:
    """
    Return the `map` of a stream's entry.

    Args:
        columns: Those that can be filled, by name.

    Raises:
        Fatal: It names a column that is not there or cannot be filled, or something else than a path.
    """
    found: dict[str, str | None] = {}
    for name, path in (wanted or {}).items():
        if name not in columns:
            raise Fatal(
                f"table {table}: map names column {name}, which the table does not have or eventwriter cannot fill;"
                f" it can fill {', '.join(columns)}"
            )
        if path and path.startswith("$") and not _is_metadata(path):
            raise Fatal(
                f"table {table}: map of column {name}: {path!r} is not known; allowed are a path like a.b.c, and"
                " $subject, $sequence, $timestamp, $header.NAME, $payload"
            )
        # Nothing, as "" or null: the column keeps its default.
        found[name] = path or None
    return found


def _is_metadata(path: str) -> bool:
    return path in (*_METADATA, "$timestamp", "$payload") or (path.startswith(_HEADER) and len(path) > len(_HEADER))


def is_redacted(path: str, redact: frozenset[str]) -> bool:
    """Say whether a path leads to what is never stored."""
    return any(step.lower() in redact for step in (path, *_steps(path)))


def source(path: str, column: RealColumn, redact: frozenset[str]) -> Source:
    """Return the reader of a path, for a column of this type."""
    if path == "$timestamp":
        return _timestamp(column.plain)
    if path == "$payload":
        return _payload(column.plain == "bytea", redact)
    if path.startswith(_HEADER):
        return _header(path[len(_HEADER) :])
    if path in _METADATA:
        return _METADATA[path]
    steps = _steps(path)
    return lambda record, _: value_at(record, path, steps)


def first_key(path: str) -> str | None:
    """Return the record's key that a path begins with; None for metadata."""
    return None if path.startswith("$") else _steps(path)[0]


def _steps(path: str) -> list[str]:
    return _INDEX.sub(r".\1", path).split(".")


def value_at(record: Record, path: str, steps: Sequence[str]) -> Any:
    """
    Return what is at a path: keys, and indexes from 0 in arrays; None where there is nothing.

    A key that is spelled like the whole path goes first: flattened records have such.
    """
    if path in record:
        return record[path]
    value: Any = record
    for step in steps:
        if value.__class__ is dict:
            value = value.get(step)
        elif value.__class__ is list and step.isdecimal() and len(step) < 10 and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _header(name: str) -> Source:
    folded = name.lower()

    def read(_: Record, message: Message) -> str | None:
        headers = message.headers
        if not headers:
            return None
        value = headers.get(name)
        if value is None:
            value = next((v for k, v in headers.items() if k.lower() == folded), None)
        return None if value is None else clean_text(value)

    return read


def _timestamp(real: str) -> Source:
    """JetStream's timestamp: an instant for times, nanoseconds since 1970 for numbers, ISO 8601 for the rest."""
    if real in _TIMES:
        return lambda _, message: message.timestamp_ns // 1000
    if real in _NUMBERS:
        return lambda _, message: message.timestamp_ns
    return lambda _, message: (_EPOCH + dt.timedelta(microseconds=message.timestamp_ns // 1000)).isoformat()


def _payload(as_bytes: bool, redact: frozenset[str]) -> Source:
    """The payload as it came, but without secrets; a record of an array gets the whole of it."""
    kept = redacted_text(redact)
    seen: Message | None = None
    found: str | bytes = ""

    def read(_: Record, message: Message) -> str | bytes:
        nonlocal seen, found
        if message is not seen:
            # Once a message, not once a record: looking for secrets takes time.
            whole = kept(message.payload.decode("utf-8", "replace").lstrip(_BEFORE_JSON)) or ""
            seen, found = message, whole.encode() if as_bytes else clean_text(whole)
        return found

    return read


_METADATA: Mapping[str, Source] = {
    "$subject": lambda _, message: clean_text(message.subject),
    "$sequence": lambda _, message: message.stream_seq,
}
