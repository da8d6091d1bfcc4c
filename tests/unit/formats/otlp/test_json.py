"""Tests of the parser for OTLP/JSON, including deviations that it accepts."""

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eventwriter.formats.otlp.json import Invalid, attributes, id_text, plain, request_parser, whole

parse = request_parser(ExportTraceServiceRequest.DESCRIPTOR)


def parsed_span(**fields: Any) -> Any:
    """Return the only span of a request."""
    return parse({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).resource_spans[0].scope_spans[0].spans[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": ""}, ""),
        ({"string_value": "x"}, "x"),
        ({"intValue": "9223372036854775807"}, 2**63 - 1),
        ({"intValue": 0}, 0),
        ({"intValue": "-5"}, -5),
        ({"intValue": 3.0}, 3),
        ({"intValue": "no"}, "no"),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": "Infinity"}, float("inf")),
        ({"boolValue": False}, False),
        ({"bytesValue": "AP8="}, "AP8="),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"arrayValue": {}}]}}, [1, []]),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}, {"k": True}),
        ({"stringValue": None}, None),
        ({}, None),
        ("bare", "bare"),
    ],
)
def test_any_value_becomes_plain(value: object, expected: object) -> None:
    """Every kind of value is kept, and a value that is not an object stays as it is."""
    assert expected == plain(value)
    assert {"a": expected} == attributes([{"key": "a", "value": value}])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0102030405060708090A0B0C0D0E0F10", "0102030405060708090a0b0c0d0e0f10"),
        ("0x0102030405060708", "0102030405060708"),
        ("0X00FF", "00ff"),
        ("AQIDBAUGBwgJCgsMDQ4PEA==", "0102030405060708090a0b0c0d0e0f10"),
        ("AQIDBAUGBwg=", "0102030405060708"),
        ("AAAAAAAAAAA=", ""),
        ("00000000000000000000000000000000", ""),
        ("0x0", ""),
        ("trace-abc123", "trace-abc123"),
        ("Trace-Camel", "Trace-Camel"),
        ("", ""),
        (None, ""),
        (255, "255"),
    ],
)
def test_identifier_is_lower_case_hex(value: object, expected: str) -> None:
    """Identifiers become lower-case digits without 0x; zeros mean that there is none; other text stays."""
    assert expected == id_text(value)


@pytest.mark.parametrize("kind", ["SPAN_KIND_SERVER", "server", "Server", 2, "2", 2.0])
def test_enum_is_a_number_or_a_name(kind: object) -> None:
    """An enum may be given as a number or as a name in any case, with or without its prefix."""
    assert 2 == parsed_span(kind=kind).kind


@pytest.mark.parametrize("value", ["1_0", "x", 1.5, "9" * 50, True])
def test_other_than_integer_stays(value: object) -> None:
    """A value that is not an integer is returned as it is."""
    assert value == whole(value)


def test_object_has_defaults_of_protobuf() -> None:
    """Absent and null fields have the defaults of the protobuf message."""
    span = parsed_span(name=None)

    assert ("", 0, 0, b"", 0, "") == (
        span.name, span.kind, span.start_time_unix_nano, span.parent_span_id, span.status.code, span.status.message
    )  # fmt: skip
    assert not span.events


def test_keys_may_be_in_snake_case() -> None:
    """Keys in snake_case and in camelCase are the same fields."""
    assert parsed_span(start_time_unix_nano="5").start_time_unix_nano == 5


def test_repeated_attribute_key_keeps_all_values() -> None:
    """The values of a key that occurs repeatedly become a list."""
    pairs = [{"key": "a", "value": {"intValue": "1"}}, {"key": "a", "value": {"stringValue": "x"}}]

    assert {"a": [1, "x"]} == attributes(pairs)


def test_attributes_as_an_object_are_accepted() -> None:
    """Attributes that are an object already are taken as they are."""
    assert {"a": [1]} == attributes({"a": [1]})


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, "resourceSpans[0].scopeSpans[0].spans[0].foo"),
    ({"status": {"foo": 1}}, "resourceSpans[0].scopeSpans[0].spans[0].status.foo"),
    ({"events": [{}, {"foo": 1}]}, "resourceSpans[0].scopeSpans[0].spans[0].events[1].foo"),
    ({"events": {}}, "resourceSpans[0].scopeSpans[0].spans[0].events"),
    ({"events": [7]}, "resourceSpans[0].scopeSpans[0].spans[0].events[0]"),
    ({"status": []}, "resourceSpans[0].scopeSpans[0].spans[0].status"),
    ({"name": {"community": "s3cret"}}, "resourceSpans[0].scopeSpans[0].spans[0].name"),
    ({"traceId": "0102"}, "resourceSpans[0].scopeSpans[0].spans[0].traceId"),
    ({"traceId": "z" * 32}, "resourceSpans[0].scopeSpans[0].spans[0].traceId"),
    ({"name": "a", "traceId": "01" * 16, "trace_id": "02" * 16}, "resourceSpans[0].scopeSpans[0].spans[0].trace_id"),
    ({"attributes": "text"}, "resourceSpans[0].scopeSpans[0].spans[0].attributes"),
    ({"attributes": [7]}, "resourceSpans[0].scopeSpans[0].spans[0].attributes"),
    ({"attributes": [{"key": "a", "foo": 1}]}, "resourceSpans[0].scopeSpans[0].spans[0].attributes"),
    ({"attributes": [{"key": {}, "value": {"intValue": 1}}]}, "resourceSpans[0].scopeSpans[0].spans[0].attributes"),
    ({"attributes": [{"key": "a", "value": {"foo": 1}}]}, "resourceSpans[0].scopeSpans[0].spans[0].attributes"),
    ({"attributes": [{"key": "a", "value": {"arrayValue": 7}}]}, "resourceSpans[0].scopeSpans[0].spans[0].attributes"),
    (
        {"attributes": [{"key": "a", "value": {"arrayValue": {"values": 7}}}]},
        "resourceSpans[0].scopeSpans[0].spans[0].attributes",
    ),
    (
        {"attributes": [{"key": "a", "value": {"intValue": 1, "stringValue": "x"}}]},
        "resourceSpans[0].scopeSpans[0].spans[0].attributes",
    ),
]


@pytest.mark.parametrize(("fields", "path"), BROKEN, ids=[json.dumps(fields)[:50] for fields, _ in BROKEN])
def test_invalid_value_is_malformed_and_named(fields: dict[str, Any], path: str) -> None:
    """A field that OTLP does not define, or a value that it cannot have, is malformed; the error has its path."""
    with pytest.raises(Invalid) as caught:
        parsed_span(**fields)

    assert ("malformed", path) == (caught.value.reason, caught.value.path)


@pytest.mark.parametrize(
    "fields", [{"kind": "OTHER"}, {"kind": True}, {"flags": "x"}, {"droppedEventsCount": 1.5}], ids=str
)
def test_value_of_another_type_is_a_bad_value(fields: dict[str, Any]) -> None:
    """A value that cannot be converted to the type of its field is a bad value, and not a default."""
    with pytest.raises(Invalid) as caught:
        parsed_span(**fields)

    assert "bad_value" == caught.value.reason
