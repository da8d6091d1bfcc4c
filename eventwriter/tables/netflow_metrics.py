"""
Flows as they are: one column each, the rest in `metadata`.

A real table with `src_ip` is the one of a later generation, `netflow_metrics_inet`'s.
"""

from eventwriter.formats.ocsf_flow import as_flow, is_ocsf
from eventwriter.model import Message, Record
from eventwriter.tables.flow import flow, when
from eventwriter.tables.netflow_metrics_inet import NETFLOW_METRICS_INET
from eventwriter.tables.scalars import redacted_jsonb, redacted_text
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a flow."""
    tally, json_column, readable = build.tally, redacted_jsonb(build.redact), redacted_text(build.redact)

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per message.
        if "src_addr" not in record and is_ocsf(record):
            record = as_flow(record)
        *fields, rest = flow(record, tally, readable)
        return (when(record, message, tally), *fields, json_column(rest) if rest else None)

    return row


NETFLOW_METRICS = Table(
    name="netflow_metrics",
    columns=(
        Column("timestamp", "timestamptz", not_null=True),
        Column("gateway_id", "text", also=("poller_id",)),
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
    instead={"src_ip": NETFLOW_METRICS_INET},
)
