"""
Flows that are published as OCSF Network Activity objects, in the wide table: their attributes are kept.

Source: OCSF schema 1.3.0, "Network Activity [4001]".
"""

from collections.abc import Callable
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, INT8, find, instant_us, is_blank, names, text, whole
from eventwriter.formats.flow.ocsf import snake_cased
from eventwriter.formats.ip_names import PROTOCOLS
from eventwriter.formats.ocsf import severity_name
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator
from eventwriter.tables.ocsf.metadata import identify, metadata_filler
from eventwriter.tables.record_reader import RecordReader, with_rest
from eventwriter.tables.table import Build, Row
from eventwriter.tables.values import EMPTY_OBJECT, instant_or_default, jsonb

_CLASS, _ACTIVITY = 4001, 6
_TIME = ("time", "time_dt", "timestamp")
_NUMBER, _NAME, _DIRECTION_ID = names("protocol_num"), names("protocol_name"), names("direction_id")
_ACTIVITIES = {1: "Open", 2: "Close", 3: "Reset", 4: "Fail", 5: "Refuse", 6: "Traffic", 7: "Listen", 99: "Other"}


def builder(build: Build) -> Callable[[Record, Message, int], Row]:
    """Return the function that builds the row of an OCSF object without secrets."""
    adjustments = build.adjustments
    make_id, fill = id_generator(build.origin), metadata_filler(build.ocsf_version, "NetFlowCollector")

    def row(record: Record, message: Message, index: int) -> Row:
        reader = RecordReader(snake_cased(record), adjustments)
        integer, text_of = reader.integer, reader.text
        source, target, connection, traffic, device, actor, metadata, unmapped = [
            reader.object(name, (name,))
            for name in (
                *("src_endpoint", "dst_endpoint", "connection_info", "traffic"),
                *("device", "actor", "metadata", "unmapped"),
            )
        ]
        _check_addresses(source, target)
        row_id, metadata, other_id = identify(reader.filled_text(("id",)), metadata)
        class_uid = _or(integer("class_uid", ("class_uid",), INT4), _CLASS)
        activity = _or(integer("activity_id", ("activity_id",), INT4), _ACTIVITY)
        type_uid = integer("type_uid", ("type_uid",), INT4)
        severity = _or(integer("severity_id", ("severity_id",), INT4), 1)
        connection = connection or {}
        protocol = _in_range(find(connection, _NUMBER))
        columns = (
            make_id(message.stream_seq, index) if row_id is None else row_id,
            instant_or_default(reader.instant_us("time", _TIME), message, adjustments),
            class_uid,
            _or(integer("category_uid", ("category_uid",), INT4), class_uid // 1000),
            max(INT4[0], min(class_uid * 100 + activity, INT4[1])) if type_uid is None else type_uid,
            activity,
            text_of(("activity_name",)) or _ACTIVITIES.get(activity),
            severity,
            text_of(("severity",)) or severity_name(severity),
            text_of(("message",)),
            integer("action_id", ("action_id",), INT4),
            text_of(("action",)),
            integer("status_id", ("status_id",), INT4),
            text_of(("status",)),
            text_of(("status_code",)),
            text_of(("status_detail",)),
            fill(metadata, message),
            jsonb(reader.array("observables", ("observables",))),
            jsonb(source) or EMPTY_OBJECT,
            jsonb(target) or EMPTY_OBJECT,
            jsonb(connection),
            jsonb(traffic) or EMPTY_OBJECT,
            text(find(connection, _NAME)) or PROTOCOLS.get(protocol),
            protocol,
            text(connection.get("direction")),
            _in_range(find(connection, _DIRECTION_ID)),
            _duration_ms(record, integer("duration", ("duration",), INT8)),
            jsonb(device),
            jsonb(actor),
            None,
            None,
            None,
            None,
            None,
        )
        raw_data, gateway, agent = text_of(("raw_data",)), text_of(("gateway_id",)), text_of(("agent_id",))
        rest = {key: value for key, value in reader.remaining().items() if not is_blank(value)}
        if other_id is not None:
            rest["id"] = other_id
        unmapped = with_rest(unmapped, rest, "unmapped")
        return (*columns, jsonb(unmapped) if unmapped else EMPTY_OBJECT, raw_data, gateway, agent)

    return row


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _in_range(value: Any) -> int | None:
    """Return an integer of an attribute that stays in a JSON column, if the integer column can store it."""
    number = whole(value)
    return number if number is not None and INT4[0] <= number <= INT4[1] else None


def _check_addresses(source: Record | None, target: Record | None) -> None:
    if not any((end or {}).get(key) for end in (source, target) for key in ("ip", "mac")):
        raise Poison(
            "missing_field",
            "src_endpoint and dst_endpoint have neither ip nor mac; no row can be written without an address",
        )


def _duration_ms(record: Record, given: int | None) -> int | None:
    if given is not None:
        return given
    start, end = instant_us(record.get("start_time")), instant_us(record.get("end_time"))
    return (end - start) // 1000 if start is not None and end is not None and end >= start else None
