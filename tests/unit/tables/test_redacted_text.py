"""Payloads for display: whatever their form, the value of a redacted key is not in the text."""

import json

import pytest

from eventwriter.model import Message
from eventwriter.tables.redacted_text import WITHHELD, displayable

REDACT = frozenset({"community", "password"})
S = "SECRET"


def shown(payload: bytes) -> str | None:
    """Return the text of a payload."""
    return displayable(Message("", "telemetry.a", payload, None, 1, 1, 1, 1), REDACT)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"password":"SECRET","password":"x","v":1}',
        b'{"a":{"password":"SECRET"},"a":1}',
        b'\xef\xbb\xbf{"password":"SECRET"}',
        b'\xef\xbb\xbf{"commun\\u0069ty":"SECRET"}',
        b'\xef\xbb\xbf{"a":{"password":"SECRET"},"a":1}',
        b'{"commun\\u0069ty":"SECRET"',
        b'{"attributes":[{"key":"community","value":{"stringValue":"SECRET"}}]}',
        b'{"attributes":[{"value":{"stringValue":"SECRET"},"key":"Password"}]}',
        b'{"attributes":[{"key":"passw\\u006frd","value":{"stringValue":"SECRET"}}]}',
        b'{"attributes":[{"value":{"stringValue":"SECRET"},"key":"password"}',
        b'{"key":"password","key":"x","value":"SECRET"}',
        b'{"name":"password","value":"SECRET"}',
        b"SECRET is the password",
        b"\x0a\x08password\x12\x06SECRET",
        b'\xff{"password":"SECRET"}',
        json.dumps({"x": json.dumps({"password": S})}).encode(),
    ],
)
def test_secret_is_not_displayed(payload: bytes) -> None:
    """Duplicate keys, byte order marks, invalid JSON, escapes and attribute pairs do not reveal a value."""
    text = shown(payload)

    assert text is not None
    assert S not in text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"a": 1}', '{"a": 1}'),
        (b'{"a":1,"a":2}', '{"a":1,"a":2}'),
        (b'{"attributes":[{"key":"host","value":{"stringValue":"h"}}]}',
         '{"attributes":[{"key":"host","value":{"stringValue":"h"}}]}'),
        (b'{"attributes":[{"key":"password","value":{"stringValue":"SECRET"}},{"key":"b","value":1}]}',
         '{"attributes":[{"key":"password"},{"key":"b","value":1}]}'),
        (b"plain", "plain"),
        (b"\x00\xff", None),
        (b"broken password", WITHHELD),
    ],
)  # fmt: skip
def test_other_text_is_displayed(payload: bytes, text: str | None) -> None:
    """Payloads without a redacted key are displayed as they are, and of others what is not secret."""
    assert text == shown(payload)
