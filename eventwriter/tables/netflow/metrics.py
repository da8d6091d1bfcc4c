"""
Flows in the two tables that ServiceRadar has called `netflow_metrics`.

The table of February to April 2026 has `inet` addresses. Its key (time, addresses, protocol, ports) does not
allow NULL, so an absent port or protocol is stored as 0, and a flow without IP addresses is ignored and counted. Fields
without a column go to `metadata`. Different flows may have the same key, because two exporters may report one
flow. The key is therefore not an identity of ours: a flow whose key exists becomes a dead letter, unless
`on_conflict` says otherwise.
"""

from typing import Any

from eventwriter.formats.fields import INT4, INT8, find, integer, json_value, names, text, whole
from eventwriter.formats.flow.ocsf import as_flow, is_ocsf
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.netflow.flow import Flow, flow
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import IGNORED, Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import int4_array, jsonb

_AS_PATH, _COMMUNITIES = names("as_path"), names("bgp_communities")
_INTEGERS = (
    ("src_port", INT4), ("dst_port", INT4), ("protocol", INT4), ("packets", INT8), ("octets", INT8),
    ("input_snmp", INT4), ("output_snmp", INT4),
)  # fmt: skip
"""Columns and their limits."""
_INT4_MAX, _INT8_MAX = INT4[1], INT8[1]


def _integers(value: Any, adjustments: Adjustments, column: str) -> tuple[bytes | None, bool]:
    """Return a list as `integer[]`, and whether the array has each element unchanged."""
    elements = json_value(value)
    if not isinstance(elements, list) or not elements:
        return None, elements is None
    converted = [integer(element, INT4, adjustments, column) for element in elements]
    integers = [number for number in converted if number is not None]
    return int4_array(integers), integers == [whole(element) for element in elements]


def inet_builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a flow in the table with `inet` addresses."""
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments)

    def row(record: Record, message: Message, _index: int) -> Row:
        if redactor.active:
            record = redactor.clean(record, message)
        if "src_addr" not in record and is_ocsf(record):
            record = as_flow(record)
        one = flow(record, message, adjustments)
        if not one.src_addr and not one.dst_addr:
            adjustments.records_ignored += 1
            return IGNORED
        one = _clamped(one, adjustments)
        as_path = _integers(find(one.rest, _AS_PATH), adjustments, "as_path")
        communities = _integers(find(one.rest, _COMMUNITIES), adjustments, "bgp_communities")
        stored = {"partition", *(_AS_PATH if as_path[1] else ()), *(_COMMUNITIES if communities[1] else ())}
        metadata = {name: value for name in _METADATA if (value := getattr(one, name)) is not None}
        if one.direction is not None:
            metadata["flow_direction"] = one.direction
        metadata |= {key: value for key, value in one.rest.items() if key not in stored}
        return (
            one.time,
            one.src_addr or None,
            one.dst_addr or None,
            one.sampler_address or None,
            one.src_port or 0,
            one.dst_port or 0,
            one.protocol or 0,
            one.octets,
            one.packets,
            as_path[0],
            communities[0],
            text(one.rest.get("partition")) or "default",
            jsonb(metadata) if metadata else None,
        )

    return row


_METADATA = ("gateway_id", "agent_id", "device_id", "input_snmp", "output_snmp")
"""Fields of a flow for which the table with `inet` addresses has no column."""


NETFLOW_METRICS_INET = Table(
    name="netflow_metrics",
    columns=(
        Column("timestamp", "timestamptz", not_null=True),
        Column("src_ip", "text"),
        Column("dst_ip", "text"),
        Column("sampler_address", "text"),
        Column("src_port", "int4", not_null=True),
        Column("dst_port", "int4", not_null=True),
        Column("protocol", "int4", not_null=True),
        Column("bytes_total", "int8"),
        Column("packets_total", "int8"),
        Column("as_path", "int4[]"),
        Column("bgp_communities", "int4[]"),
        Column("partition", "text", not_null=True),
        Column("metadata", "jsonb"),
    ),
    builder=inet_builder,
    time_column="timestamp",
)


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a flow."""
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message.
        if clean is not None:
            record = clean(record, message)
        if "src_addr" not in record and is_ocsf(record):
            record = as_flow(record)
        one = flow(record, message, adjustments)
        _, _, _, _, _, _, src_port, dst_port, protocol, packets, octets, _, input_snmp, output_snmp, rest, time = one
        if not (
            (src_port is None or 0 <= src_port <= _INT4_MAX)
            and (dst_port is None or 0 <= dst_port <= _INT4_MAX)
            and (protocol is None or 0 <= protocol <= _INT4_MAX)
            and (packets is None or 0 <= packets <= _INT8_MAX)
            and (octets is None or 0 <= octets <= _INT8_MAX)
            and (input_snmp is None or 0 <= input_snmp <= _INT4_MAX)
            and (output_snmp is None or 0 <= output_snmp <= _INT4_MAX)
        ):
            one = _clamped(one, adjustments)
            rest = one.rest
        return (time, *one[:14], jsonb(rest) if rest else None)

    return row


def _clamped(one: Flow, adjustments: Adjustments) -> Flow:
    """Return a flow whose integers fit their columns; the original values are added to the remaining fields."""
    changes: dict[str, Any] = {}
    rest = dict(one.rest)
    for column, limits in _INTEGERS:
        value = getattr(one, column)
        if value is not None and not limits[0] <= value <= limits[1]:
            rest[column] = value
            changes[column] = integer(value, limits, adjustments, column)
    return one._replace(rest=rest, **changes)


NETFLOW_METRICS = Table(
    name="netflow_metrics",
    columns=(
        Column("timestamp", "timestamptz", not_null=True),
        Column("gateway_id", "text", former_names=("poller_id",)),
        Column("agent_id", "text"),
        Column("device_id", "text"),
        Column("flow_direction", "text"),
        Column("src_addr", "text"),
        Column("dst_addr", "text"),
        Column("src_port", "int4"),
        Column("dst_port", "int4"),
        Column("protocol", "int4"),
        Column("packets", "int8"),
        Column("octets", "int8"),
        Column("sampler_address", "text"),
        Column("input_snmp", "int4"),
        Column("output_snmp", "int4"),
        Column("metadata", "jsonb"),
    ),
    builder=builder,
    time_column="timestamp",
    variants={"src_ip": NETFLOW_METRICS_INET},
)
