"""
Events of the Open Cybersecurity Schema Framework, in the table that all classes share.

Source: OCSF schema 1.3.0, "Base Event" and "Metadata Object".
"""

from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.event_shape import Shape, shape_of
from eventwriter.formats.fields import INT4, LATEST_US, boolean, hex_id, instant_us, is_blank, names, text
from eventwriter.formats.json import dumps
from eventwriter.formats.ocsf import severity_id_of, severity_name
from eventwriter.formats.snmp_trap import ocsf_record
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.ids import id_generator
from eventwriter.tables.ocsf.metadata import identify, metadata_filler
from eventwriter.tables.raw_data import castable, raw_data
from eventwriter.tables.record_reader import RecordReader, with_rest
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import EMPTY_LIST, EMPTY_OBJECT, timestamp

_PRODUCT = "EventWriter"
"""Product of events that name none."""
_INT4_MIN, _INT4_MAX = INT4


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of an OCSF event or an SNMP trap; None for other events."""
    redactor = Redactor(build.redact, build.adjustments, snmp=True)
    row_of = ocsf_row(build, redactor)
    keep_raw = keeps_raw(build)

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per event.
        shape = shape_of(record)
        if shape is Shape.OCSF:
            return row_of(record, message, index)
        if shape is not Shape.SNMP_TRAP:
            return None
        kept = redactor.clean(record, message)
        event = ocsf_record(kept, message.subject)
        if keep_raw:
            event["raw_data"] = raw_data(record, kept, message, redactor)
        return row_of(event, message, index)

    return row


def keeps_raw(build: Build) -> bool:
    """Return the option `keep_raw`: store the payload in `raw_data` of events that have none."""
    return bool(boolean(build.options.get("keep_raw")))


def ocsf_row(build: Build, redactor: Redactor) -> RowBuilder:
    """Return the function that builds the row of an OCSF event."""
    adjustments, keep_raw = build.adjustments, keeps_raw(build)
    fill, make_id = metadata_filler(build.ocsf_version, _PRODUCT), id_generator(build.origin)

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per event. Events with the usual names and types are taken as they are.
        kept = event = redactor.clean(record, message)
        if "tenant_id" in event:
            adjustments.fields_ignored += 1  # each tenant has its own tables
        values = tuple(map(event.get, _NAMES))
        if not (_all_known(event) and _USUAL_TYPES[tuple(map(type, values))] and _are_in_range(values)):
            values = tuple(map(_normalized(event, adjustments).get, _NAMES))
        (
            event_id, time, class_uid, category_uid, type_uid, activity_id, activity_name, severity_id, severity, body,
            status_id, status, status_code, status_detail, metadata, observables, trace_id, span_id, actor, device,
            src_endpoint, dst_endpoint, log_name, log_provider, log_level, log_version, unmapped, raw,
        ) = values  # fmt: skip
        if type_uid is None:
            type_uid = max(_INT4_MIN, min(class_uid * 100 + activity_id, _INT4_MAX))  # type: ignore[operator]
        if severity_id is None:
            severity_id = _severity_id(severity, unmapped)
        row_id, metadata, other_id = identify(event_id, metadata)
        if other_id is not None:
            unmapped = with_rest(unmapped, {"id": other_id}, "unmapped")
        if raw is not None:
            raw = castable(raw)
        elif keep_raw:
            raw = raw_data(record, kept, message, redactor)
        return (
            make_id(message.stream_seq, index) if row_id is None else row_id,
            timestamp(time, message, adjustments),
            class_uid, category_uid, type_uid, activity_id, activity_name,
            severity_id, severity_name(severity_id) if severity is None else severity,
            body,
            status_id, status, status_code, status_detail,
            fill(metadata, message),
            EMPTY_LIST if observables is None else b"\x01" + dumps(observables),
            None if trace_id is None else hex_id(trace_id),
            None if span_id is None else hex_id(span_id),
            EMPTY_OBJECT if actor is None else b"\x01" + dumps(actor),
            EMPTY_OBJECT if device is None else b"\x01" + dumps(device),
            EMPTY_OBJECT if src_endpoint is None else b"\x01" + dumps(src_endpoint),
            EMPTY_OBJECT if dst_endpoint is None else b"\x01" + dumps(dst_endpoint),
            message.subject if log_name is None else log_name,
            log_provider, log_level, log_version,
            EMPTY_OBJECT if unmapped is None else b"\x01" + dumps(unmapped),
            raw,
        )  # fmt: skip

    return row


def _has_usual_types(types: tuple[type, ...]) -> bool:
    """Return whether values of these types, in the order of `_NAMES`, need no conversion."""
    return all(kind in usual for kind, usual in zip(types, _TYPES, strict=True))


def _are_in_range(values: tuple[Any, ...]) -> bool:
    """Return whether the integers fit their columns, and the time is an instant."""
    # Hot: once per event.
    _, time, class_uid, category_uid, type_uid, activity_id, _, severity_id, _, _, status_id, *_ = values
    return (
        0 <= class_uid <= _INT4_MAX
        and 0 <= category_uid <= _INT4_MAX
        and 0 <= activity_id <= _INT4_MAX
        and (type_uid is None or 0 <= type_uid <= _INT4_MAX)
        and (severity_id is None or 0 <= severity_id <= _INT4_MAX)
        and (status_id is None or 0 <= status_id <= _INT4_MAX)
        and (
            time is None
            or (time.__class__ is int and 100_000_000_000 <= time < LATEST_US)
            or instant_us(time) is not None
        )
    )


def _normalized(record: Record, adjustments: Adjustments) -> Record:
    """
    Return an event with the names and types of the columns; `unmapped` has the values that no column can store.

    Raises:
        Poison: `missing_field` or `bad_value`, if class, category or activity are missing or no integers.
    """
    reader = RecordReader(record, adjustments)
    reader.rest.pop("tenant_id", None)
    event: Record = dict(zip(_REQUIRED, _required(reader), strict=True))
    event["time"] = reader.first("time", _KEYS["time"], _readable_time)
    for name in _OPTIONAL_INTEGERS:
        event[name] = reader.integer(name, _KEYS[name], INT4)
    for name in _TEXTS:
        event[name] = reader.text(_KEYS[name])
    for name in _OBJECTS:
        event[name] = reader.object(name, _KEYS[name])
    event["id"] = reader.filled_text(_KEYS["id"])
    event["observables"] = reader.array("observables", _KEYS["observables"])
    rest = {key: value for key, value in reader.remaining().items() if not is_blank(value)}
    event["unmapped"] = with_rest(event["unmapped"], rest, "unmapped")
    return event


def _required(reader: RecordReader) -> list[int]:
    missing = [name for name in _REQUIRED if not any(key in reader.rest for key in _KEYS[name])]
    if missing:
        raise Poison("missing_field", f"{', '.join(missing)} is missing; an OCSF event needs {', '.join(_REQUIRED)}")
    values = []
    for name in _REQUIRED:
        given = next(reader.rest[key] for key in _KEYS[name] if key in reader.rest)
        value = reader.integer(name, _KEYS[name], INT4)
        if value is None:
            raise Poison("bad_value", f"{name} is {text(given)!r}, not an integer")
        values.append(value)
    return values


def _readable_time(value: Any) -> Any:
    return value if instant_us(value) is not None else None


def _severity_id(severity: str | None, unmapped: Record | None) -> int:
    """Return the severity of an event without `severity_id`: from its word or a gateway's state, or Informational."""
    known = severity_id_of(severity)
    if known is None and severity is None and unmapped is not None and "previous_state" in unmapped:
        state = unmapped.get("current_state")
        known = severity_id_of(state) if state.__class__ is str else None
    return 1 if known is None else known


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
"""Columns for events, and for logs as class 1008. A missing JSON value is `{}` or `[]`, never NULL."""

