"""
Log records as OCSF Event Log Activity (class 1008), activity Create; logs that are OCSF events stay what they are.

Source: OCSF schema 1.3.0, "Event Log Activity [1008]".
"""

import ipaddress
from collections.abc import Callable
from typing import Any

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.fields import boolean, find, names, text
from eventwriter.formats.json import dumps
from eventwriter.formats.ocsf import SEVERITIES
from eventwriter.formats.snmp_trap import COMMUNITY
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator, parse_uuid
from eventwriter.tables.ocsf.events import COLUMNS, ocsf_row
from eventwriter.tables.ocsf.metadata import metadata_maker
from eventwriter.tables.otel.log_record import HOST, log_reader
from eventwriter.tables.table import Build, Row, RowBuilder, Table
from eventwriter.tables.values import EMPTY_LIST, EMPTY_OBJECT, secret_finder, timestamp, without

_CLASS, _CATEGORY, _ACTIVITY = 1008, 1, 1
_SEVERITY_IDS = (0, *(1,) * 9, *(2,) * 3, *(3,) * 4, 4, *(5,) * 3, *(6,) * 4)
"""OCSF's severity by OpenTelemetry's number; 0 is none."""

_OCSF = names("class_uid")
_HOST = (*HOST, "host.name")
_ADDRESS = ("ip", "ip_address", "remote_addr", "_remote_addr", "host.ip", "source")

Sender = tuple[bytes, bytes, bytes]
"""What the records of one sender share: the resource's JSON, the columns device and observables."""


def builder(build: Build) -> RowBuilder:
    """
    Return the function that makes a row of a log record.

    Option `keep_raw`: true keeps the record's JSON in `raw_data`.
    """
    adjustments, redact = build.adjustments, build.redact | COMMUNITY
    read, make_id, may_hold_secrets = log_reader(), id_generator(build.origin), secret_finder(redact)
    ocsf, metadata = ocsf_row(build), metadata_maker(build.ocsf_version, "LogCollector")
    keep_raw = boolean(build.options.get("keep_raw"), False)
    actors, contexts = BoundedCache(_actor), BoundedCache(_context)
    seen: Message | None = None
    secrets, begun = False, b""
    resource: Any = None
    shared: Sender = _sender({}, {})

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per record.
        nonlocal seen, secrets, begun, resource, shared
        if ("class_uid" in record or "classUid" in record) and find(record, _OCSF) is not None:
            return ocsf(record, message, index)
        if message is not seen:
            seen, secrets, begun = message, may_hold_secrets(message.payload), metadata(message)[:-1]
        if secrets:
            record = without(record, redact)
        (
            time, _, given_id, trace_id, span_id, _, word, number, body, event, source, service, _, _, scope,
            scope_version, _, attributes, sender,
        ) = read(record, message.subject)  # fmt: skip
        if secrets:  # attributes given as `k=v` text show their keys only now
            attributes, sender = without(attributes, redact), without(sender, redact)
        # Records of one group share one resource, and have no field of their own that says who sent them.
        if sender is not resource or sender is None:
            resource, shared = sender, _sender(sender or {}, record)
        severity_id = _SEVERITY_IDS[number or 0]
        return (
            make_id(message.stream_seq, index) if given_id is None else parse_uuid(given_id),
            timestamp(time, message, adjustments),
            _CLASS, _CATEGORY, _CLASS * 100 + _ACTIVITY, _ACTIVITY, "Create",
            severity_id,
            SEVERITIES[severity_id],
            body,
            None, None, None, None,
            _metadata(begun, time),
            shared[2],
            trace_id,
            span_id,
            actors[service],
            shared[1],
            EMPTY_OBJECT, EMPTY_OBJECT,
            message.subject,
            service,
            word,
            scope_version,
            _unmapped(attributes, shared[0], contexts[scope, event, source]),
            dumps(record).decode() if keep_raw else None,
        )  # fmt: skip

    return row


def _metadata(begun: bytes, time: Any) -> bytes:
    """Close the message's metadata, with the time as the payload had it."""
    if time is None:
        return begun + b"}"
    return b'%b,"original_time":%b}' % (begun, b'"%d"' % time if time.__class__ is int else dumps(text(time)))


def _unmapped(attributes: dict[str, Any] | None, resource_json: bytes, context: bytes) -> bytes:
    """Join what has no column; each part ends with a comma where it is not empty."""
    own = b'"attributes":%b,' % dumps(attributes) if attributes else b""
    return b"\x01{%b}" % (own + resource_json + context)[:-1]


def _context(key: tuple[str | None, str | None, str | None]) -> bytes:
    parts = zip(("scope_name", "event_name", "source"), key, strict=True)
    return b"".join(b'"%b":%b,' % (name.encode(), dumps(value)) for name, value in parts if value)


def _actor(service: str | None) -> bytes:
    return b'\x01{"app_name":%b}' % dumps(service) if service else EMPTY_OBJECT


def _sender(resource: dict[str, Any], record: Record) -> Sender:
    """Find host and address in the record's own fields, else in its resource."""
    host = _first(text_or_none, _HOST, record, resource)
    address = _first(address_in, _ADDRESS, record, resource)
    observed = [{"name": host, "type": "Hostname", "type_id": 1}] if host else []
    if address:
        observed.append({"name": address, "type": "IP Address", "type_id": 2})
    return (
        b'"resource_attributes":%b,' % dumps(resource) if resource else b"",
        b'\x01{"hostname":%b}' % dumps(host) if host else EMPTY_OBJECT,
        b"\x01" + dumps(observed) if observed else EMPTY_LIST,
    )


def _first(read: Callable[[Any], str | None], keys: tuple[str, ...], *places: dict[str, Any]) -> str | None:
    return next((found for place in places for key in keys if (found := read(place.get(key)))), None)


def text_or_none(value: Any) -> str | None:
    """Return text that is not blank, None for anything else."""
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


def _candidates(said: str) -> tuple[str, ...]:
    without_port, without_partition = said.rpartition(":")[0], said.partition(":")[2]
    return said, without_port, without_partition.rpartition(":")[0], without_partition


OCSF_EVENTS_FROM_LOGS = Table(
    name="ocsf_events",
    columns=COLUMNS,
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
)
