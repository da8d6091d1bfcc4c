"""
Values of mapped columns: from a path in the record, or from the message itself; pure.

The setting `map` is evaluated once, when a worker binds.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventwriter.errors import Fatal
from eventwriter.formats.json import clean_text
from eventwriter.model import Message, Record
from eventwriter.tables.raw_data import castable
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, RealColumn

Source = Callable[[Record, Message], Any]
"""(record, its message) → JSON value, or None if there is none."""

_HEADER = "$header."
_BYTE_ORDER_MARK = "\ufeff"
_INDEX = re.compile(r"\[([0-9]+)\]")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TIMES = ("timestamp with time zone", "timestamp without time zone", "date")
_NUMBERS = ("smallint", "integer", "bigint", "real", "double precision", "numeric")


def check_map(table: str, wanted: Any, columns: Mapping[str, RealColumn]) -> dict[str, str | None]:
    """
    Check the `map` of a stream entry and return it: column → path, or None for a column that is not written.

    Args:
        columns: The columns that can be filled, by name.

    Raises:
        Fatal: It names a column that does not exist or cannot be filled, or has a value that is not a path.
    """
    found: dict[str, str | None] = {}
    for name, path in (wanted or {}).items():
        if name not in columns:
            raise Fatal(
                f"table {table}: map names column {name}, which does not exist or cannot be filled; columns that can"
                f" be filled are {', '.join(columns)}"
            )
        if path and path.startswith("$") and not _is_metadata(path):
            raise Fatal(
                f"table {table}: map of column {name}: {path!r} is unknown; use a path such as a.b.c, or"
                " $subject, $sequence, $timestamp, $header.NAME or $payload"
            )
        # With "" or null the column keeps its default.
        found[name] = path or None
    return found


def _is_metadata(path: str) -> bool:
    return path in (*_METADATA, "$timestamp", "$payload") or (path.startswith(_HEADER) and len(path) > len(_HEADER))


def is_redacted(path: str, redact: frozenset[str]) -> bool:
    """Return whether a path leads to a value that is never stored."""
    return any(step.lower() in redact for step in (path, *_steps(path)))


def source(path: str, column: RealColumn, build: Build) -> Source:
    """Return the function that reads a path for a column."""
    if path == "$timestamp":
        return _timestamp(column.plain)
    if path == "$payload":
        return _payload(column.plain, build)
    if path.startswith(_HEADER):
        return _header(path[len(_HEADER) :])
    if path in _METADATA:
        return _METADATA[path]
    steps = _steps(path)
    return lambda record, _: value_at(record, path, steps)


def first_key(path: str) -> str | None:
    """Return the key of the record with which a path begins; None for metadata."""
    return None if path.startswith("$") else _steps(path)[0]


def _steps(path: str) -> list[str]:
    return _INDEX.sub(r".\1", path).split(".")


def value_at(record: Record, path: str, steps: Sequence[str]) -> Any:
    """
    Return the value at a path of keys and, in arrays, indexes from 0; None if there is none.

    A key that is spelled like the whole path is preferred, because flattened records have such keys.
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
    """Return the function that reads a header; of a repeated header the first value."""
    folded = name.lower()

    def read(_: Record, message: Message) -> str | None:
        headers = message.headers
        if not headers:
            return None
        value: Any = headers.get(name)
        if value is None:
            value = next((v for k, v in headers.items() if k.lower() == folded), None)
        if value.__class__ in (list, tuple):
            value = value[0] if value else None
        return None if value is None else clean_text(value)

    return read


def _timestamp(real: str) -> Source:
    """Return the JetStream timestamp: an instant for times, nanoseconds since 1970 for numbers, else ISO 8601."""
    if real in _TIMES:
        return lambda _, message: message.timestamp_ns // 1000
    if real in _NUMBERS:
        return lambda _, message: message.timestamp_ns
    return lambda _, message: (_EPOCH + dt.timedelta(microseconds=message.timestamp_ns // 1000)).isoformat()


def _payload(column: str, build: Build) -> Source:
    """Return the function that reads the payload as it was received, without secrets; of an array, the whole array."""
    redactor = Redactor(build.redact, build.adjustments)
    seen: Message | None = None
    kept: str | bytes = b""

    def read(_: Record, message: Message) -> str | bytes:
        nonlocal seen, kept
        if message is not seen:
            # Once per message, not once per record, because the search for secrets takes time.
            seen, kept = message, redactor.payload(message.payload, message.subject)
            if column != "bytea":
                kept = _payload_text(kept, column)
        return kept

    return read


def _payload_text(payload: bytes, column: str) -> str:
    text = clean_text(payload.decode("utf-8", "replace")).removeprefix(_BYTE_ORDER_MARK)
    return text.lstrip() if column in ("json", "jsonb") else castable(text)


_METADATA: Mapping[str, Source] = {
    "$subject": lambda _, message: clean_text(message.subject),
    "$sequence": lambda _, message: message.stream_seq,
}