_REQUIRED = ("class_uid", "category_uid", "activity_id")
_OPTIONAL_INTEGERS = ("type_uid", "severity_id", "status_id")
_TEXTS = (
    "activity_name", "severity", "message", "status", "status_code", "status_detail", "trace_id", "span_id",
    "log_name", "log_provider", "log_level", "log_version", "raw_data",
)  # fmt: skip
_OBJECTS = ("metadata", "actor", "device", "src_endpoint", "dst_endpoint", "unmapped")
_KEYS = {
    column.name: names(column.name, "timestamp", "time_dt") if column.name == "time" else names(column.name)
    for column in COLUMNS
}
"""Names of the field of each column; internal logs repeat their time as `timestamp`."""
_all_known = frozenset({*_KEYS, "tenant_id"}).issuperset
_NAMES = tuple(_KEYS)


def _usual_types(name: str) -> frozenset[type]:
    """Return the types of the values of a field that need no conversion."""
    if name in _REQUIRED:
        return frozenset({int})
    if name == "time":
        return frozenset({int, float, str, type(None)})
    kind = int if name in _OPTIONAL_INTEGERS else dict if name in _OBJECTS else list if name == "observables" else str
    return frozenset({kind, type(None)})


_TYPES = tuple(map(_usual_types, _NAMES))
_USUAL_TYPES = BoundedCache(_has_usual_types)
"""Types of the values of an event → whether they need no conversion."""

OCSF_EVENTS = Table(
    name="ocsf_events",
    columns=COLUMNS,
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
)
