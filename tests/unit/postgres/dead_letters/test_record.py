"""Redaction of payloads in dead letters."""

import pytest

from eventwriter.tables.redaction import Redactor


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        pytest.param(b'{"a": 1 }', b'{"a": 1 }', id="no secret: unchanged"),
        pytest.param(b'{"note": "community"}', b'{"note": "community"}', id="key name as a value stays"),
        pytest.param(b'{"community":"s3cret","a":[1]}', b'{"a":[1]}', id="key of JSON"),
        pytest.param(b'[{"x":{"Community":{"y":"s3cret"}}}]', b'[{"x":{}}]', id="nested and in other case"),
        pytest.param(b'{"comm\\u0075nity":"s3cret"}', b"{}", id="escaped key"),
        pytest.param(b'{"x":"{\\"community\\":\\"s3cret\\"}"}', b'{"x":"{}"}', id="JSON within text"),
        pytest.param(b'{"community": "s3\\"cret", "a"', b'{"community": "***", "a"', id="truncated JSON"),
        pytest.param(b'{"community": "s3cr', b'{"community": "***"', id="truncated within the value"),
        pytest.param(b"community=s3cret x=1", b'community="***" x=1', id="plain text"),
        pytest.param(
            b'{"community":"s3cret","a":' + b"[" * 600 + b"]" * 600 + b"}",
            b'{"community":"***","a":' + b"[" * 600 + b"]" * 600 + b"}",
            id="JSON nested too deeply to serialise",
        ),
        pytest.param(b"\xff\x00community\x12", b"\xff\x00community\x12", id="binary data with the key name"),
    ],
)
def test_payload_is_stored_without_secrets(payload: bytes, kept: bytes) -> None:
    """A dead letter stores the payload without the values of redacted keys."""
    assert kept == Redactor(frozenset({"community"})).payload(payload)


def test_payload_is_unchanged_without_redacted_keys() -> None:
    """Without redacted keys a payload is stored unchanged."""
    assert b'{"community":"x"}' == Redactor(frozenset()).payload(b'{"community":"x"}')
