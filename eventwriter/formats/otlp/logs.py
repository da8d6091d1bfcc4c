"""
Log payloads: OTLP exports, in protobuf or JSON, flattened to one record each; other JSON as it is.

The records of an export have the keys that ServiceRadar's rule engine gives the same
logs, so that both ways end in the same rows. What the export does not say is None.

Source: opentelemetry-proto 1.x, logs.proto; OpenTelemetry Protocol specification 1.5, "JSON Protobuf Encoding".
"""

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from eventwriter.formats.fields import find, names, text
from eventwriter.formats.json import check_count
from eventwriter.formats.otlp.encoding import (
    Resource,
    attributes,
    check_nothing_unknown,
    check_own_fields,
    cleaned,
    plain,
    resource,
)
from eventwriter.formats.otlp.encoding import decode as decode_otlp
from eventwriter.formats.otlp.json import (
    json_attributes,
    json_enum,
    json_id,
    json_list,
    json_object,
    json_plain,
    json_whole,
)
from eventwriter.formats.severity import SHORT_NAMES
from eventwriter.model import Message, Record

_TRACE_FLAGS_MASK = 0xFF
"""W3C's trace flags; the bits above them are OTLP's own."""

_RESOURCE_LOGS, _SCOPE_LOGS, _LOG_RECORDS = names("resource_logs"), names("scope_logs"), names("log_records")
_TIME, _OBSERVED = names("time_unix_nano"), names("observed_time_unix_nano")
_NUMBER, _TEXT = names("severity_number"), names("severity_text")
_TRACE_ID, _SPAN_ID, _EVENT_NAME = names("trace_id"), names("span_id"), names("event_name")


def decode(message: Message) -> list[Record]:
    """
    Read the records of a payload.

    Raises:
        Poison: `malformed`.
    """
    return decode_otlp(message.payload, ExportLogsServiceRequest, from_protobuf, from_json)


def from_protobuf(request: ExportLogsServiceRequest) -> list[Record]:
    """
    Flatten an export.

    Raises:
        Poison: `malformed`: it is an export of something else.
    """
    records: list[Record] = []
    for group in request.resource_logs:
        sender = resource(attributes(group.resource.attributes))
        for scoped in group.scope_logs:
            scope, logs = scoped.scope, scoped.log_records
            common = _common(sender, cleaned(scope.name), cleaned(scope.version), attributes(scope.attributes))
            check_count(len(records), logs)
            if logs:
                check_own_fields(logs[0])
            for log in logs:
                # Hot: once per record. Each field is read once; text is nearly always there and clean.
                observed_ns, body = log.observed_time_unix_nano, log.body
                word = body.string_value
                records.append(
                    {
                        **common,
                        "timestamp": log.time_unix_nano or observed_ns or None,
                        "observed_time_unix_nano": observed_ns or None,
                        "severity_number": log.severity_number or None,
                        "severity_text": cleaned(log.severity_text) or None,
                        "body": _body(body) if not word or "\0" in word else word,
                        "attributes": attributes(log.attributes) or None,
                        "trace_id": log.trace_id.hex() or None,
                        "span_id": log.span_id.hex() or None,
                        "trace_flags": log.flags & _TRACE_FLAGS_MASK or None,
                        "event_name": cleaned(log.event_name) or None,
                    }
                )
    if not records:
        check_nothing_unknown(request, ("resource_logs", "scope_logs", "log_records"))
    return records


def _body(body: AnyValue) -> str | None:
    """Return a body as text: what is no text, as JSON."""
    return text(plain(body)) or None


def _common(sender: Resource, name: str | None, version: str | None, scope_attributes: dict[str, Any]) -> Record:
    """Return what all records of one scope share; its dicts are shared, so that their JSON is made once."""
    return {
        "resource_attributes": sender.attributes,
        "service_name": sender.service_name,
        "service_version": sender.service_version,
        "service_instance": sender.service_instance,
        "scope_name": name or None,
        "scope_version": version or None,
        "scope_attributes": scope_attributes,
    }


def from_json(objects: list[Record]) -> list[Record]:
    """
    Flatten the exports among the objects; the others are records as they are.

    Raises:
        Poison: `malformed`: a part of an export is not what OTLP says.
    """
    records: list[Record] = []
    for one in objects:
        if (groups := find(one, _RESOURCE_LOGS)) is not None:
            records += _flat(json_list(groups, "resourceLogs"))
        else:
            records.append(one)
    return records


def _flat(groups: list[Record]) -> list[Record]:
    records: list[Record] = []
    for group in groups:
        given = json_object(group.get("resource"), "resource")
        sender = resource(json_attributes(given.get("attributes")))
        for scoped in json_list(find(group, _SCOPE_LOGS), "scopeLogs"):
            scope = json_object(scoped.get("scope"), "scope")
            name, version = text(scope.get("name")), text(scope.get("version"))
            common = _common(sender, name, version, json_attributes(scope.get("attributes")))
            logs = json_list(find(scoped, _LOG_RECORDS), "logRecords")
            check_count(len(records), logs)
            records += [_record(log, common) for log in logs]
    return records


def _record(log: Record, common: Record) -> Record:
    observed, flags = json_whole(find(log, _OBSERVED)) or None, json_whole(log.get("flags"))
    return {
        **common,
        "timestamp": json_whole(find(log, _TIME)) or observed,
        "observed_time_unix_nano": observed,
        "severity_number": json_enum(find(log, _NUMBER), "SEVERITY_NUMBER_", SHORT_NAMES),
        "severity_text": find(log, _TEXT),
        "body": text(json_plain(log.get("body"))) or None,
        "attributes": json_attributes(log.get("attributes")) or None,
        "trace_id": json_id(find(log, _TRACE_ID)) or None,
        "span_id": json_id(find(log, _SPAN_ID)) or None,
        "trace_flags": (flags & _TRACE_FLAGS_MASK or None) if flags.__class__ is int else flags,
        "event_name": find(log, _EVENT_NAME),
    }
