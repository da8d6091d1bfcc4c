"""Telemetry samples: one row a record."""

import hashlib
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, boolean, find, integer, json_value, names, number, text, text_of
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import redacted_jsonb, secret_finder, timestamp, without

_GATEWAY = names("gateway_id", "poller_id", "pollerId")
_AGENT = names("agent_id")
_NAME = names("metric_name", "name")
_TYPE = names("metric_type", "type")
_DEVICE = names("device_id")
_IS_DELTA = names("is_delta")
_TARGET_IP = names("target_device_ip")
_IF_INDEX = names("if_index")

_RARE = frozenset({"scale", *_IS_DELTA, *_TARGET_IP, *_IF_INDEX})
"""Fields that few samples have; one look says whether any of them is there."""
_NO_RARE = (None, False, None, None)

_SERIES_TAGS_LEFT_OUT = frozenset({"available", "metric", "packet_loss"})
"""Tags that are measurements, not identity."""


def series_key(parts: list[tuple[str, str | None]], tags: Any) -> str:
    """
    Return the identity of a series: the md5 of its named, non-blank parts.

    Each part is ``<bytes of name>:<name>=<bytes of value>:<value>``, joined by ``|``;
    the tags follow, sorted, as ``tag:<key>``. The same as the database function that
    ServiceRadar ships, so that rows of both writers meet.
    """
    named = list(parts)
    if isinstance(tags, dict):
        named += [(f"tag:{k}", text(tags[k])) for k in sorted(tags) if k not in _SERIES_TAGS_LEFT_OUT]
    pieces = []
    for name, value in named:
        trimmed = (value or "").strip()
        if trimmed:
            pieces.append(f"{len(name.encode())}:{name}={len(trimmed.encode())}:{trimmed}")
    return hashlib.md5("|".join(pieces).encode(), usedforsecurity=False).hexdigest()


def builder(build: Build) -> RowBuilder:  # noqa: C901  # hot: a branch for each column, no call
    """Return the function that makes a row of a telemetry record."""
    adjustments, redact = build.adjustments, build.redact
    may_hold_secrets, nothing_rare = secret_finder(redact), _RARE.isdisjoint
    json_column = redacted_jsonb(frozenset())  # secrets are left out of the record as a whole, before

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message. A field of the usual name and type is taken as it is; all else goes through `text_of`.
        if may_hold_secrets(message.payload):
            record = without(record, redact)
        get = record.get
        value = get("value")
        if value.__class__ is not float:
            value = _measured(value)
        if (gateway := get("gateway_id")).__class__ is not str:
            gateway = text_of(record, _GATEWAY)
        if (agent := get("agent_id")).__class__ is not str:
            agent = text_of(record, _AGENT)
        if (name := get("metric_name")).__class__ is not str:
            name = text_of(record, _NAME)
        if (kind := get("metric_type")).__class__ is not str:
            kind = text_of(record, _TYPE)
        if (device := get("device_id")).__class__ is not str:
            device = text_of(record, _DEVICE)
        if (unit := get("unit")).__class__ is not str:
            unit = text(unit)
        if (partition := get("partition")).__class__ is not str:
            partition = text(partition)
        scale, is_delta, target_ip, if_index = _NO_RARE if nothing_rare(record) else _rare(record, adjustments)
        return (
            timestamp(get("timestamp"), message, adjustments),
            gateway or "unknown",
            agent,
            name or "unknown",
            kind or "gauge",
            device,
            value,
            unit,
            json_column(get("tags")),
            partition,
            scale,
            is_delta,
            target_ip,
            if_index,
            json_column(get("metadata")),
            None,
        )

    def keyed_row(record: Record, message: Message, index: int) -> Row:
        columns = row(record, message, index)
        return (*columns[:-1], _series_key_of(columns, without(json_value(record.get("tags")), redact)))

    return keyed_row if "series_key" in build.columns else row


def _rare(record: Record, adjustments: Adjustments) -> tuple[float | None, bool | None, str | None, int | None]:
    return (
        number(record.get("scale")),
        boolean(find(record, _IS_DELTA), False),
        text_of(record, _TARGET_IP),
        integer(find(record, _IF_INDEX), INT4, adjustments),
    )


def _measured(given: Any) -> float:
    """Return the measurement; it is what the message is about, so nothing is put in its place."""
    if given is None:
        raise Poison("missing_field", "value is missing: it is the measurement itself")
    value = number(given)
    if value is None:
        raise Poison("bad_value", f"value {text(given)!r} is no number: it is the measurement itself")
    return value


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
