"""Tests of syslog lines as logs."""

import pytest

from eventwriter.errors import Poison
from eventwriter.formats.syslog import decode
from eventwriter.model import Record


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            b"<34>1 2003-10-11T22:14:15.003Z web.example.com su - ID47 - \xef\xbb\xbf'su root' failed",
            {"level": 2, "facility": "auth", "timestamp": "2003-10-11T22:14:15.003Z", "host": "web.example.com",
             "service_name": "su", "message_id": "ID47", "body": "'su root' failed"},
        ),
        (
            b'<165>1 2003-10-11T22:14:15Z h app 77 - [a@1 x="q\\"\\]" ip="1" ip="2" ip="3"][b@1] text',
            {"level": 5, "facility": "local4", "timestamp": "2003-10-11T22:14:15Z", "host": "h", "service_name": "app",
             "process_id": "77", "structured_data": {"a@1": {"x": 'q"]', "ip": ["1", "2", "3"]}, "b@1": {}},
             "body": "text"},
        ),
        (b"<0>1 - - - - - -", {"level": 0, "facility": "kern"}),
        (
            b"<34>Oct 11 22:14:15 web su[12]: 'su root' failed\n",
            {"level": 2, "facility": "auth", "timestamp": "Oct 11 22:14:15", "host": "web", "service_name": "su",
             "process_id": "12", "body": "'su root' failed"},
        ),
        (
            b"<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
            {"level": 5, "facility": "user", "timestamp": "Feb  5 17:32:18", "host": "10.0.0.99",
             "body": "Use the BFG!"},
        ),
        (
            b"<13>2026-01-01T00:00:00+01:00 web app: started",
            {"level": 5, "facility": "user", "timestamp": "2026-01-01T00:00:00+01:00", "host": "web",
             "service_name": "app", "body": "started"},
        ),
        (
            b"Oct 11 22:14:15 web su: failed",
            {"timestamp": "Oct 11 22:14:15", "host": "web", "service_name": "su", "body": "failed"},
        ),
        (
            b"<189>123: *Mar  1 18:46:11: %SYS-5-CONFIG_I: Configured",
            {"level": 5, "facility": "local7", "body": "123: *Mar  1 18:46:11: %SYS-5-CONFIG_I: Configured"},
        ),
        (b"<13>caf\xe9\0", {"level": 5, "facility": "user", "body": "café"}),
        (b"<13>first\nsecond", {"level": 5, "facility": "user", "body": "first\nsecond"}),
        (b"<999>text", {"body": "<999>text"}),
    ],
    ids=["RFC 5424", "structured data", "RFC 5424, empty", "RFC 3164", "without a tag", "ISO time",
         "without a priority", "Cisco", "Latin-1", "several lines of text", "invalid priority"],
)  # fmt: skip
def test_line_becomes_a_record(payload: bytes, expected: Record) -> None:
    """Each part of a message is a field; what has no form of its own stays in the text."""
    assert [expected] == decode(payload)


@pytest.mark.parametrize(
    "payload",
    [b"<34>a\n<35>b\n", b"<34>a\r\n\r\n<35>b", b"5 <34>a5 <35>b", b"6 <34>a\n5 <35>b"],
    ids=["lines", "CRLF", "lengths", "lengths and lines"],
)
def test_several_messages_are_several_records(payload: bytes) -> None:
    """Messages that follow each other, by line or by length, are a record each."""
    assert ["a", "b"] == [record["body"] for record in decode(payload)]


@pytest.mark.parametrize("payload", [b"<xml/>", b"text", b"", b"<1234>x"])
def test_other_text_is_malformed(payload: bytes) -> None:
    """Text that does not begin as a syslog message does is refused."""
    with pytest.raises(Poison) as raised:
        decode(payload)
    assert "malformed" == raised.value.reason


def test_bad_structured_data_stays_in_the_text() -> None:
    """Structured data that cannot be read is not lost."""
    [record] = decode(b'<13>1 - h a - - [a@1 x="1"][bad text')

    assert ({"a@1": {"x": "1"}}, "[bad text") == (record["structured_data"], record["body"])
