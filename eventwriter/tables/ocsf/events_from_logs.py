"""
Log records as OCSF Event Log Activity (class 1008), activity Create; logs that are OCSF events stay as they are.

Source: OCSF schema 1.3.0, "Event Log Activity [1008]".
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.fields import find, names, text
from eventwriter.formats.json import dumps
from eventwriter.formats.ocsf import SEVERITIES
from eventwriter.formats.severity import level_number
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator, parse_uuid
from eventwriter.tables.ocsf.events import COLUMNS, keeps_raw, ocsf_row
from eventwriter.tables.ocsf.metadata import metadata_maker
from eventwriter.tables.otel.log_record import HOST, log_reader
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Row, RowBuilder, Table
from eventwriter.tables.values import EMPTY_LIST, EMPTY_OBJECT, timestamp

_CLASS, _CATEGORY, _ACTIVITY = 1008, 1, 1
_SEVERITY_IDS = (0, *(1,) * 9, *(2,) * 3, *(3,) * 4, 4, *(5,) * 3, *(6,) * 4)
"""OCSF's severity by OpenTelemetry's number; 0 stands for no number."""

_OCSF = names("class_uid")
_HOST = (*HOST, "host.name")
_ADDRESS = ("ip", "ip_address", "remote_addr", "_remote_addr", "host.ip", "source")


_SENDER_KEYS = frozenset({*_HOST, *_ADDRESS})

Sender = tuple[bytes, bytes, bytes, Any, Any]
"""
What the records of one sender share: the member `resource_attributes` of the column `unmapped`, the columns device and
observables, and the version and instance of the service in the resource, which are not stored again.
"""


def builder(build: Build) -> RowBuilder:  # noqa: C901  # hot: one condition per optional member
    """
    Return the function that builds the row of a log record.

    Option `keep_raw`: true stores the record's JSON in `raw_data`.
    """
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments, snmp=True)
    read, make_id = log_reader(adjustments), id_generator(build.origin)
    ocsf, metadata = ocsf_row(build, redactor), metadata_maker(build.ocsf_version, "LogCollector")
    keep_raw = keeps_raw(build)
    actors, contexts = BoundedCache(_actor), BoundedCache(_context)
    seen: Message | None = None
    started, suspicious = b"", False
    resource: Any = None
    shared = _sender({}, {})

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per record.
        nonlocal seen, started, suspicious, resource, shared
        if ("class_uid" in record or "classUid" in record) and find(record, _OCSF) is not None:
            row = ocsf(record, message, index)
            assert row is not None
            return row
        if message is not seen:
            seen, started, suspicious = message, metadata(message)[:-1], redactor.may_hold(message.payload)
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
        # Records of one group share one resource, and have no field of their own that identifies the sender.
        if sender is not resource or sender is None:
            resource, shared = sender, _sender(sender or {}, record)
        sender_json, device, observables, shared_version, shared_instance = shared
        further = contexts[scope, event, source, flags, word, number]
        if observed is not None and observed != time:
            further += b'"observed_time":%b,' % (b"%d" % observed if observed.__class__ is int else dumps(observed))
        if scope_attributes:
            further += _member("scope_attributes", scope_attributes)
        if version is not shared_version and version is not None:
            further += _member("service_version", version)
        if instance is not shared_instance and instance is not None:
            further += _member("service_instance", instance)
        severity_id = _SEVERITY_IDS[number or 0]
        return (
            make_id(message.stream_seq, index) if given_id is None else parse_uuid(given_id),
            timestamp(time, message, adjustments),
            _CLASS, _CATEGORY, _CLASS * 100 + _ACTIVITY, _ACTIVITY, "Create",
            severity_id,
            SEVERITIES[severity_id],
            body,
            None, None, None, None,
            _metadata(started, time),
            observables,
            trace_id,
            span_id,
            actors[service],
            device,
            EMPTY_OBJECT, EMPTY_OBJECT,
            message.subject,
            service,
            word,
            scope_version,
            _unmapped(attributes, sender_json, further),
            dumps(record).decode() if keep_raw else None,
        )  # fmt: skip

    return row


def _metadata(started: bytes, time: Any) -> bytes:
    """Complete the metadata of a message with the time of a record, as the payload has it."""
    if time is None:
        return started + b"}"
    return b'%b,"original_time":%b}' % (started, b'"%d"' % time if time.__class__ is int else dumps(text(time)))


def _member(name: str, value: Any) -> bytes:
    """Return a member of a JSON object, followed by a comma."""
    return b'"%b":%b,' % (name.encode(), dumps(value))


def _unmapped(attributes: dict[str, Any] | None, resource_json: bytes, context: bytes) -> bytes:
    """Join the fields without a column; each part that is not empty ends with a comma."""
    own = b'"attributes":%b,' % dumps(attributes) if attributes else b""
    return b"\x01{%b}" % (own + resource_json + context)[:-1]


_CONTEXT = ("scope_name", "event_name", "source", "trace_flags")


def _context(key: tuple[Any, ...]) -> bytes:
    """
    Return fields without a column that have few values, as members of a JSON object.

    Args:
        key: The values of `_CONTEXT`, then severity text and number. The number is included unless the text implies it.
    """
    *values, word, number = key
    members = [(name, value) for name, value in zip(_CONTEXT, values, strict=True) if value]
    if number is not None and level_number(word) != number:
        members.append(("severity_number", number))
    return b"".join(_member(name, value) for name, value in members)


def _actor(service: str | None) -> bytes:
    return b'\x01{"app_name":%b}' % dumps(service) if service else EMPTY_OBJECT


def _sender(resource: dict[str, Any], record: Record) -> Sender:
    """Find host and address in the record's own fields, else in its resource."""
    # Hot: once per message.
    places = (resource,) if _SENDER_KEYS.isdisjoint(record) else (record, resource)
    host = _first(text_or_none, _HOST, places)
    if host is None and (nested := record.get("host")).__class__ is dict:
        host = text_or_none(nested.get("name"))
    address = _first(address_in, _ADDRESS, places)
    observables = [{"name": host, "type": "Hostname", "type_id": 1}] if host else []
    if address:
        observables.append({"name": address, "type": "IP Address", "type_id": 2})
    return (
        b'"resource_attributes":%b,' % dumps(resource) if resource else b"",
        b'\x01{"hostname":%b}' % dumps(host) if host else EMPTY_OBJECT,
        b"\x01" + dumps(observables) if observables else EMPTY_LIST,
        resource.get("service.version"),
        resource.get("service.instance.id"),
    )


def _first(read: Callable[[Any], str | None], keys: Sequence[str], places: Sequence[Record]) -> str | None:
    for place in places:
        for key in keys:
            if (value := place.get(key)) is not None and (found := read(value)):
                return found
    return None


def text_or_none(value: Any) -> str | None:
    """Return text that is not blank, or None for anything else."""
    return value if value.__class__ is str and value.strip() else None


def address_in(value: Any) -> str | None:
    """Return the IP address in text like `10.0.0.1`, `10.0.0.1:514`, `[::1]:514` or `partition:10.0.0.1:514`."""
    if value.__class__ is list and value:
        value = value[0]
    if value.__class__ is not str:
        return None
    for candidate in _candidates(value.strip()):
        try:
            return str(ipaddress.ip_address(candidate.strip("[]")))
        except ValueError:
            continue
    return None


def _candidates(address: str) -> tuple[str, ...]:
    without_port, without_partition = address.rpartition(":")[0], address.partition(":")[2]
    return address, without_port, without_partition.rpartition(":")[0], without_partition


OCSF_EVENTS_FROM_LOGS = Table(
    name="ocsf_events",
    columns=COLUMNS,
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
)
