"""Tests of the readers of single fields."""

import math
from decimal import Decimal

import pytest

from eventwriter.errors import Poison
from eventwriter.formats import fields, json
from eventwriter.model import Adjustments

JAN_2024_US = 1_704_067_200_000_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-01T00:00:00Z", JAN_2024_US),
        ("2024-01-01T05:30:00+05:30", JAN_2024_US),
        ("2024-01-01T00:00:00", JAN_2024_US),
        ("2024-01-01T00:00:00.123456789Z", JAN_2024_US + 123456),
        (1704067200, JAN_2024_US),
        (1704067200.5, JAN_2024_US + 500_000),
        (1704067200123, JAN_2024_US + 123_000),
        (1704067200123456, JAN_2024_US + 123_456),
        (1704067200123456789, JAN_2024_US + 123_456),
        ("1704067200123456789", JAN_2024_US + 123_456),
        ("1704067200", JAN_2024_US),
        (0, None),
        (-5, None),
        (True, None),
        ("nonsense", None),
        ("", None),
        ("2262-01-01T00:00:00Z", None),
        ("2023-12-31T23:59:60Z", JAN_2024_US),
        ("2023-12-31T24:00:00Z", JAN_2024_US),
        ("2023-12-31T24:00:01Z", None),
        ("2024-01-01t00:00:00z", JAN_2024_US),
        ("2024-01-01 00:00:00 +0000 UTC", JAN_2024_US),
        ("2024-01-01 00:00:00,5", JAN_2024_US + 500_000),
        ("0001-01-01T00:00:00Z", None),
        ("7:58PM", None),
        ("Oct 11 22:14:15", None),
        ("1704067200.1234567", JAN_2024_US + 123_456),
        ({"seconds": 1704067200, "nanos": 5000}, JAN_2024_US + 5),
        ({"seconds": "1704067200"}, JAN_2024_US),
        ({"epochSecond": 1704067200, "nanoOfSecond": 0}, JAN_2024_US),
        ({"seconds": 1704067200, "x": 1}, None),
        (10**30, None),
        (float("nan"), None),
        ([], None),
    ],
)
def test_instant_is_parsed(value: object, expected: int | None) -> None:
    """An instant in any usual form is parsed to the microsecond; an invalid one is None."""
    assert expected == fields.instant_us(value)


@pytest.mark.parametrize(
    ("value", "expected", "clamped"),
    [
        ("1e3", 1000, 0),
        (10**30, 2**31 - 1, 1),
        (True, None, 0),
        ("1e400", 2**31 - 1, 1),
        (float("inf"), None, 0),
        (5, 5, 0),
        (5.0, 5, 0),
        (" 7 ", 7, 0),
        (2**40, 2**31 - 1, 1),
        (-(2**40), -(2**31), 1),
        (5.5, None, 0),
        ("x", None, 0),
        ("1_0", None, 0),
    ],
)
def test_integer_is_converted(value: object, expected: int | None, clamped: int) -> None:
    """Integral values are converted, values out of range are clamped and counted, other values are None."""
    adjustments = Adjustments()

    assert expected == fields.integer(value, fields.INT4, adjustments, "c")
    assert clamped == adjustments.clamped_by_column["c"]
    assert int(expected is None) == adjustments.nulled_by_column["c"]


def test_lookup_is_by_presence() -> None:
    """False, zero and the empty text are values; null is absence."""
    keys = fields.names("is_delta")

    assert fields.find({"is_delta": False, "isDelta": True}, keys) is False
    assert fields.find({"is_delta": None, "isDelta": 0}, keys) == 0


