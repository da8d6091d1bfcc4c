"""CloudEvents and bare GELF, one event a row; a newer event of the same key replaces the older."""

from typing import Any
from uuid import UUID

from eventwriter.formats.cloudevents import summarize
from eventwriter.formats.event_shape import Shape, shape_of
from eventwriter.formats.fields import INT4, boolean, instant_us, integer
from eventwriter.formats.gelf import EventSummary, gelf
from eventwriter.formats.snmp_trap import COMMUNITY
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator
from eventwriter.tables.raw_data import raw_data, redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import redacted_text, timestamp


def builder(build: Build) -> RowBuilder:
    """
    Return the function that makes a row of a CloudEvent or a GELF message; None for other events.

    Option `keep_raw`: false leaves `raw_data` empty, with it all that has no column.
    """
    adjustments, redact = build.adjustments, build.redact | COMMUNITY
    text_column, sieve, make_id = redacted_text(redact), redactor(redact), id_generator(build.origin)
    keep_raw = boolean(build.options.get("keep_raw"), True)

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per event.
        shape = shape_of(record)
        if shape is not Shape.CLOUDEVENT and shape is not Shape.GELF:
            return None
        kept = sieve(record, message)
        enveloped = shape is Shape.CLOUDEVENT
        envelope = kept if enveloped else _envelope(kept)
        event = summarize(kept) if enveloped else gelf(kept)
        get = envelope.get
        event_id = get("id")
        subject = get("subject")
        return (
            timestamp(_time(event, get("time")), message, adjustments),
            text_column(get("specversion")),
            text_column(event_id) or str(UUID(bytes=make_id(message.stream_seq, index))),
            text_column(get("source")),
            text_column(get("type")),
            text_column(get("datacontenttype")),
            message.subject if subject is None else text_column(subject),
            text_column(event.remote_addr),
            text_column(event.host),
            integer(event.level, INT4, adjustments),
            text_column(event.severity),
            text_column(event.short_message),
            text_column(event.version),
            raw_data(record, kept, message, redact) if keep_raw else None,
        )

    return row


def _envelope(message: Record) -> Record:
    """Return what stands for the envelope of a GELF message that came without one."""
    return {"id": message.get("id"), "source": message.get("host")}


def _time(event: EventSummary, envelope_time: Any) -> Any:
    """Return the data's own time where it can be read, else the envelope's."""
    given = event.timestamp
    return envelope_time if given is None or instant_us(given) is None else given


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
