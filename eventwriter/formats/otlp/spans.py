"""
Spans in JSON forms other than OTLP, converted to the fields of `FIELDS`.

* Flat: the names of `FIELDS` in snake_case or camelCase.
* Console: what OpenTelemetry's console exporters print; identifiers are in `context` (Python), or the span's is `id`
  and times are in microseconds (JavaScript).
* Zipkin v2: `traceId`, `id`, `parentId`, `localEndpoint`, times in microseconds.

Values keep the types of the payload, which the table converts. Fields without a column become attributes.

Sources: Zipkin API v2; OpenTelemetry specification, "OpenTelemetry to Zipkin Transformation"; the console
exporters of opentelemetry-python 1.x and opentelemetry-js 1.x and 2.x.
"""

import math
from collections.abc import Sequence
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from eventwriter.errors import Poison
from eventwriter.formats.fields import find, instant_us, json_value, names, number, text
from eventwriter.formats.otlp.encoding import UNKNOWN_SERVICE
from eventwriter.formats.otlp.json import enum_names, enum_number, id_text
from eventwriter.model import Record, Records

FIELDS = (
    "timestamp", "trace_id", "span_id", "parent_span_id", "name", "kind", "start_time_unix_nano",
    "end_time_unix_nano", "service_name", "service_version", "service_instance", "scope_name", "scope_version",
    "status_code", "status_message", "attributes", "resource_attributes", "events", "links",
)  # fmt: skip
"""Keys of a span's record."""

_ALIASES = tuple((field, names(field)) for field in FIELDS)
_FLAT_KEYS = frozenset(key for _, keys in _ALIASES for key in keys)
_TRACE_ID, _SPAN_ID, _PARENT_ID = names("trace_id"), names("span_id"), names("parent_span_id")
_IDS = ("trace_id", "span_id", "parent_span_id")
_MARKS = frozenset({*_TRACE_ID, *_SPAN_ID, *names("start_time_unix_nano")})
"""Keys of which a flat span has at least one; a `name` alone does not make a span."""
_EMPTY: Record = dict.fromkeys(FIELDS)
_KINDS = enum_names(Span.SpanKind.DESCRIPTOR)
_STATUS_CODES = enum_names(Status.StatusCode.DESCRIPTOR)
_RESOURCE_FIELDS = ("service_name", "service.name"), (
    "service_version", "service.version"), ("service_instance", "service.instance.id")  # fmt: skip


def missing_id(trace_id: Any, span_id: Any) -> Poison:
    """Return the error for a span that lacks an identifier; rows without one could not be told apart."""
    missing = " and ".join(
        name for name, value in (("trace_id", trace_id), ("span_id", span_id)) if not text(value) or not id_text(value)
    )
    return Poison("missing_field", f"a span has no {missing}")


def read_span(span: Record, records: Records) -> None:
    """
    Add the record of a span in any of the forms.

    Raises:
        Poison: `unknown_shape` for an object of none of the forms; `missing_field` for a span without its identifiers.
    """
    if span.get("context").__class__ is dict:
        record = _python_console(span)
    elif find(span, _SPAN_ID) is None and span.get("id") is not None and find(span, _TRACE_ID) is not None:
        is_zipkin = span.get("resource").__class__ is not dict and span.get("attributes").__class__ is not dict
        record = _zipkin(span) if is_zipkin else _javascript_console(span)
    elif _MARKS.isdisjoint(span):
        known = ", ".join(sorted(_MARKS))
        raise Poison(
            "unknown_shape", f"the object is neither an OTLP/JSON export nor a span: it has none of {known},"
            f" but {_some_keys(span)}",
        )  # fmt: skip
    else:
        record = _flat(span)
    for field in _IDS:
        record[field] = id_text(record[field])
    if not record["trace_id"] or not record["span_id"]:
        raise missing_id(record["trace_id"], record["span_id"])
    records.append(record)


def _some_keys(record: Record) -> str:
    return ", ".join(sorted(record)[:20]) or "no key at all"


def _flat(span: Record) -> Record:
    """Convert a flat span; keys that are not fields become attributes."""
    record = _EMPTY.copy()
    record.update(span)
    if len(record) != len(FIELDS):  # other keys than those of the fields in snake_case
        record = {field: find(span, keys) for field, keys in _ALIASES}
        rest = {key: value for key, value in span.items() if key not in _FLAT_KEYS and value is not None}
        record["attributes"] = _merged(record["attributes"], rest)
    if record["service_name"] is None:
        resource = json_value(record["resource_attributes"])
        named = resource.get("service.name") if resource.__class__ is dict else None
        record["service_name"] = UNKNOWN_SERVICE if named is None else named
    record["kind"] = enum_number(record["kind"], _KINDS)
    record["status_code"] = enum_number(record["status_code"], _STATUS_CODES)
    return record


