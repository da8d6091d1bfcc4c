"""
What all OTLP payloads share: which encoding it is, attributes, resources.

OTLP comes as protobuf (here) or as JSON (`otlp_json`). Attributes become plain dicts,
whatever their encoding was: text, booleans, integers, floats, lists and dicts as they
are, bytes as base64 text. Text is clean: U+0000 became U+FFFD.

Source: OpenTelemetry Protocol specification 1.5; opentelemetry-proto 1.x, common.proto and resource.proto.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from eventwriter.errors import Poison
from eventwriter.formats import json
from eventwriter.formats.fields import text
from eventwriter.formats.json import clean_text, within_depth
from eventwriter.model import Record

UNKNOWN_SERVICE = "unknown"
"""The service of spans and data points whose resource is missing or does not name one."""

Request = TypeVar("Request", bound=Protobuf)


def decode(
    payload: bytes,
    request: type[Request],
    from_protobuf: Callable[[Request], list[Record]],
    from_json: Callable[[list[Record]], list[Record]],
) -> list[Record]:
    """
    Read a payload that is OTLP protobuf, or JSON of any shape that the kind knows.

    Args:
        request: The protobuf class of the export request.
        from_protobuf: Makes records of a request.
        from_json: Makes records of the objects of a JSON payload.

    Raises:
        Poison: `malformed`, and what the two functions raise.
    """
    return json.decode_json_or_protobuf(
        payload,
        lambda whole: from_protobuf(parse(whole, request)),
        lambda whole: within_depth(from_json, json.decode(whole)),
    )


def parse(payload: bytes, request: type[Request]) -> Request:
    """
    Parse an export request.

    Raises:
        Poison: `malformed`: it does not parse, is empty, or has unknown fields only (almost any
            short text is a valid protobuf message of those).
    """
    try:
        parsed = request.FromString(payload)
    except DecodeError as error:
        name = request.DESCRIPTOR.name
        raise Poison("malformed", f"the payload is neither JSON nor an OTLP {name}: {error}") from None
    if not parsed.ListFields():
        what = "has no field that it knows" if payload else "is empty"
        raise Poison("malformed", f"as an OTLP {request.DESCRIPTOR.name} the payload {what}")
    return parsed


def check_nothing_unknown(message: Protobuf, path: Sequence[str]) -> None:
    """
    Refuse a request that gave no record although there is something in it that we do not know.

    Args:
        path: The names of the repeated fields to go down, like resource_spans, scope_spans.

    Raises:
        Poison: `malformed`.
    """
    if len(UnknownFieldSet(message)):
        name = message.DESCRIPTOR.name
        raise Poison("malformed", f"the payload gives no record, and its {name} has fields that OTLP does not define")
    for inner in getattr(message, path[0]) if path else ():
        check_nothing_unknown(inner, path[1:])


def check_own_fields(message: Protobuf) -> None:
    """
    Refuse a message in which a field that we know is encoded as another type: it is something else.

    Raises:
        Poison: `malformed`.
    """
    known = message.DESCRIPTOR.fields_by_number
    unknown = UnknownFieldSet(message)
    for at in range(len(unknown)):
        if (found := known.get(unknown[at].field_number)) is not None:
            name = f"{message.DESCRIPTOR.name}.{found.name}"
            raise Poison("malformed", f"{name} is encoded as another type: the payload is no {message.DESCRIPTOR.name}")


def cleaned(value: str) -> str:
    """Return text from protobuf without U+0000."""
    return value if "\0" not in value else clean_text(value)


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return protobuf attributes as a dict; of a key that occurs twice, the last one."""
    # Hot: several attributes to a record. Most are text, then integers: read without a call where they are not empty.
    found: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        word = value.string_value
        if word:
            found[pair.key] = word if "\0" not in word else clean_text(word)
        else:
            found[pair.key] = value.int_value or plain(value)
    if "\0" in "".join(found):
        return {clean_text(key): value for key, value in found.items()}
    return found


def plain(value: AnyValue) -> Any:
    """Return a protobuf AnyValue as plain Python; bytes as base64 text, one without a value as None."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return cleaned(value.string_value)
    if kind == "array_value":
        return [plain(inner) for inner in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "int_value":
        return value.int_value
    if kind == "bool_value":
        return value.bool_value
    return value.double_value if kind == "double_value" else None


class Resource(NamedTuple):
    """
    What sent a group of records.

    One of it is shared by all records of the group, so that its JSON is made once.
    """

    attributes: dict[str, Any]
    service_name: str | None
    service_version: str | None
    service_instance: str | None


def resource(found: dict[str, Any]) -> Resource:
    """Return the resource that has these attributes (plain ones); absent and empty names as None."""
    get = found.get
    return Resource(
        found,
        text(get("service.name")) or None,
        text(get("service.version")) or None,
        text(get("service.instance.id")) or None,
    )
