"""
The two encodings of OTLP, protobuf and JSON, behind one interface.

`otlp.traces`, `otlp.metrics` and `otlp.logs` flatten an export request. They read fields by the names
of the generated protobuf classes; a request in JSON is parsed into objects with the same attributes
(`otlp.json`). The few operations that differ are in `Encoding`.

Attributes are plain dicts in both encodings: text, booleans, integers, floats, lists and dicts as they
are, bytes as base64 text. U+0000 in text is replaced with U+FFFD.

Source: OpenTelemetry Protocol specification 1.5; opentelemetry-proto 1.x, common.proto and resource.proto.
"""

import base64
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ProtobufResource

from eventwriter.errors import Poison
from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.fields import text
from eventwriter.formats.json import clean_text

UNKNOWN_SERVICE = "unknown"
"""Service of spans and data points whose resource is missing or has no `service.name`."""
TRACE_ID_DIGITS, SPAN_ID_DIGITS = 32, 16
"""Hexadecimal digits of identifiers, which have 16 and 8 bytes."""
NO_TRACE_ID, NO_SPAN_ID = "0" * TRACE_ID_DIGITS, "0" * SPAN_ID_DIGITS
"""Identifiers of zeros only are invalid and mean that there is no identifier."""

_LEGACY_SCOPES_FIELD = 1000
"""`instrumentation_library_spans`, `…_metrics` and `…_logs` of opentelemetry-proto 0.15 to 0.19."""
_CACHED_MAX, _CACHED_BYTES_MAX = 1000, 4096
"""Limits of the caches of resources and scopes: number, and bytes of an encoded one."""


class Signal(NamedTuple):
    """One of OTLP's signals."""

    name: str
    request: Any
    """Protobuf class of its export request."""
    path: tuple[str, str, str]
    """Fields from the request down to the records: resources, scopes, spans, metrics or log records."""


TRACES = Signal("traces", ExportTraceServiceRequest, ("resource_spans", "scope_spans", "spans"))
METRICS = Signal("metrics", ExportMetricsServiceRequest, ("resource_metrics", "scope_metrics", "metrics"))
LOGS = Signal("logs", ExportLogsServiceRequest, ("resource_logs", "scope_logs", "log_records"))
SIGNALS = (TRACES, METRICS, LOGS)


class Resource(NamedTuple):
    """
    The sender of a group of records.

    Records of one group share it, and messages with the same resource may share it too, so that its
    JSON is encoded once. It must not be modified.
    """

    attributes: dict[str, Any]
    service_name: str | None
    service_version: str | None
    service_instance: str | None
    fields_ignored: int
    """Fields that are not stored: entity references and the number of dropped attributes."""


class Scope(NamedTuple):
    """
    The instrumentation scope of a group of records, shared like a resource.

    Source of the prefixed names: OpenTelemetry specification, "Mapping to non-OTLP formats", "InstrumentationScope".
    """

    name: str | None
    version: str | None
    attributes: dict[str, Any]
    prefixed: dict[str, Any]
    """What has no column for spans and data points, under the names of their attributes; often empty."""


class Encoding(NamedTuple):
    """The operations that differ between a request in protobuf and a request in JSON."""

    attributes: Callable[[Any], dict[str, Any]]
    """Attributes of a record → dict."""
    plain: Callable[[Any], Any]
    """AnyValue → plain Python."""
    resource: Callable[[Any], Resource]
    scope: Callable[[Any], Scope]
    scopes: Callable[[Any, str], Iterable[Any]]
    """(ResourceSpans, ResourceMetrics or ResourceLogs; name of its scopes' field) → scopes, pre-2022 ones included."""
    unknown: Callable[[Any], Sized]
    """The unknown fields of a message. The JSON parser has rejected them already."""


def resource_of(message: Any, attributes: dict[str, Any]) -> Resource:
    """Return a resource; absent and empty names become None."""
    get = attributes.get
    return Resource(
        attributes,
        text(get("service.name")) or None,
        text(get("service.version")) or None,
        text(get("service.instance.id")) or None,
        (message.dropped_attributes_count != 0) + len(message.entity_refs),
    )


def scope_of(message: Any, attributes: dict[str, Any]) -> Scope:
    """Return a scope; an absent and an empty name become None."""
    prefixed = {f"otel.scope.{key}": value for key, value in attributes.items()}
    if message.dropped_attributes_count:
        prefixed["otel.scope.dropped_attributes_count"] = message.dropped_attributes_count
    return Scope(cleaned(message.name) or None, cleaned(message.version) or None, attributes, prefixed)


def unmapped_of(scope: Scope, schema_url: str) -> dict[str, Any]:
    """Return the attributes that a scope and its schema URL add to its spans or data points."""
    return scope.prefixed | {"otel.scope.schema_url": cleaned(schema_url)} if schema_url else scope.prefixed


# Protobuf


def parse(payload: bytes, signal: Signal) -> Any:
    """
    Parse an export request.

    Raises:
        Poison: `malformed`: the payload is empty, is not a request, or has fields that a request does not have
            (almost any short text is a valid protobuf message of unknown fields).
    """
    if not payload:
        raise Poison("malformed", "the payload is empty")
    try:
        request = signal.request.FromString(payload)
    except DecodeError as error:
        name = signal.request.DESCRIPTOR.name
        raise Poison("malformed", f"the payload is neither JSON nor an OTLP {name}: {error}") from None
    if UnknownFieldSet(request):
        raise unknown_field(request)
    return request