def _merged(attributes: Any, rest: Record) -> Any:
    """Return attributes with further fields; fields of the same name do not replace attributes."""
    own = json_value(attributes)
    if own is None or (not rest and own.__class__ is dict):
        return rest or attributes
    return {**rest, **own} if own.__class__ is dict else {**rest, "attributes": own}


def _object(value: Any) -> Record:
    return value if value.__class__ is dict else {}


_OBJECT_KEYS = frozenset(("status", "resource", "instrumentationScope", "parentSpanContext", "tags"))
"""Keys whose value is kept as an attribute if it is not an object."""


def _record(span: Record, mapped: Sequence[str], resource: Record, fields: Record) -> Record:
    """
    Return the record of a span that is not flat.

    Args:
        mapped: Keys of the span that `fields` covers; the others become attributes.
        resource: Attributes of its resource.
        fields: Its fields; absent ones may be left out.
    """
    rest = {
        key: value
        for key, value in span.items()
        if value is not None and (key not in mapped or (key in _OBJECT_KEYS and value.__class__ is not dict))
    }
    record = dict.fromkeys(FIELDS)
    record |= {field: resource.get(name) for field, name in _RESOURCE_FIELDS} | fields
    own = fields.get("attributes")
    record["attributes"] = _merged({} if own is None else own, rest)
    record["service_name"] = record["service_name"] or UNKNOWN_SERVICE
    return record


_PYTHON_KEYS = ("name", "context", "kind", "parent_id", "start_time", "end_time", "status", "attributes", "events",
                "links", "resource")  # fmt: skip


def _python_console(span: Record) -> Record:
    """Convert what ConsoleSpanExporter of opentelemetry-python prints."""
    context, status, resource = _object(span["context"]), _object(span.get("status")), _object(span.get("resource"))
    attributes = _object(resource.get("attributes"))
    kind = span.get("kind")
    record = _record(
        span,
        _PYTHON_KEYS,
        attributes,
        {
            "trace_id": find(context, _TRACE_ID),
            "span_id": find(context, _SPAN_ID),
            "parent_span_id": span.get("parent_id"),
            "name": span.get("name"),
            "kind": enum_number(kind.removeprefix("SpanKind.") if kind.__class__ is str else kind, _KINDS),
            "timestamp": span.get("start_time"),
            "start_time_unix_nano": _nanoseconds(span.get("start_time")),
            "end_time_unix_nano": _nanoseconds(span.get("end_time")),
            "status_code": enum_number(status.get("status_code"), _STATUS_CODES),
            "status_message": status.get("description"),
            "attributes": span.get("attributes"),
            "resource_attributes": attributes,
            "events": [_console_event(event) for event in _list(span, "events")],
            "links": [_console_link(link) for link in _list(span, "links")],
        },
    )
    state = context.get("trace_state")
    if state and state != "[]":
        record["attributes"] = {"w3c.tracestate": state, **record["attributes"]}
    return record


def _list(span: Record, key: str) -> list[Record]:
    """Return an array of objects; an empty one if it is absent."""
    value = span.get(key)
    if value is None:
        return []
    if value.__class__ is not list or any(element.__class__ is not dict for element in value):
        raise Poison("malformed", f"{key} of a span is not an array of objects")
    return value


def _nanoseconds(value: Any) -> Any:
    """Return an instant in ISO 8601 as nanoseconds since 1970, and an unreadable one as it is."""
    us = instant_us(value)
    return value if us is None else us * 1000


def _console_event(event: Record) -> Record:
    return {"time_unix_nano": _nanoseconds(event.get("timestamp"))} | {
        key: value for key, value in event.items() if key != "timestamp"
    }


def _console_link(link: Record) -> Record:
    context = _object(link.get("context"))
    return {"trace_id": id_text(find(context, _TRACE_ID)), "span_id": id_text(find(context, _SPAN_ID))} | {
        key: value for key, value in link.items() if key != "context" or value.__class__ is not dict
    }


def _from_us(record: Record, key: str) -> int | None:
    """Return microseconds as nanoseconds; None if they are absent."""
    value = record.get(key)
    if value is None:
        return None
    if value.__class__ is int:
        return value * 1000
    us = number(value)
    if us is None or value.__class__ is bool or not math.isfinite(us):
        raise Poison("bad_value", f"{key} of a span is {text(value)!r}, not a number of microseconds")
    return round(us * 1000)


