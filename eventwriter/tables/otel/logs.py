"""
Log records in `logs`: one row per record.

Source: OpenTelemetry log data model.
"""

from typing import Any

from eventwriter.formats.json import dumps
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator, parse_uuid, uuid_from_name
from eventwriter.tables.otel.log_record import log_reader
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import timestamp


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a log record."""
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments, snmp=True)
    read, make_id = log_reader(adjustments), id_generator(build.origin)
    # The oldest tables have no id; their key contains the identifiers of the trace instead.
    no_trace = None if "id" in build.columns else ""
    seen: Message | None = None
    suspicious = False
    resource: Any = None
    resource_json: bytes | None = None

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per record.
        nonlocal seen, suspicious, resource, resource_json
        if message is not seen:
            seen, suspicious = message, redactor.may_hold(message.payload)
        if suspicious:
            record = redactor.clean(record, message)
        (
            time, observed, given_id, trace_id, span_id, flags, word, number, body, event, source, service, version,
            instance, scope, scope_version, scope_attributes, attributes, sender,
        ) = read(record, message.subject)  # fmt: skip
        if suspicious:  # the keys of attributes given as `k=v` text are known only now
            attributes, sender, scope_attributes = (
                redactor.value(each, message.subject) for each in (attributes, sender, scope_attributes)
            )
        # Records of one group share one resource: its JSON is encoded once.
        if sender is not resource:
            resource, resource_json = sender, None if sender is None else dumps(sender)
        if observed is None:
            observed = message.timestamp_ns  # the default of an optional column is not counted
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
