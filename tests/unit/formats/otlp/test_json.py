"""OTLP/JSON's own rules, and what producers get wrong."""

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.otlp.json import (
    json_attributes,
    json_enum,
    json_id,
    json_list,
    json_numbers,
    json_object,
    json_plain,
    json_whole,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": ""}, ""),
        ({"string_value": "x"}, "x"),
        ({"intValue": "9223372036854775807"}, 2**63 - 1),
        ({"intValue": 0}, 0),
        ({"intValue": "no"}, "no"),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": "Infinity"}, float("inf")),
        ({"boolValue": False}, False),
        ({"bytesValue": "AP8="}, "AP8="),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"arrayValue": {}}]}}, [1, []]),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}, {"k": True}),
        ({"stringValue": None}, None),
        ({}, None),
        ({"other": 1}, {"other": 1}),
        ("bare", "bare"),
    ],
)
def test_any_value_becomes_plain(value: object, expected: object) -> None:
    """Every kind of value is kept; a value outside the rule stays what it is."""
    assert expected == json_plain(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0102030405060708090A0B0C0D0E0F10", "0102030405060708090a0b0c0d0e0f10"),
        ("AQIDBAUGBwgJCgsMDQ4PEA==", "0102030405060708090a0b0c0d0e0f10"),
        ("AQIDBAUGBwg=", "0102030405060708"),
        ("trace-abc123", "trace-abc123"),
        ("Trace-Camel", "Trace-Camel"),
        ("", ""),
        (None, ""),
        (255, "255"),
    ],
)
def test_identifier_is_lower_case_hex(value: object, expected: str) -> None:
    """Hex comes out in lower case, base64 as hex, and what is neither as it is."""
    assert expected == json_id(value)


def test_enum_is_a_number_or_a_name() -> None:
    """A name, with or without its prefix and in any case, is its number; another stays what it is."""
    numbers = {"SERVER": 2}

    assert [2, 2, 2, 7, "ELSE"] == [
        json_enum(value, "SPAN_KIND_", numbers) for value in ("SPAN_KIND_SERVER", "server", 2, 7, "ELSE")
    ]


def test_attributes_as_an_object_are_taken() -> None:
    """Attributes that are an object already, as some producers write them, are kept."""
    assert {"a": [1]} == json_attributes({"a": [1]})


@pytest.mark.parametrize("value", ["1_0", "x", 1.5, "9" * 50])
def test_what_is_no_whole_number_stays(value: object) -> None:
    """Text that is no integer of 64 bits is left as it is."""
    assert value == json_whole(value)


def test_numbers_as_text_are_numbers() -> None:
    """Bucket counts, which are text in OTLP/JSON, come out as integers."""
    assert [1, 2, 0.5] == json_numbers(["1", 2, 0.5], "bucketCounts")


@pytest.mark.parametrize(
    "read",
    [
        lambda: json_list(7, "spans"),
        lambda: json_list([7], "spans"),
        lambda: json_object([], "scope"),
        lambda: json_numbers({}, "bucketCounts"),
        lambda: json_attributes("text"),
        lambda: json_attributes([{"key": {"community": "s3cret"}, "value": {"intValue": 1}}]),
        lambda: json_plain({"arrayValue": 7}),
        lambda: json_plain({"arrayValue": {"values": 7}}),
    ],
)
def test_wrong_shape_is_malformed(read: object) -> None:
    """A part of another shape than OTLP's is a dead letter."""
    with pytest.raises(Poison) as caught:
        read()  # type: ignore[operator]

    assert "malformed" == caught.value.reason
