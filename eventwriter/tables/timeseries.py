"""Telemetry samples in `timeseries_metrics`: one row per record."""

import hashlib
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, LATEST_US, json_value, names, number, text
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.record_reader import RecordReader, with_rest
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import POSTGRES_EPOCH_US, instant_or_default, jsonb, optional_instant, parsed_jsonb

_TIMESTAMP = names("timestamp", "time", "ts", "@timestamp", "time_unix_nano", "timeUnixNano")
_GATEWAY = names("gateway_id", "poller_id", "pollerId")
_NAME = names("metric_name", "name")
_TYPE = names("metric_type", "type")
_SCALE = ("scale",)

_USUAL = frozenset(
    ("timestamp", "gateway_id", "agent_id", "metric_name", "metric_type", "device_id", "value", "unit", "tags",
     "partition", "metadata")
)  # fmt: skip
_RARE = ("scale", "is_delta", "target_device_ip", "if_index")
_USUAL_OR_RARE = _USUAL.union(_RARE)
"""Keys of the records that are read without a `RecordReader`."""
_NO_RARE = (None, False, None, None)
_INT4_MAX = INT4[1]

_SERIES_TAGS_IGNORED = frozenset({"available", "metric", "packet_loss"})
"""Tags that are measurements and do not identify a series."""


