"""Lines of the control protocol."""

import json

import pytest

from eventwriter.control.protocol import (
    ANSWER_BYTES_MAX,
    ProtocolError,
    Request,
    encode_answer,
    encode_error,
    encode_request,
    parse_request,
)


def test_encoded_request_is_parsed_again() -> None:
    """The daemon parses exactly the request that a client encodes."""
    line = encode_request(7, "drain", {"slot": "NETFLOW/0"})

    assert Request(7, "drain", {"slot": "NETFLOW/0"}) == parse_request(line.rstrip(b"\n"))


@pytest.mark.parametrize(
    ("line", "ref"),
    [
        (b"", None),
        (b"\xff\xfe", None),
        (b"[1]", None),
        (b"[" * 60000, None),
        (b'{"v":1,"id":[],"verb":"status"}', None),
        (b'{"v":2,"id":3,"verb":"x"}', 3),
        (b'{"id":"a","verb":"x"}', "a"),
        (b'{"v":1,"id":3}', 3),
        (b'{"v":1,"id":3,"verb":1}', 3),
    ],
)
def test_malformed_request_is_refused(line: bytes, ref: str | int | None) -> None:
    """A malformed request raises ProtocolError with the request's id, if it has one."""
    with pytest.raises(ProtocolError) as error:
        parse_request(line)

    assert ("malformed_request", ref) == (error.value.code, error.value.ref)


def test_answer_is_a_single_line() -> None:
    """An answer is one line, also if its text contains newlines."""
    line = encode_answer(1, {"text": "a\nb"})

    assert 1 == line.count(b"\n")
    assert {"v": 1, "id": 1, "ok": True, "result": {"text": "a\nb"}} == json.loads(line)
    assert {"v": 1, "id": None, "ok": False, "error": "no", "code": "busy"} == json.loads(
        encode_error(None, "no", "busy")
    )


def test_answer_above_the_limit_becomes_an_error() -> None:
    """An answer above the limit of clients is replaced by an error."""
    line = encode_answer(1, "x" * ANSWER_BYTES_MAX)

    assert (False, "too_large") == (json.loads(line)["ok"], json.loads(line)["code"])
