"""Tests of Fluent Bit's arrays of times and records."""

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.fluent_bit import decode

OTHER = Poison("malformed", "another form")


def test_events_become_records() -> None:
    """The time of an event becomes a field of its record, as does its metadata; a field of that name is kept."""
    records = decode(b'[[1.5,{"log":"a"}],[[2,{"k":1}],{"log":"b","@timestamp":"own"}],[[3,{}],{}]]', OTHER)

    assert [
        {"log": "a", "@timestamp": 1.5},
        {"log": "b", "@timestamp": "own", "fluent_bit.@timestamp": 2, "metadata": {"k": 1}},
        {"@timestamp": 3},
    ] == records


@pytest.mark.parametrize("payload", [b"[]", b"[1]", b"[[1,2]]", b"[[1,{},{}]]", b"[[{},{}]]", b"[[1,{}],2]", b"[true]"])
def test_other_arrays_are_refused(payload: bytes) -> None:
    """An array of anything else raises the error that the caller has for it."""
    with pytest.raises(Poison) as raised:
        decode(payload, OTHER)
    assert raised.value is OTHER
