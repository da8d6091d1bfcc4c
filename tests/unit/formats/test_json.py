"""Tests of the choice between JSON and protobuf."""

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.json import decode_json_or_protobuf


def accept(payload: bytes) -> list[dict[str, object]]:
    """Stand for a protobuf decoder that accepts any payload."""
    return [{"protobuf": payload}]


def reject(payload: bytes) -> list[dict[str, object]]:
    """Stand for a protobuf decoder that rejects any payload."""
    raise Poison("malformed", "no protobuf")


@pytest.mark.parametrize("payload", [b'{"a":1}', b' \r\n\t{"a":1}', b'[{"a":1}]', b'\xef\xbb\xbf{"a":1}'])
def test_payload_beginning_with_bracket_is_json(payload: bytes) -> None:
    """A payload that begins with a brace or a bracket, after white space or a byte order mark, is JSON."""
    assert [{"a": 1}] == decode_json_or_protobuf(payload, accept)


@pytest.mark.parametrize("payload", [b"", b"\x08\x01", b"123", b'"text"', b"\n\x01{"[:2]])
def test_other_payload_is_protobuf(payload: bytes) -> None:
    """Any other payload is decoded as protobuf, the empty one too."""
    assert [{"protobuf": payload}] == decode_json_or_protobuf(payload, accept)


def test_invalid_json_after_white_space_is_protobuf() -> None:
    """A tag and a length that look like white space and a brace are decoded as protobuf if JSON fails."""
    payload = b"\x20\x7b\x08\x01"

    assert [{"protobuf": payload}] == decode_json_or_protobuf(payload, accept)


@pytest.mark.parametrize("payload", [b'{"a":', b" {"])
def test_invalid_in_both_forms_reports_json_error(payload: bytes) -> None:
    """If both decoders fail, the error is that of JSON, which the payload resembles."""
    with pytest.raises(Poison, match="not valid JSON"):
        decode_json_or_protobuf(payload, reject)
