"""Telemetry samples: one row a record."""

import hashlib
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import (
    INT4,
    boolean,
    find,
    integer,
    json_value,
    jsonb,
    names,
    number,
    text,
    timestamp,
    without,
)
from eventwriter.model import Message, Record
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table

_GATEWAY = names("gateway_id", "poller_id", "pollerId")
_AGENT = names("agent_id")
_NAME = names("metric_name", "name")
_TYPE = names("metric_type", "type")
_DEVICE = names("device_id")
_IS_DELTA = names("is_delta")
_TARGET_IP = names("target_device_ip")
_IF_INDEX = names("if_index")

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


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a telemetry record."""
    tally, redact = build.tally, build.redact
    keyed = "series_key" in build.columns

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message.
        given = record.get("value")
        if given is None:
            raise Poison("missing_field", "value is missing: it is the measurement itself")
        value = given if given.__class__ is float else number(given)
        if value is None:
            raise Poison("bad_value", f"value {text(given)!r} is no number: it is the measurement itself")
        name = text(find(record, _NAME)) or "unknown"
        kind = text(find(record, _TYPE)) or "gauge"
        agent, device = text(find(record, _AGENT)), text(find(record, _DEVICE))
        partition, target_ip = text(record.get("partition")), text(find(record, _TARGET_IP))
        if_index = integer(find(record, _IF_INDEX), INT4, tally)
        tags, metadata = record.get("tags"), record.get("metadata")
        if tags is not None:
            tags = without(json_value(tags), redact)
        if metadata is not None:
            metadata = without(json_value(metadata), redact)
        return (
            timestamp(record.get("timestamp"), message, tally),
            text(find(record, _GATEWAY)) or "unknown",
            agent,
            name,
            kind,
            device,
            value,
            text(record.get("unit")),
            jsonb(tags),
            partition,
            number(record.get("scale")),
            boolean(find(record, _IS_DELTA), False),
            target_ip,
            if_index,
            jsonb(metadata),
            series_key(
                [
                    ("metric_type", kind),
                    ("metric_name", name),
                    ("partition", partition),
                    ("agent_id", agent),
                    ("device_id", device),
                    ("target_device_ip", target_ip),
                    ("if_index", None if if_index is None else str(if_index)),
                ],
                tags,
            )
            if keyed
            else None,
        )

    return row


TIMESERIES_METRICS = Table(
    name="timeseries_metrics",
    columns=(
        Column("timestamp", "timestamptz", not_null=True),
        Column("gateway_id", "text", not_null=True, also=("poller_id",)),
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
