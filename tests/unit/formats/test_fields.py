"""Tests of the readers of single fields."""

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

    assert expected == fields.integer(value, fields.INT4, adjustments)
    assert clamped == adjustments.clamped


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
        (b'{"a":12345678901234567890123}', [{"a": 1.2345678901234568e22}]),
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
