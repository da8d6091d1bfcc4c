"""CloudEvents and GELF messages without an envelope, one row per event; a newer event replaces the older one."""

from typing import Any
from uuid import UUID

from eventwriter.formats.cloudevents import summarize
from eventwriter.formats.event_shape import Shape, shape_of
from eventwriter.formats.fields import INT4, boolean, instant_us, integer, text
from eventwriter.formats.gelf import EventSummary, gelf
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator
from eventwriter.tables.raw_data import raw_data
from eventwriter.tables.record_reader import filled
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import timestamp

_STORED = frozenset(
    ("specversion", "id", "source", "type", "datacontenttype", "subject", "time", "data", "data_base64", "host",
     "level", "severity", "short_message", "version", "timestamp", "_remote_addr")
)  # fmt: skip
"""Fields that are in columns without `raw_data`."""


def builder(build: Build) -> RowBuilder:
    """
    Return the function that builds the row of a CloudEvent or a GELF message; None for other events.

    Option `keep_raw`: false leaves `raw_data` empty, so that fields without a column are not stored.
    """
    adjustments, make_id = build.adjustments, id_generator(build.origin)
    redactor = Redactor(build.redact, adjustments, snmp=True)
    keep_raw = boolean(build.options.get("keep_raw")) is not False

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per event.
        shape = shape_of(record)
        if shape is not Shape.CLOUDEVENT and shape is not Shape.GELF:
            return None
        kept = redactor.clean(record, message)
        has_envelope = shape is Shape.CLOUDEVENT
        envelope = kept if has_envelope else _envelope(kept)
        event = summarize(kept) if has_envelope else gelf(kept)
        get = envelope.get
        subject = get("subject")
        if not keep_raw:
            adjustments.fields_ignored += sum(1 for key in kept if key not in _STORED)
        return (
            timestamp(_time(event, get("time")), message, adjustments),
            text(get("specversion")),
            filled(get("id")) or str(UUID(bytes=make_id(message.stream_seq, index))),
            text(get("source")),
            text(get("type")),
            text(get("datacontenttype")),
            message.subject if subject is None else text(subject),
            text(event.remote_addr),
            text(event.host),
            None if event.level is None else integer(event.level, INT4, adjustments, "level"),
            text(event.severity),
            text(event.short_message),
            text(event.version),
            raw_data(record, kept, message, redactor) if keep_raw else None,
        )

    return row


def _envelope(message: Record) -> Record:
    """Return the envelope of a GELF message that has none."""
    return {"id": message.get("id"), "source": message.get("host")}


def _time(event: EventSummary, envelope_time: Any) -> Any:
    """Return the time of the data if it is readable, else that of the envelope."""
    own = event.timestamp
    return envelope_time if own is None or instant_us(own) is None else own


EVENTS = Table(
    name="events",
    columns=(
        Column("event_timestamp", "timestamptz", not_null=True),
        Column("specversion", "text"),
        Column("id", "text", not_null=True),
        Column("source", "text"),
        Column("type", "text"),
        Column("datacontenttype", "text"),
        Column("subject", "text"),
        Column("remote_addr", "text"),
        Column("host", "text"),
        Column("level", "int4"),
        Column("severity", "text"),
        Column("short_message", "text"),
        Column("version", "text"),
        Column("raw_data", "text"),
    ),
    builder=builder,
    time_column="event_timestamp",
    key=("event_timestamp", "id"),
    conflict="replace",
)
