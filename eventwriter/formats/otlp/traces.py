"""
Spans: OTLP protobuf, OTLP/JSON, or flat JSON objects, all to the same flat records.

A record has one key for each of `FIELDS`, in their meaning of the OpenTelemetry trace
data model; identifiers are lower-case hex, '' where absent; what else is absent is None.
Values of JSON payloads are as the payload has them: their types are the table's to settle.

Source: opentelemetry-proto 1.x, trace.proto and trace_service.proto.
"""

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from eventwriter.errors import Poison
from eventwriter.formats.fields import find, names
from eventwriter.formats.json import check_count
from eventwriter.formats.otlp import encoding
from eventwriter.formats.otlp.encoding import UNKNOWN_SERVICE, Resource, attributes, cleaned
from eventwriter.formats.otlp.json import json_attributes, json_enum, json_id, json_list, json_object, json_whole
from eventwriter.model import Message, Record

FIELDS = (
    "timestamp", "trace_id", "span_id", "parent_span_id", "name", "kind", "start_time_unix_nano",
    "end_time_unix_nano", "service_name", "service_version", "service_instance", "scope_name", "scope_version",
    "status_code", "status_message", "attributes", "resource_attributes", "events", "links",
)  # fmt: skip

_ALIASES = tuple((field, names(field)) for field in FIELDS)
_IDS = ("trace_id", "span_id", "parent_span_id")
_MARKS = frozenset(
    {"name", *(key for field in ("trace_id", "span_id", "start_time_unix_nano") for key in names(field))}
)
"""What tells a span: an object with none of them is something else."""
_KINDS = {"UNSPECIFIED": 0, "INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_STATUS_CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}
_PATH = ("resource_spans", "scope_spans", "spans")
_NO_PARENT = bytes(8)
"""Identifiers of zeros only are invalid, and some producers send them for a root's parent."""


def decode(message: Message) -> list[Record]:
    """
    Read the spans of a payload.

    Raises:
        Poison: `malformed`; `unknown_shape` for a JSON object that is no span.
    """
    return encoding.decode(message.payload, ExportTraceServiceRequest, _from_protobuf, _from_json)


def _from_protobuf(request: ExportTraceServiceRequest) -> list[Record]:
    records: list[Record] = []
    for group in request.resource_spans:
        source = encoding.resource(attributes(group.resource.attributes))
        for part in group.scope_spans:
            _add_spans(records, source, part)
    if not records:
        encoding.check_nothing_unknown(request, _PATH)
    return records


def _add_spans(records: list[Record], source: Resource, part: ScopeSpans) -> None:
    service_name, version, instance = source.service_name or UNKNOWN_SERVICE, source[2], source[3]
    scope_name, scope_version = cleaned(part.scope.name) or None, cleaned(part.scope.version) or None
    check_count(len(records), part.spans)
    for span in part.spans:
        # Hot: once per record; each field is read once.
        trace_id, span_id, parent_id = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id
        if not trace_id and not span_id:
            encoding.check_own_fields(span)
        status, name, events, links = span.status, span.name, span.events, span.links
        records.append(
            {
                "timestamp": None,
                "trace_id": trace_id,
                "span_id": span_id,
                "parent_span_id": parent_id.hex() if parent_id != _NO_PARENT else "",
                "name": cleaned(name) or None,
                "kind": span.kind,
                "start_time_unix_nano": span.start_time_unix_nano,
                "end_time_unix_nano": span.end_time_unix_nano,
                "service_name": service_name,
                "service_version": version,
                "service_instance": instance,
                "scope_name": scope_name,
                "scope_version": scope_version,
                "status_code": status.code,
                "status_message": cleaned(status.message) or None,
                "attributes": attributes(span.attributes),
                "resource_attributes": source.attributes,
                "events": _events(events) if events else [],
                "links": _links(links) if links else [],
            }
        )


def _events(events: Iterable[Span.Event]) -> list[dict[str, Any]]:
    return [
        {
            "time_unix_nano": event.time_unix_nano,
            "name": cleaned(event.name),
            "attributes": attributes(event.attributes),
        }
        for event in events
    ]


def _links(links: Iterable[Span.Link]) -> list[dict[str, Any]]:
    found = []
    for link in links:
        one = {
            "trace_id": link.trace_id.hex(),
            "span_id": link.span_id.hex(),
            "attributes": attributes(link.attributes),
        }
        if link.trace_state:
            one["trace_state"] = cleaned(link.trace_state)
        found.append(one)
    return found


_RESOURCE_SPANS, _SCOPE_SPANS = names("resource_spans"), names("scope_spans")
_TRACE_ID, _SPAN_ID, _PARENT_ID, _STATE = (
    names(field) for field in ("trace_id", "span_id", "parent_span_id", "trace_state")
)
_START, _END, _TIME = names("start_time_unix_nano"), names("end_time_unix_nano"), names("time_unix_nano")


def _from_json(objects: list[Record]) -> list[Record]:
    records: list[Record] = []
    for one in objects:
        if (groups := next((one[key] for key in _RESOURCE_SPANS if key in one), one)) is one:
            records.append(_flat(one))
        else:
            for group in json_list(groups, "resourceSpans"):
                _add_group(records, group)
    return records


def _flat(span: Record) -> Record:
    """Return a flat JSON span with the names of `FIELDS`."""
    if _MARKS.isdisjoint(span):
        known = ", ".join(sorted(_MARKS))
        raise Poison("unknown_shape", f"the object is neither OTLP/JSON nor a span: it has none of {known}")
    record = {field: find(span, keys) for field, keys in _ALIASES}
    for field in _IDS:
        record[field] = json_id(record[field])
    if record["service_name"] is None:
        inner = record["resource_attributes"]
        named = inner.get("service.name") if inner.__class__ is dict else None
        record["service_name"] = UNKNOWN_SERVICE if named is None else named
    record["kind"] = json_enum(record["kind"], "SPAN_KIND_", _KINDS)
    record["status_code"] = json_enum(record["status_code"], "STATUS_CODE_", _STATUS_CODES)
    return record


def _add_group(records: list[Record], group: Record) -> None:
    source = encoding.resource(json_attributes(json_object(group.get("resource"), "resource").get("attributes")))
    for part in json_list(find(group, _SCOPE_SPANS), "scopeSpans"):
        scope = json_object(part.get("scope"), "scope")
        shared = {
            "timestamp": None,
            "service_name": source.service_name or UNKNOWN_SERVICE,
            "service_version": source.service_version,
            "service_instance": source.service_instance,
            "scope_name": scope.get("name") or None,
            "scope_version": scope.get("version") or None,
            "resource_attributes": source.attributes,
        }
        spans = json_list(part.get("spans"), "spans")
        check_count(len(records), spans)
        records.extend(shared | _span(span) for span in spans)


def _span(span: Record) -> Record:
    parent_id, status = json_id(find(span, _PARENT_ID)), json_object(span.get("status"), "status")
    return {
        "trace_id": json_id(find(span, _TRACE_ID)),
        "span_id": json_id(find(span, _SPAN_ID)),
        "parent_span_id": parent_id if parent_id.strip("0") else "",
        "name": span.get("name") or None,
        "kind": json_enum(span.get("kind") or 0, "SPAN_KIND_", _KINDS),
        "start_time_unix_nano": find(span, _START) or 0,
        "end_time_unix_nano": find(span, _END) or 0,
        "status_code": json_enum(status.get("code") or 0, "STATUS_CODE_", _STATUS_CODES),
        "status_message": status.get("message") or None,
        "attributes": json_attributes(span.get("attributes")),
        "events": [_event(event) for event in json_list(span.get("events"), "events")],
        "links": [_link(link) for link in json_list(span.get("links"), "links")],
    }


def _event(event: Record) -> Record:
    return {
        "time_unix_nano": json_whole(find(event, _TIME) or 0),
        "name": event.get("name") or "",
        "attributes": json_attributes(event.get("attributes")),
    }


def _link(link: Record) -> Record:
    found = {
        "trace_id": json_id(find(link, _TRACE_ID)),
        "span_id": json_id(find(link, _SPAN_ID)),
        "attributes": json_attributes(link.get("attributes")),
    }
    state = find(link, _STATE)
    return found | {"trace_state": state} if state else found
