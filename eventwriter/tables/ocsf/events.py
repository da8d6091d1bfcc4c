"""
Events of the Open Cybersecurity Schema Framework, in the table that all of them share.

Source: OCSF schema 1.3.0, "Base Event" and "Metadata Object".
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from eventwriter.errors import Poison
from eventwriter.formats.event_shape import Shape, shape_of
from eventwriter.formats.fields import INT4, boolean, find, integer, json_value, names, text
from eventwriter.formats.ocsf import severity_id_of, severity_name
from eventwriter.formats.snmp_trap import COMMUNITY, ocsf_record
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.ids import id_generator, parse_uuid, uuid_from_name
from eventwriter.tables.ocsf.metadata import metadata_filler
from eventwriter.tables.raw_data import raw_data, redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import EMPTY_LIST, EMPTY_OBJECT, redacted_jsonb, redacted_text, timestamp, without

_PRODUCT = "EventWriter"
"""Named as the product where the payload names none."""
_INT4_MAX = INT4[1]


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of an OCSF-shaped record or of an SNMP trap; None for other events."""
    make_row, make_id = ocsf_row(build), id_generator(build.origin)
    redact, keep_raw = build.redact | COMMUNITY, _keeps_raw(build)

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per event.
        shape = shape_of(record)
        if shape is Shape.OCSF:
            return make_row(record, message, index)
        if shape is not Shape.SNMP_TRAP:
            return None
        kept = without(record, redact)
        event = ocsf_record(kept, message.subject)
        if keep_raw:
            event["raw_data"] = raw_data(record, record if kept == record else kept, message, redact)
        if not event["id"]:
            event["id"] = str(UUID(bytes=make_id(message.stream_seq, index)))
        return make_row(event, message, index)

    return row


def ocsf_row(build: Build) -> RowBuilder:
    """
    Return the function that makes a row of an OCSF-shaped record, as `shape_of` found it to be.

    Option `keep_raw`: true keeps the payload in `raw_data` where it has none itself.
    """
    adjustments, redact = build.adjustments, build.redact | COMMUNITY
    json_column, text_column = redacted_jsonb(redact), redacted_text(redact)
    fill, sieve = metadata_filler(build.ocsf_version, _PRODUCT, json_column), redactor(redact)
    keep_raw, all_known = _keeps_raw(build), _KNOWN.issuperset

    def row(record: Record, message: Message, _index: int) -> Row:
        # Hot: once per event. Most have only fields of the usual names, which one look says; others are renamed first.
        event = record if all_known(record) else _renamed(record)
        get = event.get
        class_uid, category_uid, activity_id = get("class_uid"), get("category_uid"), get("activity_id")
        if not (class_uid.__class__ is category_uid.__class__ is activity_id.__class__ is int) or (
            not (0 <= class_uid <= _INT4_MAX and 0 <= category_uid <= _INT4_MAX and 0 <= activity_id <= _INT4_MAX)
        ):
            class_uid, category_uid, activity_id = _required(event, adjustments, text_column)
        if (type_uid := get("type_uid")).__class__ is not int or not 0 <= type_uid <= _INT4_MAX:
            type_uid = integer(type_uid, INT4, adjustments)
            if type_uid is None:
                type_uid = integer(class_uid * 100 + activity_id, INT4, adjustments)
        activity_name, severity, said, status, status_code, status_detail, trace_id, span_id, log_name, *log, raw = [
            None if (value := get(name)) is None else text_column(value) for name in _TEXTS
        ]
        if (severity_id := get("severity_id")).__class__ is not int or not 0 <= severity_id <= _INT4_MAX:
            severity_id = _severity_id(severity_id, severity, adjustments)
        row_id, metadata, unmapped = _identity(get("id"), get("metadata"), get("unmapped"))
        if raw is None and keep_raw:
            raw = raw_data(record, sieve(record, message), message, redact)
        return (
            row_id,
            timestamp(get("time"), message, adjustments),
            class_uid,
            category_uid,
            type_uid,
            activity_id,
            activity_name,
            severity_id,
            severity_name(severity_id) if severity is None else severity,
            said,
            None if (value := get("status_id")) is None else integer(value, INT4, adjustments),
            status,
            status_code,
            status_detail,
            fill(metadata, message),
            EMPTY_LIST if (value := get("observables")) is None else json_column(value),
            trace_id,
            span_id,
            EMPTY_OBJECT if (value := get("actor")) is None else json_column(value),
            EMPTY_OBJECT if (value := get("device")) is None else json_column(value),
            EMPTY_OBJECT if (value := get("src_endpoint")) is None else json_column(value),
            EMPTY_OBJECT if (value := get("dst_endpoint")) is None else json_column(value),
            message.subject if log_name is None else log_name,
            *log,
            EMPTY_OBJECT if unmapped is None else json_column(unmapped),
            raw,
        )

    return row


def _keeps_raw(build: Build) -> bool | None:
    return boolean(build.options.get("keep_raw"), False)


