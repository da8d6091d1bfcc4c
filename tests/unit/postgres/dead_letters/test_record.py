"""What a dead letter keeps of its payload."""

import pytest

from eventwriter.postgres.dead_letters.record import keeper


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        pytest.param(b'{"a": 1 }', b'{"a": 1 }', id="nothing secret: byte for byte"),
        pytest.param(b'{"note": "community"}', b'{"note": "community"}', id="the word as a value stays"),
        pytest.param(b'{"community":"s3cret","a":[1]}', b'{"a":[1]}', id="a key of JSON goes"),
        pytest.param(b'[{"x":{"Community":{"y":"s3cret"}}}]', b'[{"x":{}}]', id="at any depth, in any case"),
        pytest.param(b'{"comm\\u0075nity":"s3cret"}', b"{}", id="however it is written"),
        pytest.param(b'{"x":"{\\"community\\":\\"s3cret\\"}"}', b'{"x":"{}"}', id="in JSON within text"),
        pytest.param(b'{"community": "s3\\"cret", "a"', b'{"community": "***", "a"', id="JSON that is cut off"),
        pytest.param(b'{"community": "s3cr', b'{"community": "***"', id="cut off within the value"),
        pytest.param(b"community=s3cret x=1", b'community="***" x=1', id="no JSON at all"),
        pytest.param(
            b'{"community":"s3cret","a":' + b"[" * 600 + b"]" * 600 + b"}",
            b'{"community":"***","a":' + b"[" * 600 + b"]" * 600 + b"}",
            id="JSON too deep to be written again",
        ),
        pytest.param(b"\xff\x00community\x12", b"\xff\x00community\x12", id="bytes that only have the word in them"),
    ],
)
def test_payload_is_kept_without_secrets(payload: bytes, kept: bytes) -> None:
    """A dead letter keeps its payload as it came, but for values that are never stored."""
    assert kept == keeper(frozenset({"community"}))(payload)


def test_nothing_to_leave_out_keeps_everything() -> None:
    """Where no key is to be left out, payloads are kept whole."""
    assert b'{"community":"x"}' == keeper(frozenset())(b'{"community":"x"}')
