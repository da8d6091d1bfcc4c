"""
Log records: one row a record.

Source: OpenTelemetry log data model.
"""

from typing import Any

from eventwriter.formats.fields import INT4, integer
from eventwriter.formats.json import dumps
from eventwriter.formats.snmp_trap import COMMUNITY
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator, parse_uuid, uuid_from_name
from eventwriter.tables.otel.log_record import log_reader
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import secret_finder, timestamp, without


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a log record."""
    adjustments, redact = build.adjustments, build.redact | COMMUNITY
    read, make_id, may_hold_secrets = log_reader(), id_generator(build.origin), secret_finder(redact)
    # The oldest tables have no id, and the identifiers of the trace in their key instead.
    no_trace = None if "id" in build.columns else ""
    seen: Message | None = None
    secrets = False
    resource: Any = None
    resource_json: bytes | None = None

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per record.
        nonlocal seen, secrets, resource, resource_json
        if message is not seen:
            seen, secrets = message, may_hold_secrets(message.payload)
        if secrets:
            record = without(record, redact)
        (
            time, observed, given_id, trace_id, span_id, flags, word, number, body, event, source, service, version,
            instance, scope, scope_version, scope_attributes, attributes, sender,
        ) = read(record, message.subject)  # fmt: skip
        if secrets:  # attributes given as `k=v` text show their keys only now
            attributes, sender = without(attributes, redact), without(sender, redact)
            scope_attributes = without(scope_attributes, redact)
        # Records of one group share one resource: its JSON is made once.
        if sender is not resource:
            resource, resource_json = sender, None if sender is None else dumps(sender)
        if observed is None:
            observed = message.timestamp_ns  # an optional column's default: nothing to count
        if not (flags.__class__ is int and 0 <= flags < 256):
            flags = integer(flags, INT4, adjustments)
        return (
            timestamp(time, message, adjustments),
            make_id(message.stream_seq, index)
            if given_id is None
            else parse_uuid(given_id) or uuid_from_name(given_id),
            timestamp(observed, message, adjustments),
            trace_id or no_trace,
            span_id or no_trace,
            flags,
            word,
            number,
            body,
            event,
            source,
            service,
            version,
            instance,
            scope,
            scope_version,
            None if scope_attributes is None else dumps(scope_attributes),
            None if attributes is None else dumps(attributes),
            resource_json,
        )

    return row


LOGS = Table(
    name="logs",
    columns=(
        Column("timestamp", "timestamptz", not_null=True),
        Column("id", "uuid", not_null=True),
        Column("observed_timestamp", "timestamptz"),
        Column("trace_id", "text"),
        Column("span_id", "text"),
        Column("trace_flags", "int4"),
        Column("severity_text", "text"),
        Column("severity_number", "int4"),
        Column("body", "text"),
        Column("event_name", "text"),
        Column("source", "text"),
        Column("service_name", "text"),
        Column("service_version", "text"),
        Column("service_instance", "text"),
        Column("scope_name", "text"),
        Column("scope_version", "text"),
        Column("scope_attributes", "json"),
        Column("attributes", "json"),
        Column("resource_attributes", "json"),
    ),
    builder=builder,
    time_column="timestamp",
    key=("timestamp", "id"),
    conflict="nothing",
)
