"""
Flows in the `netflow_metrics` that ServiceRadar had from February to April 2026.

Its addresses are `inet`, its key (time, addresses, protocol, ports) allows no NULL in
them, so an absent port or protocol is 0 there; what has no column goes to `metadata`.
Different flows may be alike in that key (two exporters saw one), so it is no identity of
ours: a flow whose key is taken is a dead letter, unless `on_conflict` says otherwise.
"""

from typing import Any

from eventwriter.formats.fields import INT4, find, integer, json_value, names
from eventwriter.formats.flow.ocsf import as_flow, is_ocsf
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.netflow.flow import flow, when
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import int4_array, redacted_jsonb, redacted_text

_AS_PATH, _COMMUNITIES = names("as_path"), names("bgp_communities")


def _numbers(value: Any, adjustments: Adjustments) -> tuple[bytes | None, bool]:
    """Return a list as `integer[]`, and whether each of its elements is in it as it was."""
    given = json_value(value)
    if not isinstance(given, list) or not given:
        return None, given is None
    found = [number for one in given if (number := integer(one, INT4, adjustments)) is not None]
    return int4_array(found), found == given


def inet_builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a flow."""
    adjustments, json_column, readable = build.adjustments, redacted_jsonb(build.redact), redacted_text(build.redact)

    def row(record: Record, message: Message, _index: int) -> Row:
        if "src_addr" not in record and is_ocsf(record):
            record = as_flow(record)
        one = flow(record, adjustments, readable)
        lists = [_numbers(find(record, keys), adjustments) for keys in (_AS_PATH, _COMMUNITIES)]
        partition = readable(record.get("partition"))
        # Numbers of four bytes beyond int4's range are cut in the column; the list as it came stays in metadata.
        whole = {key for keys, (_, exact) in zip((_AS_PATH, _COMMUNITIES), lists, strict=True) if exact for key in keys}
        named = zip(("gateway_id", "agent_id", "device_id", "flow_direction"), one[:4], strict=True)
        interfaces = (("input_snmp", one.input_snmp), ("output_snmp", one.output_snmp))
        metadata = {key: value for key, value in (*named, *interfaces) if value is not None}
        metadata |= {key: value for key, value in one.rest.items() if key not in whole and key != "partition"}
        return (
            when(record, message, adjustments),
            one.src_addr or None,
            one.dst_addr or None,
            one.sampler_address or None,
            one.src_port or 0,
            one.dst_port or 0,
            one.protocol or 0,
            one.octets,
            one.packets,
            lists[0][0],
            lists[1][0],
            partition or "default",
            json_column(metadata) if metadata else None,
        )

    return row


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
    """Return the function that makes a row of a flow."""
    adjustments, json_column, readable = build.adjustments, redacted_jsonb(build.redact), redacted_text(build.redact)

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message.
        if "src_addr" not in record and is_ocsf(record):
            record = as_flow(record)
        *fields, rest = flow(record, adjustments, readable)
        return (when(record, message, adjustments), *fields, json_column(rest) if rest else None)

    return row


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