def unknown_field(message: Protobuf) -> Poison:
    """Return the error for a message with unknown fields, which names the first of them."""
    fields, name = message.DESCRIPTOR.fields_by_number, message.DESCRIPTOR.name
    number = UnknownFieldSet(message)[0].field_number
    if (known := fields.get(number)) is not None:
        return Poison("malformed", f"field {known.name} of {name} has the wrong wire type: the payload is not OTLP")
    return Poison("malformed", f"the payload is not OTLP: {name} has field {number}, which OTLP does not define")


def cleaned(value: str) -> str:
    """Return text from protobuf without U+0000."""
    return value if "\0" not in value else clean_text(value)


def attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    """Return protobuf attributes as a dict; the values of a key that occurs repeatedly become a list."""
    # Hot: several attributes to a record. Most are text, then integers: these are read without a call.
    found: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        word = value.string_value
        if word:
            found[pair.key] = word if "\0" not in word else clean_text(word)
        else:
            found[pair.key] = value.int_value or plain(value)
    if len(found) != len(pairs):
        return with_repeated((pair.key, plain(pair.value)) for pair in pairs)
    if "\0" in "".join(found):
        return {clean_text(key): value for key, value in found.items()}
    return found


def with_repeated(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict in which a key that occurs repeatedly has the list of its values."""
    values: dict[str, list[Any]] = {}
    for key, value in pairs:
        values.setdefault(clean_text(key), []).append(value)
    return {key: several if len(several) > 1 else several[0] for key, several in values.items()}


def plain(value: AnyValue) -> Any:
    """
    Return a protobuf AnyValue as plain Python; bytes become base64 text, an empty one None.

    Raises:
        Poison: `malformed`: the value has a form that OTLP does not define.
    """
    # Hot for attributes that are neither text nor integers: the most frequent kinds first.
    kind = value.WhichOneof("value")
    if kind == "bool_value":
        return value.bool_value
    if kind == "double_value":
        return value.double_value
    if kind == "string_value":
        return cleaned(value.string_value)
    if kind == "array_value":
        return [plain(inner) for inner in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    if kind == "int_value":
        return value.int_value
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind is not None:
        raise Poison("malformed", f"an attribute has a {kind}, which is defined for profiles only")
    if UnknownFieldSet(value):
        raise unknown_field(value)
    return None


def _parse_resource(encoded: bytes) -> Resource:
    message = ProtobufResource.FromString(encoded)
    if UnknownFieldSet(message):
        raise unknown_field(message)
    return resource_of(message, attributes(message.attributes))


def _parse_scope(encoded: bytes) -> Scope:
    message = InstrumentationScope.FromString(encoded)
    if UnknownFieldSet(message):
        raise unknown_field(message)
    return scope_of(message, attributes(message.attributes))


# They repeat in every message of a sender. Encoding one again and looking it up costs 0.6 µs, reading it 2 µs or more.
_resources = BoundedCache(_parse_resource, _CACHED_MAX)
_scopes = BoundedCache(_parse_scope, _CACHED_MAX)


def _protobuf_resource(message: ProtobufResource) -> Resource:
    encoded = message.SerializeToString()
    return _resources[encoded] if len(encoded) <= _CACHED_BYTES_MAX else _parse_resource(encoded)


def _protobuf_scope(message: InstrumentationScope) -> Scope:
    encoded = message.SerializeToString()
    return _scopes[encoded] if len(encoded) <= _CACHED_BYTES_MAX else _parse_scope(encoded)


def _protobuf_scopes(group: Any, field: str) -> Iterable[Any]:
    scopes = getattr(group, field)
    unknown = UnknownFieldSet(group)
    if not unknown:
        return scopes  # type: ignore[no-any-return]
    legacy = []
    for index in range(len(unknown)):
        if unknown[index].field_number != _LEGACY_SCOPES_FIELD or not isinstance(unknown[index].data, bytes):
            raise unknown_field(group)
        # The messages of that time have the field numbers of today's.
        legacy.append(_submessage(group.DESCRIPTOR.fields_by_name[field].message_type, unknown[index].data))
    return [*scopes, *legacy]


def _submessage(message_type: Descriptor, encoded: bytes) -> Any:
    try:
        return GetMessageClass(message_type).FromString(encoded)
    except DecodeError as error:
        raise Poison("malformed", f"field {_LEGACY_SCOPES_FIELD} is not a {message_type.name}: {error}") from None


PROTOBUF = Encoding(attributes, plain, _protobuf_resource, _protobuf_scope, _protobuf_scopes, UnknownFieldSet)


def signal_of(payload: bytes) -> Signal | None:
    """
    Return the signal of a protobuf payload that certainly is an export.

    It has no unknown field, and its first record has a time.
    """
    for signal in SIGNALS:
        try:
            request = parse(payload, signal)
        except Poison:
            continue
        if _first_time(request, signal):
            size = request.ByteSize()
            request.DiscardUnknownFields()
            if request.ByteSize() == size:
                return signal
    return None


def _first_time(request: Any, signal: Signal) -> int:
    """Return the time of the first record of an export in nanoseconds, or 0."""
    resources, scopes, records = signal.path
    for group in getattr(request, resources):
        for scoped in getattr(group, scopes):
            for record in getattr(scoped, records):
                if signal is TRACES:
                    return int(record.start_time_unix_nano)
                if signal is LOGS:
                    return int(record.time_unix_nano or record.observed_time_unix_nano)
                kind = record.WhichOneof("data")
                points = getattr(record, kind).data_points if kind else ()
                return int(points[0].time_unix_nano) if points else 0
    return 0
