"""Flows as they are: one column each, the rest in `metadata`."""

from eventwriter.formats.fields import find
from eventwriter.model import Message, Record
from eventwriter.tables.flow import TIMESTAMP, flow
from eventwriter.tables.scalars import redacted_jsonb, timestamp
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a flow."""
    tally, json_column = build.tally, redacted_jsonb(build.redact)

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message.
        *fields, rest = flow(record, tally)
        return (timestamp(find(record, TIMESTAMP), message, tally), *fields, json_column(rest) if rest else None)

    return row


NETFLOW_METRICS = Table(
    name="netflow_metrics",
    columns=(
        Column("timestamp", "timestamptz", not_null=True),
        Column("gateway_id", "text", also=("poller_id",)),
        Column("agent_id", "text"),
        Column("device_id", "text"),
        Column("flow_direction", "text"),
        Column("src_addr", "text", also=("src_ip",)),
        Column("dst_addr", "text", also=("dst_ip",)),
        Column("src_port", "int4"),
        Column("dst_port", "int4"),
        Column("protocol", "int4"),
        Column("packets", "int8", also=("packets_total",)),
        Column("octets", "int8", also=("bytes_total",)),
        Column("sampler_address", "text"),
        Column("input_snmp", "int4"),
        Column("output_snmp", "int4"),
        Column("metadata", "jsonb"),
    ),
    builder=builder,
    time_column="timestamp",
)