def _times(span: Record) -> Record:
    """Return the start and the end of a span that has `timestamp` and `duration` in microseconds."""
    start, duration = _from_us(span, "timestamp"), _from_us(span, "duration")
    end = None if start is None or duration is None else start + duration
    return {"start_time_unix_nano": start, "end_time_unix_nano": end, "timestamp": span.get("timestamp")}


_JAVASCRIPT_KEYS = ("traceId", "id", "name", "kind", "timestamp", "duration", "attributes", "status", "events", "links",
                    "resource", "instrumentationScope", "parentSpanContext", "parentId", "traceState")  # fmt: skip


def _javascript_console(span: Record) -> Record:
    """Convert what ConsoleSpanExporter of opentelemetry-js prints, as JSON."""
    resource, status = _object(_object(span["resource"]).get("attributes")), _object(span.get("status"))
    scope, parent = _object(span.get("instrumentationScope")), _object(span.get("parentSpanContext"))
    kind = span.get("kind")
    record = _record(
        span,
        _JAVASCRIPT_KEYS,
        resource,
        {
            "trace_id": span.get("traceId"),
            "span_id": span.get("id"),
            "parent_span_id": parent.get("spanId") or span.get("parentId"),
            "name": span.get("name"),
            # JavaScript's API counts the kinds from INTERNAL 0.
            "kind": kind + 1 if kind.__class__ is int else enum_number(kind, _KINDS),
            **_times(span),
            "scope_name": scope.get("name"),
            "scope_version": scope.get("version"),
            "status_code": status.get("code"),
            "status_message": status.get("message"),
            "attributes": span.get("attributes"),
            "resource_attributes": resource,
            "events": [
                {key: value for key, value in event.items() if key != "time"}
                | {"time_unix_nano": _seconds_and_ns(event.get("time"))}
                for event in _list(span, "events")
            ],
            "links": [_console_link(link) for link in _list(span, "links")],
        },
    )
    if state := span.get("traceState"):
        record["attributes"] = {"w3c.tracestate": state, **record["attributes"]}
    return record


def _seconds_and_ns(value: Any) -> Any:
    """Return `[seconds, nanoseconds]` as nanoseconds, and other values as they are."""
    if value.__class__ is list and len(value) == 2 and all(part.__class__ is int for part in value):
        return value[0] * 1_000_000_000 + value[1]
    return value


_ZIPKIN_KEYS = ("traceId", "trace_id", "id", "parentId", "parent_id", "name", "kind", "timestamp", "duration",
                "tags", "annotations")  # fmt: skip
_ZIPKIN_WITHOUT_START = tuple(key for key in _ZIPKIN_KEYS if key != "duration")
"""A duration without a start gives no end, so it becomes an attribute."""
_LOCAL = names("local_endpoint")


def _zipkin(span: Record) -> Record:
    """Convert a span of Zipkin v2. Its tags become attributes; the addresses of its endpoints stay objects there."""
    tags, local = _object(span.get("tags")), _object(find(span, _LOCAL))
    trace_id = text(find(span, _TRACE_ID)) or ""
    status = tags.get("otel.status_code") or ("ERROR" if tags.get("error") not in (None, "false") else None)
    address: Any = {key: value for key, value in local.items() if key not in ("serviceName", "service_name")}
    if not local:
        address = find(span, _LOCAL)
    mapped = _ZIPKIN_KEYS if span.get("timestamp") is not None else _ZIPKIN_WITHOUT_START
    return _record(
        span | {"local_endpoint": None, "localEndpoint": None if address == {} else address},
        mapped,
        tags,
        {
            # Identifiers of 8 bytes are padded, as OpenTelemetry's collector does.
            "trace_id": trace_id.rjust(32, "0") if len(trace_id) == 16 else trace_id,
            "span_id": span.get("id"),
            "parent_span_id": find(span, ("parentId", "parent_id")),
            "name": span.get("name"),
            "kind": enum_number(span.get("kind") or "INTERNAL", _KINDS),
            **_times(span),
            "service_name": find(local, ("serviceName", "service_name")) or tags.get("service.name"),
            "scope_name": find(tags, ("otel.scope.name", "otel.library.name")),
            "scope_version": find(tags, ("otel.scope.version", "otel.library.version")),
            "status_code": enum_number(status, _STATUS_CODES),
            "status_message": find(tags, ("otel.status_description", "error")) if status == "ERROR" else None,
            "attributes": tags,
            "events": [
                {"time_unix_nano": _from_us(event, "timestamp"), "name": event.get("value"), "attributes": {}}
                for event in _list(span, "annotations")
            ],
            "links": [],
        },
    )
