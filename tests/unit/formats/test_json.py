"""Which of the two encodings a payload has."""

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.json import decode_json_or_protobuf


def taken(payload: bytes) -> list[dict[str, object]]:
    """Stands for a protobuf decoder that takes everything."""
    return [{"protobuf": payload}]


def refused(payload: bytes) -> list[dict[str, object]]:
    """Stands for a protobuf decoder that takes nothing."""
    raise Poison("malformed", "no protobuf")


@pytest.mark.parametrize("payload", [b'{"a":1}', b' \r\n\t{"a":1}', b'[{"a":1}]', b'\xef\xbb\xbf{"a":1}'])
def test_what_begins_like_json_is_json(payload: bytes) -> None:
    """A brace or a bracket first, after white space or a byte order mark, makes JSON."""
    assert [{"a": 1}] == decode_json_or_protobuf(payload, taken)


@pytest.mark.parametrize("payload", [b"", b"\x08\x01", b"123", b'"text"', b"\n\x01{"[:2]])
def test_anything_else_is_protobuf(payload: bytes) -> None:
    """What begins otherwise is read as protobuf, the empty payload too."""
    assert [{"protobuf": payload}] == decode_json_or_protobuf(payload, taken)


def test_blank_and_brace_that_is_no_json_is_protobuf() -> None:
    """A field's tag and length may look like white space and a brace: what is no JSON gets its second try."""
    payload = b"\x20\x7b\x08\x01"

    assert [{"protobuf": payload}] == decode_json_or_protobuf(payload, taken)


@pytest.mark.parametrize("payload", [b'{"a":', b" {"])
def test_broken_json_is_told_as_json(payload: bytes) -> None:
    """Where both decoders refuse, the dead letter speaks of JSON, which the payload looks like."""
    with pytest.raises(Poison, match="no JSON"):
        decode_json_or_protobuf(payload, refused)
