"""Tests of the removal of secrets."""

import json
from typing import Any

import pytest
from golden_rows import delivery

from eventwriter.errors import Poison
from eventwriter.formats.json import decode, loads_clean
from eventwriter.model import Adjustments
from eventwriter.tables.raw_data import raw_data
from eventwriter.tables.redaction import Redactor

REDACT = frozenset({"community"})


def cleaned(value: Any, keys: frozenset[str] = REDACT, subject: str = "x", snmp: bool = False) -> Any:
    return Redactor(keys, snmp=snmp).value(value, subject)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1}, {"a": 1}),
        ({"Community": "x", "b": [{"COMMUNITY": 1, "c": 2}]}, {"b": [{"c": 2}]}),
        ({"note": "community"}, {"note": "community"}),
        ({"raw": '{"community":"x","a":1}'}, {"raw": '{"a":1}'}),
        ({"raw": '[{"\\u0063ommunity":"x"}]'}, {"raw": "[{}]"}),
        ({"raw": '{"community": no JSON'}, {"raw": '{"community": no JSON'}),
        ('[INFO] {"community": started', '[INFO] {"community": started'),
        ("community: public", "community: public"),
    ],
)
def test_keys_are_removed_at_any_depth(value: Any, expected: Any) -> None:
    """Keys are removed in any case, at any depth and in JSON text; other text with the word is unchanged."""
    assert expected == cleaned(value)


def test_value_without_a_secret_is_the_same_object() -> None:
    """A value without secrets is not copied."""
    value = {"a": [{"b": '{"c":1}'}]}

    assert value is cleaned(value)


def test_keys_beyond_ascii_are_compared_in_lower_case() -> None:
    """A key with other letters than ASCII is removed in any case."""
    assert {"b": 2} == cleaned({"SCHL\u00dcSSEL": 1, "b": 2}, frozenset({"schl\u00fcssel"}))


def test_removed_values_are_counted_by_key() -> None:
    """Each removed value is counted under its key in lower case, once for each record."""
    adjustments = Adjustments()
    redactor = Redactor(frozenset({"password", "token"}), adjustments)

    redactor.clean({"Password": "x", "a": {"token": 1, "b": {"password": 2}}}, delivery(b"token password", "x"))

    assert {"password": 2, "token": 1} == adjustments.redacted_by_key


@pytest.mark.parametrize("odd", ["NaN", "-Infinity", '"\\ud800"', "9" * 400, "1e999"])
def test_text_that_only_a_lenient_parser_accepts_is_searched(odd: str) -> None:
    """JSON text that the strict parser rejects loses its secrets too."""
    text = f'{{"a":{odd},"community":"s3cret"}}'

    assert "s3cret" not in cleaned(text)
    assert "s3cret" not in cleaned({"a": text})["a"]


def test_text_too_deep_to_be_searched_is_poison() -> None:
    """JSON text that is nested too deeply to be searched is not stored."""
    text = '{"a":' * 5000 + '{"community":"s3cret"}' + "}" * 5000

    with pytest.raises(Poison) as caught:
        cleaned({"a": text})

    assert "malformed" == caught.value.reason


def test_deep_text_without_keys_to_redact_is_text() -> None:
    """Without keys to redact, text of thousands of brackets is stored unchanged."""
    text = "[" * 5000 + "]" * 5000

    assert {"a": text} == cleaned({"a": text}, frozenset())
    with pytest.raises(ValueError, match="deep"):
        loads_clean(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1}', False),
        ('{"a":"community"}', False),
        ('{"a":{"Community":1}}', True),
        ('{"a":{"community":1},"a":2}', True),
        ('{"a":{"\\u0063ommunity":1},"a":2}', True),
    ],
)
def test_overwritten_key_is_found(text: str, expected: bool) -> None:
    """The key of a secret is found in JSON text, also if a later value of an outer key overwrites it."""
    assert expected is Redactor(REDACT).has_escaped_secret(text)


def test_payload_with_an_overwritten_secret_is_kept_as_parsed() -> None:
    """A payload whose text has a secret that its record does not have is kept as the JSON of the record."""
    message = delivery(b'{"a":{"community":"s3cret"},"a":1}', "events.x")
    [record] = decode(message.payload)

    assert '{"a":1}' == raw_data(record, record, message, Redactor(REDACT))


@pytest.mark.parametrize(
    ("payload", "may"),
    [
        (b'{"a":1}', False),
        (b'{"Community":1}', True),
        (b'{"\\u0063ommunity":1}', True),
        (b"\x0a\x09community\xff", True),
        (b"\xff\x00", False),
        (b"\x1f\x8b\x08 gzip", True),
    ],
)
def test_payload_may_hold_secrets(payload: bytes, may: bool) -> None:
    """A payload without any of the keys, in any case or escaped, has no secret, unless it is compressed."""
    assert may == Redactor(REDACT).may_hold(payload)


def test_keys_that_cannot_be_searched_in_bytes_are_always_suspected() -> None:
    """Every payload may have a key with other letters than ASCII, or one that JSON may escape."""
    assert Redactor(frozenset({"\u00e9"})).may_hold(b"{}")
    assert Redactor(frozenset({"a/b"})).may_hold(b'{"a\\/b":1}')
    assert not Redactor(frozenset()).active


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"varbinds":[],"community":"s3cret","a":1}', b'{"varbinds":[],"a":1}'),
        (b'{"community":"Berlin"}', b'{"community":"Berlin"}'),
        (b'{"password":"s3cret"}', b"{}"),
        (b'{"password": "s3cret", not json', b'{"password": "***", not json'),
        (b"snmp trap community=s3cret x", b'snmp trap community="***" x'),
        (b"community=Berlin", b"community=Berlin"),
        (b'1.3.6.1.6.3.18.1.4.0 = STRING: "s3cret"', b'1.3.6.1.6.3.18.1.4.0 = STRING: "***"'),
    ],
)
def test_payload_of_a_dead_letter(payload: bytes, expected: bytes) -> None:
    """A payload that is kept loses the keys of JSON; in other text their values are masked."""
    assert expected == Redactor(frozenset({"password"}), snmp=True).payload(payload, "logs.x")


@pytest.mark.parametrize("subject", ["logs.snmp.processed", "events.traps"])
def test_subject_may_tell_that_a_record_comes_from_snmp(subject: str) -> None:
    """A record on a subject of SNMP loses its community."""
    record = {"host": "sw1", "_community": "s3cret"}

    assert {"host": "sw1"} == cleaned(record, frozenset(), subject, snmp=True)
    assert record == cleaned(record, frozenset(), "logs.app", snmp=True)


def test_other_keys_with_the_word_are_kept() -> None:
    """Communities of BGP and other keys that contain the word are not secrets."""
    record = {"snmp": 1, "bgp_communities": [1], "communityId": "1:x=", "community": "s3cret"}

    assert {"snmp": 1, "bgp_communities": [1], "communityId": "1:x="} == cleaned(record, frozenset(), "x", snmp=True)


def test_redacted_records_of_an_array_are_independent() -> None:
    """Each record of a message is cleaned, in the order of the message."""
    payload = json.dumps([{"a": 1}, {"community": 1, "b": 2}]).encode()
    redactor, message = Redactor(REDACT), delivery(payload, "x")

    assert [{"a": 1}, {"b": 2}] == [redactor.clean(record, message) for record in decode(payload)]
