"""
Log records in OTLP, flattened to one record each, and records of other forms: JSON objects as they are, syslog lines.

Flattened records have the keys that ServiceRadar's rule engine gives to the same logs, so that both become
the same rows. Absent fields are None.

Source: opentelemetry-proto 1.x, logs.proto.
"""

from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from eventwriter.errors import Poison
from eventwriter.formats import fluent_bit, syslog
from eventwriter.formats.fields import text
from eventwriter.formats.json import check_count, is_text
from eventwriter.formats.otlp.decoder import Decoder
from eventwriter.formats.otlp.encoding import (
    LOGS,
    Encoding,
    Resource,
    cleaned,
    unknown_field,
)
from eventwriter.model import Message, Record, Records

FIELDS = (
    "resource_attributes", "service_name", "service_version", "service_instance", "scope_name", "scope_version",
    "scope_attributes", "timestamp", "observed_time_unix_nano", "severity_number", "severity_text", "body",
    "attributes", "trace_id", "span_id", "trace_flags", "event_name",
)  # fmt: skip
"""Keys of a flattened record."""

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_ID_BYTES = {"trace_id": 16, "span_id": 8}
_TRACE_FLAGS_MASK = 0xFF
"""The bits of W3C's trace flags; the bits above them are reserved by OTLP."""
_LEGACY_NAME_FIELD = 4
"""`LogRecord.name` of opentelemetry-proto before 0.16, now `event_name`."""


def _flatten(request: Any, encoding: Encoding, records: Records) -> None:
    for group in request.resource_logs:
        source = encoding.resource(group.resource)
        records.fields_ignored += source.fields_ignored + bool(group.schema_url)
        for scoped in encoding.scopes(group, "scope_logs"):
            if encoding.unknown(scoped):
                raise unknown_field(scoped)
            records.fields_ignored += bool(scoped.schema_url)
            _add_logs(records, source, scoped, encoding)


def _add_logs(records: Records, source: Resource, scoped: Any, encoding: Encoding) -> None:
    attributes, unknown, plain = encoding.attributes, encoding.unknown, encoding.plain
    scope, logs = encoding.scope(scoped.scope), scoped.log_records
    template: Record = dict.fromkeys(FIELDS)
    template |= {
        "resource_attributes": source.attributes,
        "service_name": source.service_name,
        "service_version": source.service_version,
        "service_instance": source.service_instance,
        "scope_name": scope.name,
        "scope_version": scope.version,
        "scope_attributes": scope.attributes,
    }
    ignored = 0
    check_count(len(records), logs)
    for log in logs:
        # Hot: once per record. Each field is read once; copying the template is faster than a dict display.
        record = template.copy()
        observed, trace, own_id, name = log.observed_time_unix_nano, log.trace_id, log.span_id, log.event_name
        severity, flags, body, own = log.severity_text, log.flags, log.body, log.attributes
        if unknown(log):
            name = name or _legacy_name(log)
        if trace:
            record["trace_id"] = trace.hex() if len(trace) == 16 and trace != _NO_TRACE else _checked("trace_id", trace)
        if own_id:
            record["span_id"] = own_id.hex() if len(own_id) == 8 and own_id != _NO_SPAN else _checked("span_id", own_id)
        record["timestamp"] = log.time_unix_nano or observed or None
        record["observed_time_unix_nano"] = observed or None
        record["severity_number"] = log.severity_number or None
        record["severity_text"] = cleaned(severity) or None
        body = plain(body)
        record["body"] = body if body.__class__ is str and body else text(body) or None
        record["attributes"] = attributes(own) or None
        if flags:
            record["trace_flags"] = flags & _TRACE_FLAGS_MASK or None
        if name:
            record["event_name"] = cleaned(name)
        if log.dropped_attributes_count:
            ignored += 1
        records.append(record)
    records.fields_ignored += ignored


def _checked(field: str, value: bytes) -> str | None:
    """Return None for an identifier of zeros, which means that there is none; refuse any other."""
    if len(value) != _ID_BYTES[field]:
        raise Poison("malformed", f"{field} has {len(value)} bytes, not {_ID_BYTES[field]}")
    return None


def _legacy_name(log: Any) -> str:
    """Return the name of a log record of former versions of OTLP; refuse any other unknown field."""
    unknown = UnknownFieldSet(log)
    name = unknown[0].data if len(unknown) == 1 and unknown[0].field_number == _LEGACY_NAME_FIELD else None
    if not isinstance(name, bytes):
        raise unknown_field(log)
    return name.decode("utf-8", "replace")


def _keep(record: Record, records: Records) -> None:
    records.append(record)


_decode = Decoder(LOGS, _flatten, _keep, "timestamp")


def decode(message: Message) -> list[Record]:
    """
    Decode the log records of a message: OTLP, JSON, syslog lines, or Fluent Bit's arrays.

    Raises:
        Poison: `malformed`; `too_large`.
    """
    # Hot: once per message. No other form begins with `<`: as protobuf it would end a group.
    payload = message.payload
    if payload[:1] == b"<":
        return syslog.decode(payload)
    try:
        return _decode(message)
    except Poison as poison:
        return _decode_rare(payload, poison)


def _decode_rare(payload: bytes, poison: Poison) -> list[Record]:
    """Decode a payload that is neither OTLP nor JSON objects, or raise `poison`."""
    if payload.lstrip()[:1] == b"[":
        return fluent_bit.decode(payload, poison)
    if is_text(payload) and syslog.is_syslog(payload.decode()):
        return syslog.decode(payload)
    raise poison