@pytest.mark.parametrize("payload", [b"", b"nope", b"1", b'"x"', b"null", b"[1]", b'{"a":', b"\xff\xfe", b"[" * 5000])
def test_payload_without_objects_is_malformed(payload: bytes) -> None:
    """A payload that is neither an object nor an array of objects is poison, never another error."""
    with pytest.raises(Poison, match="malformed"):
        json.decode(payload)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":"x\\u0000y"}', [{"a": "x\ufffdy"}]),
        (b'{"a":"\\ud800"}', [{"a": "\ufffd"}]),
        (b"[]", []),
        (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
        (b'{"a":12345678901234567890123}', [{"a": 12345678901234567890123}]),
        (b'{"a":-9999999999999999999}', [{"a": -9999999999999999999}]),
        (b'{"a":[1e400,1.5]}', [{"a": [Decimal("1e400"), 1.5]}]),
    ],
)
def test_payload_is_decoded(payload: bytes, expected: list[dict[str, object]]) -> None:
    """Objects become records, and text that PostgreSQL cannot store is cleaned."""
    assert expected == json.decode(payload)


def test_too_deeply_nested_json_is_malformed() -> None:
    """JSON nested too deeply is poison, as a payload and as JSON text within a payload, never another error."""
    deep = '{"a":' * 900 + '"\\u0000"' + "}" * 900

    with pytest.raises(Poison, match="malformed"):
        json.decode(deep.encode())
    with pytest.raises(Poison, match="malformed"):
        fields.json_value(deep)


def test_infinity_in_payload_is_accepted() -> None:
    """NaN and Infinity are accepted in a payload and become null in stored JSON."""
    assert b'{"a":null}' == json.dumps(json.decode(b'{"a":Infinity}')[0])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0), (1.5, 1.5), (" 2.5 ", 2.5), ("-Infinity", -math.inf), (math.inf, math.inf), (True, None),
        ("1_0", None),
        ("1e400", None), (10**400, None), (Decimal("1e400"), None), (Decimal("1.5"), 1.5), ("x", None), ("", None),
        ([], None), (None, None), ("\u0661", None),
    ],
)  # fmt: skip
def test_number_is_converted(value: object, expected: float | None) -> None:
    """Numbers and numeric text become floats; booleans and numbers beyond the range of a float do not."""
    assert expected == fields.number(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True), ("t", True), ("On", True), (" yes ", True), (1, True), (0.0, False), ("off", False), ("n", False),
        (2, None), ("maybe", None), (None, None), ([], None),
    ],
)  # fmt: skip
def test_boolean_is_converted(value: object, expected: bool | None) -> None:
    """Booleans, 0, 1 and the words of PostgreSQL are converted."""
    assert expected is fields.boolean(value)


@pytest.mark.parametrize(
    ("value",
    "expected"),
    [(math.nan, "NaN"), (-math.inf, "-Infinity"), (10**30, "1" + "0" * 30), (True, "true"),
    ({"a": math.nan}, '{"a":null}')],
)  # fmt: skip
def test_value_has_a_text(value: object, expected: str) -> None:
    """Values that are not text become JSON; NaN and the infinities by themselves have names."""
    assert expected == fields.text(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0xABCDEF", "abcdef"), ("AB", "ab"), (" ab ", "ab"), ("0000", None), ("0x00", None), ("", None), (None, None),
        ("not hex", "not hex"), (12, "12"),
    ],
)  # fmt: skip
def test_identifier_is_normalized(value: object, expected: str | None) -> None:
    """An identifier is lower case without `0x`; zeros mean that there is none."""
    assert expected == fields.hex_id(value)


@pytest.mark.parametrize(
    ("number", "stored"),
    [
        ("1e131071", '1E+131071'), ("1e131072", '"1E+131072"'), ("-1e999999", '"-1E+999999"'), ("1e400", "1E+400"),
    ],
)  # fmt: skip
def test_number_beyond_numeric_becomes_a_string(number: str, stored: str) -> None:
    """PostgreSQL rejects a jsonb value with such a number, and a string keeps the digits."""
    assert f'{{"a":{stored}}}'.encode() == json.dumps(json.decode(f'{{"a":{number}}}'.encode())[0])
