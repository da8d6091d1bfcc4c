"""Lines of the conversation."""

import json

import pytest

from eventwriter.control.protocol import ANSWER_BYTES_MAX, ProtocolError, Request, answer, parse, question, refusal


def test_question_is_read_as_it_was_asked() -> None:
    """What a client writes is what the daemon reads."""
    line = question(7, "drain", {"slot": "NETFLOW/0"})

    assert Request(7, "drain", {"slot": "NETFLOW/0"}) == parse(line.rstrip(b"\n"))


@pytest.mark.parametrize(
    ("line", "ref", "sentence"),
    [
        (b"", None, "a request is one JSON object on one line"),
        (b"\xff\xfe", None, "a request is one JSON object on one line"),
        (b"[1]", None, "a request is one JSON object on one line"),
        (b"[" * 60000, None, "a request is one JSON object on one line"),
        (b'{"v":1,"id":[],"verb":"status"}', None, "id must be a string or a whole number"),
        (b'{"v":2,"id":3,"verb":"x"}', 3, "version 2 is not spoken here, only 1: use the same release"),
        (b'{"id":"a","verb":"x"}', "a", "version None is not spoken here, only 1: use the same release"),
        (b'{"v":1,"id":3}', 3, "a request needs a verb, such as status"),
        (b'{"v":1,"id":3,"verb":1}', 3, "a request needs a verb, such as status"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(line: bytes, ref: str | int | None, sentence: str) -> None:
    """Whatever comes over the socket, the answer is a sentence and carries the id where there was one."""
    with pytest.raises(ProtocolError) as error:
        parse(line)

    assert (sentence, ref) == (str(error.value), error.value.ref)


def test_answers_are_single_lines() -> None:
    """An answer is one line, also when its text has newlines."""
    line = answer(1, {"text": "a\nb"})

    assert 1 == line.count(b"\n")
    assert {"v": 1, "id": 1, "ok": True, "result": {"text": "a\nb"}} == json.loads(line)
    assert {"v": 1, "id": None, "ok": False, "error": "no"} == json.loads(refusal(None, "no"))


def test_answer_beyond_the_limit_becomes_a_refusal() -> None:
    """No answer is larger than a client is ready for."""
    line = answer(1, "x" * ANSWER_BYTES_MAX)

    assert json.loads(line)["ok"] is False