def _required(event: Record, adjustments: Adjustments, shown: Callable[[Any], str | None]) -> list[int]:
    """
    Return class, category and activity, each an integer in some form; 0 is one.

    Args:
        shown: Makes text of a value, without secrets.
    """
    missing = [name for name in ("id", *_REQUIRED) if event.get(name) is None]
    if missing:
        raise Poison("missing_field", f"{', '.join(missing)}: missing; an OCSF event needs id, {', '.join(_REQUIRED)}")
    numbers = []
    for name in _REQUIRED:
        number = integer(event[name], INT4, adjustments)
        if number is None:
            raise Poison("bad_value", f"{name} is {shown(event[name])!r}; an integer is wanted")
        numbers.append(number)
    return numbers


def _severity_id(given: Any, severity: str | None, adjustments: Adjustments) -> int:
    """Read a severity's number; where there is none, from its word, and without either Informational."""
    number = integer(given, INT4, adjustments)
    if number is None:
        number = severity_id_of(severity)
    return 1 if number is None else number


def _identity(given: Any, metadata: Any, unmapped: Any) -> tuple[bytes, dict[str, Any] | None, Any]:
    """
    Return the row's id, the payload's metadata, and what is unmapped.

    An id that is no UUID is named by one and kept in `metadata.uid`, or in `unmapped` where the
    payload has a `metadata.uid` of its own. So is metadata that is no object.
    """
    # Hot: once per event.
    if given.__class__ is not str:
        given = text(given)
    if not given:
        raise Poison("missing_field", "id is missing or empty")
    if metadata is not None and metadata.__class__ is not dict:
        metadata = json_value(metadata)
        if metadata.__class__ is not dict:
            metadata, unmapped = None, _with_rest(unmapped, {"metadata": metadata}) if metadata else unmapped
    if (row_id := parse_uuid(given)) is not None:
        return row_id, metadata, unmapped
    if metadata is None or metadata.get("uid") is None:
        metadata = {**(metadata or {}), "uid": given}
    elif metadata["uid"] != given:
        unmapped = _with_rest(unmapped, {"id": given})
    return uuid_from_name(given), metadata, unmapped


def _renamed(record: Record) -> Record:
    """Return a record whose fields have their snake_case names; what no column takes is in its `unmapped`."""
    event = {name: find(record, keys) for name, keys in _KEYS.items()}
    rest = {key: value for key, value in record.items() if key not in _TAKEN and value is not None}
    if rest:
        event["unmapped"] = _with_rest(event["unmapped"], {key: json_value(value) for key, value in rest.items()})
    return event


def _with_rest(unmapped: Any, rest: dict[str, Any]) -> Any:
    """Add to what the payload gives as unmapped; what it says itself wins."""
    unmapped = json_value(unmapped)
    if unmapped.__class__ is dict:
        return {**rest, **unmapped}
    return rest if unmapped is None else {**rest, "unmapped": unmapped}


COLUMNS = (
    Column("id", "uuid", not_null=True),
    Column("time", "timestamptz", not_null=True),
    Column("class_uid", "int4", not_null=True),
    Column("category_uid", "int4", not_null=True),
    Column("type_uid", "int4", not_null=True),
    Column("activity_id", "int4", not_null=True),
    Column("activity_name", "text"),
    Column("severity_id", "int4"),
    Column("severity", "text"),
    Column("message", "text"),
    Column("status_id", "int4"),
    Column("status", "text"),
    Column("status_code", "text"),
    Column("status_detail", "text"),
    Column("metadata", "jsonb", not_null=True),
    Column("observables", "jsonb", not_null=True),
    Column("trace_id", "text"),
    Column("span_id", "text"),
    Column("actor", "jsonb", not_null=True),
    Column("device", "jsonb", not_null=True),
    Column("src_endpoint", "jsonb", not_null=True),
    Column("dst_endpoint", "jsonb", not_null=True),
    Column("log_name", "text"),
    Column("log_provider", "text"),
    Column("log_level", "text"),
    Column("log_version", "text"),
    Column("unmapped", "jsonb", not_null=True),
    Column("raw_data", "text"),
)
"""Filled by events, and by logs as class 1008; what is absent in a JSON column is `{}` or `[]`, never NULL."""

_REQUIRED = ("class_uid", "category_uid", "activity_id")
_TEXTS = (
    "activity_name", "severity", "message", "status", "status_code", "status_detail", "trace_id", "span_id",
    "log_name", "log_provider", "log_level", "log_version", "raw_data",
)  # fmt: skip
_KEYS = {
    column.name: names(column.name, "timestamp") if column.name == "time" else names(column.name) for column in COLUMNS
}
"""Where each column's value is looked for; `timestamp` is what internal logs repeat their time as."""
_KNOWN = frozenset({*_KEYS, "tenant_id"})
_TAKEN = frozenset({key for keys in _KEYS.values() for key in keys} | {"tenant_id", "tenantId"})
"""A tenant is not stored: its tables are its own."""

OCSF_EVENTS = Table(
    name="ocsf_events",
    columns=COLUMNS,
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
)