def series_key(parts: list[tuple[str, str | None]], tags: Any) -> str:
    """
    Return the identity of a series: the md5 of its named, non-blank parts.

    Each part is ``<bytes of name>:<name>=<bytes of value>:<value>``, joined by ``|``;
    the sorted tags follow as ``tag:<key>``. The result equals that of the database function
    that ServiceRadar ships, so that rows of both writers have the same key.
    """
    named = list(parts)
    if isinstance(tags, dict):
        named += [(f"tag:{k}", text(tags[k])) for k in sorted(tags) if k not in _SERIES_TAGS_IGNORED]
    pieces = []
    for name, value in named:
        trimmed = (value or "").strip()
        if trimmed:
            pieces.append(f"{len(name.encode())}:{name}={len(trimmed.encode())}:{trimmed}")
    return hashlib.md5("|".join(pieces).encode(), usedforsecurity=False).hexdigest()


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a telemetry record."""
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None
    is_usual, is_usual_or_rare = _USUAL.issuperset, _USUAL_OR_RARE.issuperset

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message. Records with the usual keys and types are read here, others by `_search`.
        if clean is not None:
            record = clean(record, message)
        rare: tuple[Any, ...] = _NO_RARE
        if not is_usual(record):
            rare = _rare(record) if is_usual_or_rare(record) else ()
            if not rare:
                return _search(record, message, adjustments)
        get = record.get
        time, value, tags, metadata = get("timestamp"), get("value"), get("tags"), get("metadata")
        gateway, agent, name = get("gateway_id"), get("agent_id"), get("metric_name")
        kind, device, unit, partition = get("metric_type"), get("device_id"), get("unit"), get("partition")
        if time.__class__ is int and 100_000_000_000_000 <= time < LATEST_US:
            at: int | None = time - POSTGRES_EPOCH_US
        else:
            at = optional_instant(time)
        if (
            at is None
            or not (value.__class__ is float or value.__class__ is int)
            or (gateway.__class__ is not str and gateway is not None)
            or (agent.__class__ is not str and agent is not None)
            or (name.__class__ is not str and name is not None)
            or (kind.__class__ is not str and kind is not None)
            or (device.__class__ is not str and device is not None)
            or (unit.__class__ is not str and unit is not None)
            or (partition.__class__ is not str and partition is not None)
        ):
            return _search(record, message, adjustments)
        return (
            at,
            gateway or "unknown",
            agent,
            name or "unknown",
            kind or "gauge",
            device,
            value if value.__class__ is float else measurement(value),
            unit,
            None if tags is None else parsed_jsonb(tags),
            partition,
            *rare,
            None if metadata is None else parsed_jsonb(metadata),
            None,
        )

    def keyed_row(record: Record, message: Message, index: int) -> Row:
        if clean is not None:
            record = clean(record, message)
        columns = row(record, message, index)
        return (*columns[:-1], _series_key_of(columns, json_value(record.get("tags"))))

    return keyed_row if "series_key" in build.columns else row


def _rare(record: Record) -> tuple[Any, ...]:
    """Return the columns of `_RARE` if their values have the usual types, otherwise an empty tuple."""
    scale, is_delta, target_ip, if_index = map(record.get, _RARE)
    if (
        (scale is not None and scale.__class__ is not float)
        or (is_delta is not None and is_delta.__class__ is not bool)
        or (target_ip is not None and target_ip.__class__ is not str)
        or (if_index is not None and not (if_index.__class__ is int and 0 <= if_index <= _INT4_MAX))
    ):
        return ()
    return scale, is_delta or False, target_ip, if_index


def _search(record: Record, message: Message, adjustments: Adjustments) -> Row:
    """Build the row of any record; fields without a column are added to the metadata."""
    reader = RecordReader(record, adjustments)
    value = measurement(reader.rest.pop("value", None))
    time = reader.instant_us("timestamp", _TIMESTAMP)
    is_delta = reader.boolean("is_delta", names("is_delta"))
    tags, metadata = reader.json("tags"), reader.json("metadata")
    row = (
        instant_or_default(time, message, adjustments),
        reader.filled_text(_GATEWAY) or "unknown",
        reader.text(names("agent_id")),
        reader.filled_text(_NAME) or "unknown",
        reader.filled_text(_TYPE) or "gauge",
        reader.text(names("device_id")),
        value,
        reader.text(("unit",)),
        jsonb(tags),
        reader.text(("partition",)),
        reader.number("scale", _SCALE),
        is_delta if is_delta is not None else False,
        reader.text(names("target_device_ip")),
        reader.integer("if_index", names("if_index"), INT4),
    )
    return (*row, jsonb(with_rest(metadata, reader.remaining(), "metadata")), None)


def measurement(value: Any) -> float:
    """
    Return the value of a measurement; a boolean is 1 or 0.

    Raises:
        Poison: `missing_field` or `bad_value`; nothing can replace a measurement.
    """
    if value is None:
        raise Poison("missing_field", "value is missing; a measurement cannot have a default")
    converted = float(value) if value.__class__ is bool else number(value)
    if converted is None:
        raise Poison("bad_value", f"value {text(value)!r} is not a number that a double precision column can hold")
    return converted


def _series_key_of(columns: Row, tags: Any) -> str:
    _, _, agent, name, kind, device, _, _, _, partition, _, _, target_ip, if_index, *_ = columns
    named = [
        ("metric_type", kind),
        ("metric_name", name),
        ("partition", partition),
        ("agent_id", agent),
        ("device_id", device),
        ("target_device_ip", target_ip),
        ("if_index", None if if_index is None else str(if_index)),
    ]
    return series_key(named, tags)


TIMESERIES_METRICS = Table(
    name="timeseries_metrics",
    columns=(
        Column("timestamp", "timestamptz", not_null=True),
        Column("gateway_id", "text", not_null=True, former_names=("poller_id",)),
        Column("agent_id", "text"),
        Column("metric_name", "text", not_null=True),
        Column("metric_type", "text", not_null=True),
        Column("device_id", "text"),
        Column("value", "float8", not_null=True),
        Column("unit", "text"),
        Column("tags", "jsonb"),
        Column("partition", "text"),
        Column("scale", "float8"),
        Column("is_delta", "bool"),
        Column("target_device_ip", "text"),
        Column("if_index", "int4"),
        Column("metadata", "jsonb"),
        Column("series_key", "text", derived=True),
    ),
    builder=builder,
    time_column="timestamp",
)
