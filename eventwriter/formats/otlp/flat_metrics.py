"""
Metrics in JSON forms other than OTLP: flat objects such as those derived from spans, and Telegraf's.

A flat metric has the columns of the table as its keys, in snake_case or camelCase. Its labels, tags and further keys
become attributes, which are a part of its identity. Values keep the types of the payload, which the table converts.
"""

from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats import telegraf
from eventwriter.formats.fields import find, json_value, names
from eventwriter.formats.otlp.json import id_text
from eventwriter.model import Record, Records

FIELDS = (
    "timestamp", "trace_id", "span_id", "service_name", "span_name", "span_kind", "duration_ms", "duration_seconds",
    "metric_type", "http_method", "http_route", "http_status_code", "grpc_service", "grpc_method", "grpc_status_code",
    "is_slow", "component", "level", "unit", "value", "count", "sum", "min", "max", "buckets", "quantiles",
    "attributes", "resource_attributes", "scope_name", "scope_version", "temporality", "is_monotonic",
    "start_timestamp",
)  # fmt: skip
"""Keys of a flat metric's record."""

_MORE_NAMES = {"span_name": ("metric_name", "metricName", "name"), "metric_type": ("type",)}
_ALIASES = tuple((field, names(field, *_MORE_NAMES.get(field, ()))) for field in FIELDS)
_KEYS = frozenset(key for _, keys in _ALIASES for key in keys)
_NUMBERS = ("duration_ms", "duration_seconds", "value", "count", "sum", "min", "max", "buckets", "quantiles")
_NUMBER_KEYS = frozenset(key for field, keys in _ALIASES if field in _NUMBERS for key in keys)
_MARKS = frozenset(
    key
    for field, keys in _ALIASES
    if field in ("span_name", "metric_type", "trace_id", "span_id", "service_name")
    for key in keys
)
"""Keys of which an object without a number must have one to be called a metric that lacks its number."""
_LABELS = ("labels", "tags")
_EMPTY: Record = dict.fromkeys(FIELDS)


def read_metric(metric: Record, records: Records) -> None:
    """
    Add the record of a flat metric, or those of Telegraf's.

    Raises:
        Poison: `unknown_shape` for an object that is not a metric; `missing_field` for a metric without a number.
    """
    # Hot for metrics derived from spans: once per record.
    if metric.get("duration_ms") is not None or any(metric.get(key) is not None for key in _NUMBER_KEYS):
        records.append(_record(metric))
    elif telegraf.is_telegraf(metric):
        for value in telegraf.values(metric):
            records.append(_record(_from_telegraf(value)))
    else:
        raise _without_number(metric)


def _without_number(metric: Record) -> Poison:
    if _MARKS.isdisjoint(metric):
        keys = ", ".join(sorted(metric)[:20]) or "no key at all"
        return Poison(
            "unknown_shape",
            f"the object is neither an OTLP/JSON export nor a metric: it has none of {', '.join(_NUMBERS)}, but {keys}",
        )
    return Poison("missing_field", f"a metric has no number: none of {', '.join(_NUMBERS)}")


def _record(metric: Record) -> Record:
    record = _EMPTY.copy()
    record.update(metric)
    if len(record) != len(FIELDS):  # other keys than those of the fields in snake_case
        record = {field: find(metric, keys) for field, keys in _ALIASES}
        if not _KEYS.issuperset(metric):
            record["attributes"] = _with_labels(metric, record["attributes"])
    record["trace_id"], record["span_id"] = id_text(record["trace_id"]), id_text(record["span_id"])
    return record


def _with_labels(metric: Record, attributes: Any) -> Any:
    """Return the attributes with labels, tags, and further keys; attributes win over keys of the same name."""
    found = {key: value for key, value in metric.items() if key not in _KEYS and value is not None}
    for key in _LABELS:
        if (labels := json_value(found.get(key))).__class__ is dict:
            del found[key]
            found |= labels
    own = json_value(attributes)
    if own is None:
        return found or None
    return {**found, **own} if own.__class__ is dict else {**found, "attributes": own}


def _from_telegraf(value: telegraf.Value) -> Record:
    return {
        "span_name": value.name,
        "metric_type": "gauge",
        "timestamp": value.timestamp,
        "value": value.value,
        "attributes": value.tags | value.texts,
    }
