"""Values in the form that COPY wants."""

import pytest

from eventwriter.errors import Poison
from eventwriter.formats import fields
from eventwriter.model import Adjustments, Message
from eventwriter.postgres.schema.conversions import elements
from eventwriter.tables import values as scalars

JAN_2024_US = 1_704_067_200_000_000


def test_unusable_timestamp_is_the_messages_own() -> None:
    """A missing timestamp becomes JetStream's, so that a redelivery makes the same row; it is counted."""
    adjustments = Adjustments()
    message = Message("", "", b"", None, 1, 1, 1, JAN_2024_US * 1000 + 999)

    assert JAN_2024_US - scalars.POSTGRES_EPOCH_US == scalars.timestamp(None, message, adjustments)
    assert 1 == adjustments.timestamp_defaulted


@pytest.mark.parametrize(
    "value",
    [99_999_999_999, 100_000_000_000, 9_214_646_399_999, 9_214_646_400_000, 99_999_999_999_999,
     100_000_000_000_000, 9_214_646_399_999_999, 9_214_646_400_000_000, 10**17, 1.5e12, "1704067200123"],
)  # fmt: skip
def test_timestamp_agrees_with_instant(value: object) -> None:
    """The quick way for integers gives what the general reading gives, on both sides of each bound."""
    adjustments = Adjustments()
    us = fields.instant_us(value)

    found = scalars.timestamp(value, Message("", "s", b"", None, 1, 1, 1, JAN_2024_US * 1000), adjustments)

    assert (JAN_2024_US if us is None else us) - scalars.POSTGRES_EPOCH_US == found
    assert int(us is None) == adjustments.timestamp_defaulted


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ({"a": 1}, b'\x01{"a":1}'),
        ('{"a": 1}', b'\x01{"a":1}'),
        ('{"Community": "x", "b": [{"COMMUNITY": 1, "c": 2}]}', b'\x01{"b":[{"c":2}]}'),
        ({"note": "community"}, b'\x01{"note":"community"}'),
        ({"SCHL\u00dcSSEL": 1, "b": 2}, b'\x01{"b":2}'),
        ({"raw": '{"community":"x","a":1}'}, b'\x01{"raw":"{\\"a\\":1}"}'),
        ({"raw": '[{"\\u0063ommunity":"x"}]'}, b'\x01{"raw":"[{}]"}'),
        ({"raw": '{"community": no JSON'}, b'\x01{"raw":"{\\"community\\": no JSON"}'),
    ],
)
def test_redacted_json_leaves_secrets_out(value: object, expected: bytes | None) -> None:
    """Keys to be left out are left out at any depth and in any case; values that merely say the word stay."""
    assert expected == scalars.redacted_jsonb(frozenset({"community", "schl\u00fcssel"}))(value)
    if "SCHL" not in repr(value):
        assert expected == scalars.redacted_jsonb(frozenset({"community"}))(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("community: public", "community: public"),
        (5, "5"),
        ({"Community": "x", "a": [1]}, '{"a":[1]}'),
        ('{"community":"x","a":1}', '{"a":1}'),
        ('{"a": "community"}', '{"a": "community"}'),
        ('[{"b": {"\\u0063ommunity": "x"}}]', '[{"b":{}}]'),
        ("{community", "{community"),
    ],
)
def test_redacted_text_leaves_secrets_out(value: object, expected: str | None) -> None:
    """Text columns hold no key to be left out either, where their text is JSON; other text stays as it is."""
    assert expected == scalars.redacted_text(frozenset({"community"}))(value)


def test_json_text_nested_too_deeply_to_be_looked_through_is_poison() -> None:
    """What cannot be looked through for secrets is not stored."""
    deep = '{"community":' * 600 + "1" + "}" * 600

    with pytest.raises(Poison, match="malformed"):
        scalars.redacted_text(frozenset({"community"}))(deep)


@pytest.mark.parametrize("values", [[], [5], [-1, 2**31 - 1, -(2**31)]])
def test_int4_array_reads_back(values: list[int]) -> None:
    """An array of integers reads back as those integers."""
    assert values == elements(scalars.int4_array(values))


@pytest.mark.parametrize("values", [[], [""], ["SYN", "é"]])
def test_text_array_reads_back(values: list[str]) -> None:
    """An array of texts reads back as those texts."""
    assert values == elements(scalars.text_array(values))


@pytest.mark.parametrize(
    ("payload", "may"),
    [
        (b'{"a":1}', False),
        (b'{"Community":1}', True),
        (b'{"\\u0063ommunity":1}', True),
        (b"\x0a\x09community\xff", True),
        (b"\xff\x00", False),
    ],
)
def test_payload_may_hold_secrets(payload: bytes, may: bool) -> None:
    """A payload without a key that is never stored, in any case or escaped, holds no secret."""
    assert may == scalars.secret_finder(frozenset({"community"}))(payload)


def test_keys_beyond_ascii_are_always_looked_for() -> None:
    """Bytes have no upper and lower case beyond ASCII, so that such keys may be anywhere; no keys are nowhere."""
    assert scalars.secret_finder(frozenset({"é"}))(b"{}")
    assert scalars.secret_finder(frozenset({"a/b"}))(b'{"a\\/b":1}')
    assert not scalars.secret_finder(frozenset())(b"community")
