"""Tests of the forms that COPY takes."""

import pytest

from eventwriter.formats import fields
from eventwriter.model import Adjustments, Message
from eventwriter.postgres.schema.conversions import elements
from eventwriter.tables import values

JAN_2024_US = 1_704_067_200_000_000


def test_missing_timestamp_is_that_of_the_message() -> None:
    """A missing timestamp becomes that of JetStream, which is the same at each delivery, and is counted."""
    adjustments = Adjustments()
    message = Message("", "", b"", None, 1, 1, 1, JAN_2024_US * 1000 + 999)

    assert JAN_2024_US - values.POSTGRES_EPOCH_US == values.timestamp(None, message, adjustments)
    assert 1 == adjustments.timestamp_defaulted


@pytest.mark.parametrize(
    "value",
    [99_999_999_999, 100_000_000_000, 9_214_646_399_999, 9_214_646_400_000, 99_999_999_999_999,
     100_000_000_000_000, 9_214_646_399_999_999, 9_214_646_400_000_000, 10**17, 1.5e12, "1704067200123"],
)  # fmt: skip
def test_timestamp_agrees_with_instant(value: object) -> None:
    """The fast conversion of integers agrees with the general one on both sides of each bound."""
    adjustments = Adjustments()
    us = fields.instant_us(value)

    found = values.timestamp(value, Message("", "s", b"", None, 1, 1, 1, JAN_2024_US * 1000), adjustments)

    assert (JAN_2024_US if us is None else us) - values.POSTGRES_EPOCH_US == found
    assert int(us is None) == adjustments.timestamp_defaulted


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ({"a": 1}, b'\x01{"a":1}'), ('{"a": 1}', b'\x01{"a":1}'), ("a", b'\x01"a"'), ("{a", b'\x01"{a"')],
)
def test_json_in_text_is_parsed(value: object, expected: bytes | None) -> None:
    """Text that contains a JSON object or array is stored as such."""
    assert expected == values.parsed_jsonb(value)


@pytest.mark.parametrize("numbers", [[], [5], [-1, 2**31 - 1, -(2**31)]])
def test_int4_array_is_decodable(numbers: list[int]) -> None:
    """An encoded array of integers decodes to the same integers."""
    assert numbers == elements(values.int4_array(numbers))


@pytest.mark.parametrize("texts", [[], [""], ["SYN", "é"]])
def test_text_array_is_decodable(texts: list[str]) -> None:
    """An encoded array of texts decodes to the same texts."""
    assert texts == elements(values.text_array(texts))
