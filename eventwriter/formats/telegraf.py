"""
Metrics of Telegraf's JSON output: several fields under one name, alone or in a batch.

Source: Telegraf, "JSON serializer".
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from eventwriter.errors import Poison
from eventwriter.formats.json import check_count
from eventwriter.model import Record

_BATCH = "metrics"
_KEYS = frozenset({"name", "tags", "fields", "timestamp"})
_NUMERIC = frozenset({int, float, bool})


class Value(NamedTuple):
    """One numeric field of a metric."""

    name: str
    """Name of the metric and of the field, joined by an underscore."""
    value: Any
    timestamp: Any
    tags: dict[str, Any]
    texts: dict[str, Any]
    """The fields of the metric that are not numbers. Every value of the metric has them."""


def is_telegraf(record: Record) -> bool:
    """Return whether an object is a metric of Telegraf or a batch of them."""
    if record.get("fields").__class__ is dict and "name" in record:
        return _KEYS.issuperset(record)
    batch = record.get(_BATCH)
    return (
        batch.__class__ is list
        and len(record) == 1
        and all(metric.__class__ is dict and metric.get("fields").__class__ is dict for metric in batch)
    )


def values(record: Record) -> Iterator[Value]:
    """
    Return the values of a metric or of a batch.

    Raises:
        Poison: `missing_field` for a metric without a numeric field or without a name; `malformed`.
    """
    for metric in record.get(_BATCH, (record,)):
        yield from _values(metric)


def telemetry(records: list[Record]) -> list[Record]:
    """
    Return records of telemetry in which each value of Telegraf's metrics is a record; others stay as they are.

    Raises:
        Poison: As for `values`; `too_large`.
    """
    found: list[Record] = []
    for index, record in enumerate(records):
        if not is_telegraf(record):
            found.append(record)
            continue
        try:
            found += map(_measurement, values(record))
        except Poison as poison:
            if len(records) == 1:
                raise
            raise Poison(poison.reason, f"element {index}: {poison.detail}") from None
        check_count(len(found), ())
    return found


def _measurement(value: Value) -> Record:
    record: Record = {"metric_name": value.name, "value": value.value, "timestamp": value.timestamp}
    return record | ({"tags": value.tags} if value.tags else {}) | ({"metadata": value.texts} if value.texts else {})


def _values(metric: Record) -> Iterator[Value]:
    name, fields, tags = metric.get("name"), metric["fields"], metric.get("tags") or {}
    if not _KEYS.issuperset(metric) or tags.__class__ is not dict:
        raise Poison("malformed", f"a metric of Telegraf has other keys than {', '.join(sorted(_KEYS))}")
    if name.__class__ is not str or not name:
        raise Poison("missing_field", "a metric of Telegraf has no name")
    numbers = {key: value for key, value in fields.items() if value.__class__ in _NUMERIC}
    if not numbers:
        raise Poison("missing_field", f"metric {name!r} of Telegraf has no numeric field")
    texts = {key: value for key, value in fields.items() if key not in numbers}
    for key, value in numbers.items():
        yield Value(f"{name}_{key}", value, metric.get("timestamp"), tags, texts)
