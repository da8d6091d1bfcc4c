"""Tests of the operations on protobuf that all signals of OTLP share."""

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from eventwriter.errors import Poison
from eventwriter.formats.otlp import encoding


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AnyValue(string_value="x"), "x"),
        (AnyValue(string_value=""), ""),
        (AnyValue(string_value="a\0b"), "a\ufffdb"),
        (AnyValue(bool_value=False), False),
        (AnyValue(int_value=0), 0),
        (AnyValue(int_value=-(2**63)), -(2**63)),
        (AnyValue(double_value=0.5), 0.5),
        (AnyValue(bytes_value=b"\x00\xff"), "AP8="),
        (AnyValue(), None),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(string_value="y")])), [1, "y"]),
        (
            AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=AnyValue(bool_value=True))])),
            {"k": True},
        ),
    ],
    ids=["text", "empty", "nul", "false", "zero", "least", "float", "bytes", "none", "list", "dict"],
)
def test_any_value_becomes_plain(value: AnyValue, expected: object) -> None:
    """Every kind of value is kept, including false, zero and empty text."""
    assert {"key": expected} == encoding.attributes([KeyValue(key="key", value=value)])


def test_nul_in_attribute_key_is_replaced() -> None:
    """U+0000 in a key becomes U+FFFD."""
    assert {"a\ufffd": "x"} == encoding.attributes([KeyValue(key="a\0", value=AnyValue(string_value="x"))])


def test_repeated_attribute_key_keeps_all_values() -> None:
    """The values of a key that occurs repeatedly become a list."""
    pairs = [KeyValue(key=key, value=AnyValue(int_value=value)) for key, value in (("a", 1), ("b", 2), ("a", 3))]

    assert {"a": [1, 3], "b": 2} == encoding.attributes(pairs)


@pytest.mark.parametrize(
    "value", [AnyValue(string_value_strindex=3), AnyValue.FromString(b"\xaa\x01\x01x")], ids=["profiles", "unknown"]
)
def test_value_of_unknown_kind_is_malformed(value: AnyValue) -> None:
    """A value that OTLP does not define, or only for profiles, is poison and not NULL."""
    with pytest.raises(Poison) as caught:
        encoding.attributes([KeyValue(key="key", value=value)])

    assert "malformed" == caught.value.reason
