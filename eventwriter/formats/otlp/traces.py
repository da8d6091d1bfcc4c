"""
Spans in OTLP, flattened to one record each, and spans in other JSON forms (`otlp.spans`).

A record has one key for each of `FIELDS`, with their meaning in the OpenTelemetry trace data model.
Identifiers are lower-case hexadecimal digits; other absent fields are None. Fields of a span without a
column are attributes, under the names that OpenTelemetry specifies for formats without such fields.

Source: opentelemetry-proto 1.x, trace.proto and trace_service.proto; OpenTelemetry specification,
"Mapping to non-OTLP formats".
"""

from collections.abc import Sequence
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.json import check_count
from eventwriter.formats.otlp.decoder import Decoder
from eventwriter.formats.otlp.encoding import (
    NO_SPAN_ID,
    NO_TRACE_ID,
    SPAN_ID_DIGITS,
    TRACE_ID_DIGITS,
    TRACES,
    UNKNOWN_SERVICE,
    Encoding,
    Resource,
    Scope,
    cleaned,
    unknown_field,
    unmapped_of,
)
from eventwriter.formats.otlp.spans import FIELDS, missing_id, read_span
from eventwriter.model import Record, Records

__all__ = ["FIELDS", "decode"]

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
"""Identifiers of zeros only are invalid; they mean that there is none."""


def _flatten(request: Any, encoding: Encoding, records: Records) -> None:
    for group in request.resource_spans:
        source = encoding.resource(group.resource)
        records.fields_ignored += source.fields_ignored + bool(group.schema_url)
        for scoped in encoding.scopes(group, "scope_spans"):
            if encoding.unknown(scoped):
                raise unknown_field(scoped)
            _add_spans(records, source, scoped, encoding)


def _add_spans(  # noqa: C901  # hot: a branch for each field that is often absent
    records: Records, source: Resource, scoped: Any, encoding: Encoding
) -> None:
    attributes, unknown = encoding.attributes, encoding.unknown
    scope, spans = encoding.scope(scoped.scope), scoped.spans
    shared = unmapped_of(scope, scoped.schema_url)
    template = _template(source, scope)
    last_trace, trace_id = b"", ""
    check_count(len(records), spans)
    if spans and spans[0].flags:
        records.fields_ignored += len(spans)  # an SDK sets them in all spans or in none
    for span in spans:
        # Hot: once per record. Each field is read once; copying the template is faster than a dict display.
        trace, own_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
        if unknown(span):
            raise unknown_field(span)
        if trace != last_trace:
            last_trace, trace_id = trace, trace.hex()
        if len(trace) != 16 or trace == _NO_TRACE or len(own_id) != 8 or own_id == _NO_SPAN:
            raise _invalid_id(span)
        record = template.copy()
        record["trace_id"], record["span_id"] = trace_id, own_id.hex()
        if parent_id and parent_id != _NO_SPAN:
            if len(parent_id) != 8:
                raise _invalid_id(span)
            record["parent_span_id"] = parent_id.hex()
        status, name, events, links, own = span.status, span.name, span.events, span.links, span.attributes
        message = status.message
        if name:
            record["name"] = name if "\0" not in name else cleaned(name)
        record["kind"] = span.kind
        record["start_time_unix_nano"] = span.start_time_unix_nano
        record["end_time_unix_nano"] = span.end_time_unix_nano
        record["status_code"] = status.code
        if message:
            record["status_message"] = cleaned(message)
        record["attributes"] = attributes(own)
        if events:
            record["events"] = _events(events, encoding)
        if links:
            record["links"] = _links(links, encoding)
        if (
            shared
            or span.trace_state
            or span.dropped_attributes_count
            or span.dropped_events_count
            or span.dropped_links_count
        ):
            record["attributes"] = _with_unmapped(span, record["attributes"], shared)
        records.append(record)


def _template(source: Resource, scope: Scope) -> Record:
    """Return the record of a span that has nothing but its resource and its scope."""
    return dict.fromkeys(FIELDS) | {
        "service_name": source.service_name or UNKNOWN_SERVICE,
        "service_version": source.service_version,
        "service_instance": source.service_instance,
        "scope_name": scope.name,
        "scope_version": scope.version,
        "resource_attributes": source.attributes,
        "parent_span_id": "",
        "events": [],
        "links": [],
    }


def _invalid_id(span: Any) -> Poison:
    for field, size in (("trace_id", 16), ("span_id", 8), ("parent_span_id", 8)):
        value = getattr(span, field)
        if value and len(value) != size:
            return Poison("malformed", f"{field} has {len(value)} bytes, not {size}")
    return missing_id(span.trace_id.hex(), span.span_id.hex())


def _with_unmapped(span: Any, own: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span with its fields that have no column; attributes of the same name win."""
    unmapped = dict(shared)
    if span.trace_state:
        unmapped["w3c.tracestate"] = cleaned(span.trace_state)
    for field in ("dropped_attributes_count", "dropped_events_count", "dropped_links_count"):
        if count := getattr(span, field):
            unmapped[f"otel.{field}"] = count
    return unmapped | own


def _events(events: Sequence[Any], encoding: Encoding) -> list[dict[str, Any]]:
    found = []
    for event in events:
        if encoding.unknown(event):
            raise unknown_field(event)
        converted = {
            "time_unix_nano": event.time_unix_nano,
            "name": cleaned(event.name),
            "attributes": encoding.attributes(event.attributes),
        }
        if event.dropped_attributes_count:
            converted["dropped_attributes_count"] = event.dropped_attributes_count
        found.append(converted)
    return found


def _links(links: Sequence[Any], encoding: Encoding) -> list[dict[str, Any]]:
    found = []
    for link in links:
        if encoding.unknown(link):
            raise unknown_field(link)
        trace_id, span_id = link.trace_id.hex(), link.span_id.hex()
        if len(trace_id) not in (0, TRACE_ID_DIGITS) or len(span_id) not in (0, SPAN_ID_DIGITS):
            raise Poison("malformed", f"a link has the identifiers {trace_id!r} and {span_id!r}, not 16 and 8 bytes")
        converted = {
            "trace_id": "" if trace_id == NO_TRACE_ID else trace_id,
            "span_id": "" if span_id == NO_SPAN_ID else span_id,
            "attributes": encoding.attributes(link.attributes),
        }
        if link.trace_state:
            converted["trace_state"] = cleaned(link.trace_state)
        for field in ("dropped_attributes_count", "flags"):
            if value := getattr(link, field):
                converted[field] = value
        found.append(converted)
    return found


decode = Decoder(TRACES, _flatten, read_span, "start_time_unix_nano")
"""
Decode the spans of a message.

Raises:
    Poison: `malformed`; `missing_field` for a span without its identifiers; `unknown_shape` for a JSON object
        that is not a span.
"""
