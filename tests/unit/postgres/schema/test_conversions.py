"""How values are written into columns of another type."""

import json
from decimal import Decimal
from typing import Any

import pytest

from eventwriter.postgres.schema.conversions import json_of_text, json_value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', b'{"a": 1}'),
        ("[1e-300]", b"[1e-300]"),
        ('{"a":1e-400000}', b'{"a":0.0}'),
        ("[1E-0000016384]", b"[0.0]"),
        ("[0." + "3" * 20_000 + "]", b"[0.3333333333333333]"),
        ('{"a":1e400000}', b'"{\\"a\\":1e400000}"'),
        ('["\\u0000"]', b'"[\\"\\\\u0000\\"]"'),
        ("[1", b'"[1"'),
        ("a", b'"a"'),
    ],
)
def test_text_in_a_column_of_json(text: str, expected: bytes) -> None:
    """Text that is JSON is written as it is, as far as jsonb can hold it; anything else as a JSON string."""
    assert expected == json_of_text(text)
    assert json.loads(expected) is not None


@pytest.mark.parametrize(
    ("sql_type", "value", "shown"),
    [
        ("numeric", Decimal("59.90"), "59.90"),
        ("numeric", 60, "60"),
        ("date", 9497, "2026-01-01"),
        ("time", 45_000_000_000, "12:30:00"),
        ("numeric", None, None),
        ("jsonb", b'\x01{"a":[1]}', {"a": [1]}),
        ("jsonb", b'\x01{"a":1E+400}', '{"a":1E+400}'),
    ],
)
def test_value_is_shown_as_plain_json(sql_type: str, value: object, shown: object) -> None:
    """`explain` shows exact numbers, dates, times, and JSON that no float can hold, as text."""
    assert shown == json_value(value, sql_type)


@pytest.mark.parametrize(
    ("sql_type", "value", "shown"),
    [
        ("json", b'{"a":1}', {"a": 1}),
        ("jsonb", b'\x01{"a":1}', {"a": 1}),
        ("float8", float("nan"), "NaN"),
        ("float8", float("-inf"), "-Infinity"),
        ("float8", 1.5, 1.5),
        ("numeric", Decimal("1E+3"), "1000"),
        ("numeric", Decimal("NaN"), "NaN"),
        ("time", 86_400_000_000, "24:00:00"),
        ("bytea", b"\x00\xff", "\\x00ff"),
    ],
)
def test_value_is_shown_as_sql_prints_it(sql_type: str, value: Any, shown: Any) -> None:
    """A value of a row is shown as SQL prints it, JSON as JSON."""
    assert shown == json_value(value, sql_type)
