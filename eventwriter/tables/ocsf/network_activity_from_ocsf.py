"""
Flows that are OCSF Network Activity objects already, in the wide table: what is given is kept.

Source: OCSF schema 1.3.0, "Network Activity [4001]".
"""

from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, INT8, find, instant_us, integer, json_value, names
from eventwriter.formats.flow.ocsf import as_object, snake_cased
from eventwriter.formats.ip_names import PROTOCOLS
from eventwriter.formats.ocsf import severity_name
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator, parse_uuid, uuid_from_name
from eventwriter.tables.ocsf.metadata import metadata_filler
from eventwriter.tables.table import Build, Row, RowBuilder
from eventwriter.tables.values import EMPTY_OBJECT, redacted_jsonb, redacted_text, timestamp

_CLASS, _ACTIVITY = 4001, 6
_NUMBER, _NAME, _DIRECTION_ID = names("protocol_num"), names("protocol_name"), names("direction_id")
_ACTIVITIES = {1: "Open", 2: "Close", 3: "Reset", 4: "Fail", 5: "Refuse", 6: "Traffic", 7: "Listen", 99: "Other"}
_COLUMNS = frozenset(
    {
        *("id", "time", "class_uid", "category_uid", "type_uid", "activity_id", "activity_name", "severity_id"),
        *("severity", "message", "action_id", "action", "status_id", "status", "status_code", "status_detail"),
        *("metadata", "observables", "src_endpoint", "dst_endpoint", "connection_info", "traffic", "duration"),
        *("device", "actor", "unmapped", "raw_data", "gateway_id", "agent_id"),
    }
)
"""Keys that have a column; all others go to `unmapped`."""


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of an OCSF object."""
    adjustments, json_column, text_column = build.adjustments, redacted_jsonb(build.redact), redacted_text(build.redact)
    make_id, metadata_of = (
        id_generator(build.origin),
        metadata_filler(build.ocsf_version, "NetFlowCollector", json_column),
    )

    def number(value: Any) -> int | None:
        return integer(value, INT4, adjustments)

    def number_or(value: Any, default: int) -> int:
        found = integer(value, INT4, adjustments)
        return default if found is None else found

    def identity(record: Record, message: Message, index: int) -> tuple[bytes, bytes, Record]:
        """Return the row's id, its metadata, which keeps an id that is no UUID, and what it has no place for."""
        metadata, given = as_object(record.get("metadata")), text_column(record.get("id"))
        if not given:
            return make_id(message.stream_seq, index), metadata_of(metadata, message), {}
        uuid = parse_uuid(given)
        if uuid is None and metadata.get("uid") is not None:
            return uuid_from_name(given), metadata_of(metadata, message), {"id": given}
        if uuid is None:
            return uuid_from_name(given), metadata_of({**metadata, "uid": given}, message), {}
        return uuid, metadata_of(metadata, message), {}

    def row(record: Record, message: Message, index: int) -> Row:
        record = snake_cased(record)
        get = record.get
        _check_addresses(record)
        row_id, metadata, kept = identity(record, message, index)
        class_uid, activity = number_or(get("class_uid"), _CLASS), number_or(get("activity_id"), _ACTIVITY)
        type_uid, severity = number(get("type_uid")), number_or(get("severity_id"), 1)
        connection = as_object(get("connection_info"))
        protocol = number(find(connection, _NUMBER))
        unmapped = _unmapped(record) | kept
        return (
            row_id,
            timestamp(get("time"), message, adjustments),
            class_uid,
            number_or(get("category_uid"), class_uid // 1000),
            number(class_uid * 100 + activity) if type_uid is None else type_uid,
            activity,
            text_column(get("activity_name")) or _ACTIVITIES.get(activity),
            severity,
            text_column(get("severity")) or severity_name(severity),
            text_column(get("message")),
            number(get("action_id")),
            text_column(get("action")),
            number(get("status_id")),
            text_column(get("status")),
            text_column(get("status_code")),
            text_column(get("status_detail")),
            metadata,
            json_column(get("observables")),
            json_column(get("src_endpoint")) or EMPTY_OBJECT,
            json_column(get("dst_endpoint")) or EMPTY_OBJECT,
            json_column(get("connection_info")) or EMPTY_OBJECT,
            json_column(get("traffic")) or EMPTY_OBJECT,
            text_column(find(connection, _NAME)) or PROTOCOLS.get(protocol),
            protocol,
            text_column(connection.get("direction")),
            number(find(connection, _DIRECTION_ID)),
            _duration_ms(record, integer(get("duration"), INT8, adjustments)),
            json_column(get("device")),
            json_column(get("actor")),
            None,
            None,
            None,
            None,
            None,
            json_column(unmapped) if unmapped else EMPTY_OBJECT,
            text_column(get("raw_data")),
            text_column(get("gateway_id")),
            text_column(get("agent_id")),
        )

    return row


def _check_addresses(record: Record) -> None:
    ends = (as_object(record.get("src_endpoint")), as_object(record.get("dst_endpoint")))
    if not any(end.get("ip") for end in ends):
        raise Poison(
            "missing_field",
            "src_endpoint.ip and dst_endpoint.ip are both missing or empty: there is no flow without an address",
        )


def _unmapped(record: Record) -> Record:
    """Return the object's own `unmapped` together with all keys that have no column."""
    given = json_value(find(record, ("unmapped",)))
    rest = {key: json_value(value) for key, value in record.items() if key not in _COLUMNS and value is not None}
    if isinstance(given, dict):
        return {**rest, **given}
    return rest if given is None else {**rest, "unmapped": given}


def _duration_ms(record: Record, given: int | None) -> int | None:
    if given is not None:
        return given
    start, end = instant_us(record.get("start_time")), instant_us(record.get("end_time"))
    return (end - start) // 1000 if start is not None and end is not None and end >= start else None
