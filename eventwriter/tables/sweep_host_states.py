"""Hosts as sweeps report them, one row for each host and time."""

from typing import Any

from eventwriter.formats.fields import instant_us
from eventwriter.model import Message, Record
from eventwriter.tables.record_reader import with_rest
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.sweep import host_state
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import instant_or_default, jsonb


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a host."""
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message.
        if clean is not None:
            record = clean(record, message)
        state = host_state(record, adjustments)
        rest, first_seen = state.rest, state.first_seen
        first_seen_us = instant_us(first_seen)
        if first_seen_us is None and first_seen is not None:
            adjustments.nulled_by_column.add("first_seen")
            rest = {**rest, "first_seen": first_seen}
        return (
            state.host_ip,
            state.gateway_id or "unknown",
            state.agent_id or "unknown",
            state.partition or "default",
            state.network_cidr,
            state.hostname,
            state.mac,
            state.icmp_available,
            state.icmp_response_time_ns,
            state.icmp_packet_loss,
            _filled(state.tcp_ports_scanned),
            _filled(state.tcp_ports_open),
            _filled(state.port_scan_results),
            instant_or_default(state.last_sweep_us, message, adjustments),
            instant_or_default(first_seen_us, message, adjustments),
            _filled(with_rest(state.metadata, rest, "metadata") if rest else state.metadata),
        )

    return row


def _filled(value: Any) -> bytes | None:
    """Encode jsonb; an empty list, object or text is NULL."""
    return jsonb(value) if value not in ([], {}, "", None) else None


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
