"""What sweeps found, one row for each host and time."""

from typing import Any

from eventwriter.model import Message, Record
from eventwriter.tables.sweep import sweep_reader
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import redacted_jsonb, redacted_text, timestamp


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a host's state."""
    adjustments, json_column = build.adjustments, redacted_jsonb(build.redact)
    read = sweep_reader(adjustments, redacted_text(build.redact))

    def filled(value: Any) -> bytes | None:
        """Make jsonb; an empty list, object or text is NULL."""
        return json_column(value) if value not in ([], {}, "", None) else None

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message.
        one = read(record)
        # What has no column here (execution ids, configuration hashes) is kept with the metadata.
        metadata = _together(one.metadata, one.rest) if one.rest else one.metadata
        return (
            one.host_ip,
            one.gateway_id or "unknown",
            one.agent_id or "unknown",
            one.partition or "default",
            one.network_cidr,
            one.hostname,
            one.mac,
            one.icmp_available,
            one.icmp_response_time_ns,
            one.icmp_packet_loss,
            filled(one.tcp_ports_scanned),
            filled(one.tcp_ports_open),
            filled(one.port_scan_results),
            timestamp(one.last_sweep_time, message, adjustments),
            timestamp(one.first_seen, message, adjustments),
            filled(metadata),
        )

    return row


def _together(metadata: Any, rest: Record) -> Record:
    if metadata is None:
        return rest
    return {**rest, **(metadata if isinstance(metadata, dict) else {"metadata": metadata})}


SWEEP_HOST_STATES = Table(
    name="sweep_host_states",
    columns=(
        Column("host_ip", "text", not_null=True),
        Column("gateway_id", "text", not_null=True, former_names=("poller_id",)),
        Column("agent_id", "text", not_null=True),
        Column("partition", "text", not_null=True),
        Column("network_cidr", "text"),
        Column("hostname", "text"),
        Column("mac", "text"),
        Column("icmp_available", "bool"),
        Column("icmp_response_time_ns", "int8"),
        Column("icmp_packet_loss", "float8"),
        Column("tcp_ports_scanned", "jsonb"),
        Column("tcp_ports_open", "jsonb"),
        Column("port_scan_results", "jsonb"),
        Column("last_sweep_time", "timestamptz", not_null=True),
        Column("first_seen", "timestamptz"),
        Column("metadata", "jsonb"),
    ),
    builder=builder,
    time_column="last_sweep_time",
    key=("host_ip", "gateway_id", "partition", "last_sweep_time"),
    conflict="nothing",
)
