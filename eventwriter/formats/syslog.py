"""
Syslog lines, as records of logs.

Text that begins with a priority in angle brackets is a syslog message. It is read as RFC 5424 if it has that
form, otherwise as RFC 3164, of which every part except the priority may be missing.

Sources: RFC 5424, section 6; RFC 3164, section 4; RFC 6587, section 3.4.1 (lengths before messages).
"""

import re
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.json import check_count, clean_text
from eventwriter.model import Record

_FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", *(f"local{number}" for number in range(8)),
)  # fmt: skip
_PRIORITY = re.compile(r"<([0-9]{1,3})>")
_PRIORITY_MAX = 191
_BEGINS = re.compile(r"^(?:[1-9][0-9]* )?<[0-9]{1,3}>", re.MULTILINE)
_LENGTH = re.compile(rb"([1-9][0-9]{0,7}) (?=<[0-9]{1,3}>)")
_NIL = "-"
_RFC_5424 = re.compile(r"1 (\S+) (\S+) (\S+) (\S+) (\S+) (?=-|\[)")
_PARAMETER = re.compile(r' ([^\s=\]"]+)="((?:[^"\\\]]|\\.)*)"', re.DOTALL)
_ELEMENT = re.compile(r'\[([^\s=\]"]+)((?: [^\s=\]"]+="(?:[^"\\\]]|\\.)*")*)\]', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\\]])')
_TIME = (
    r"(?:[A-Z][a-z]{2} [ 0-9]?[0-9] (?:[0-9]{4} )?[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T\S+)"
)
_RFC_3164 = re.compile(rf"({_TIME}) (?:([^\s:\[]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*[0-9A-Fa-f]) )?")
_TIME_FIRST = re.compile(rf"{_TIME} \S+ \S")
_TAG = re.compile(r"([^\s\[\]:]{1,64})(?:\[([^\]\s]{1,64})\])?: ?")


def is_syslog(text: str) -> bool:
    """Return whether text begins like a syslog message: with a priority, or with the time of RFC 3164."""
    return _BEGINS.match(text) is not None or _TIME_FIRST.match(text) is not None


def decode(payload: bytes) -> list[Record]:
    """
    Return the records of a payload: one message, several lines of which each begins like a message, or messages with
    their lengths before them.

    Raises:
        Poison: `malformed`; `too_large` for too many lines.
    """
    if _LENGTH.match(payload) and (frames := _frames(payload)):
        return [_record(_text(frame)) for frame in frames]
    text = _text(payload)
    if not is_syslog(text):
        raise Poison("malformed", "the payload is not a syslog message")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    check_count(0, lines)
    if len(lines) > 1 and all(map(is_syslog, lines)):
        return [_record(line) for line in lines]
    return [_record(text)]


def _frames(payload: bytes) -> list[bytes]:
    """Return the messages of a payload that consists of lengths and messages; none if it does not."""
    frames: list[bytes] = []
    at = 0
    while at < len(payload):
        length = _LENGTH.match(payload, at)
        if length is None or len(payload) < length.end() + int(length[1]):
            return []
        at = length.end() + int(length[1])
        check_count(len(frames), (0,))
        frames.append(payload[length.end() : at])
    return frames


def _text(payload: bytes) -> str:
    """Return the text of a message. Bytes that are not UTF-8, which RFC 3164 allows, are read as Latin-1."""
    content = payload.rstrip(b"\0\r\n")
    try:
        return clean_text(content.decode())
    except UnicodeDecodeError:
        return clean_text(content.decode("latin-1"))


def _record(line: str) -> Record:
    """Return the record of a message."""
    record: Record = {}
    rest = line
    priority = _PRIORITY.match(line)
    if priority is not None and int(priority[1]) <= _PRIORITY_MAX:
        facility, level = divmod(int(priority[1]), 8)
        record = {"level": level, "facility": _FACILITIES[facility]}
        rest = line[priority.end() :]
    header = _RFC_5424.match(rest)
    record |= _rfc_5424(header, rest) if header else _rfc_3164(rest)
    return {key: value for key, value in record.items() if value is not None and value != ""}


def _rfc_5424(header: re.Match[str], rest: str) -> Record:
    time, host, program, process, message_id = (None if part == _NIL else part for part in header.groups())
    data, at = _structured_data(rest, header.end())
    return {
        "timestamp": time,
        "host": host,
        "service_name": program,
        "process_id": process,
        "message_id": message_id,
        "structured_data": data or None,
        "body": rest[at:].removeprefix(" ").removeprefix("\ufeff"),
    }


def _structured_data(rest: str, at: int) -> tuple[dict[str, Any], int]:
    """Return the elements of structured data and the position after them; what cannot be read is a part of the text."""
    if rest[at] == _NIL:
        return {}, at + 1
    elements: dict[str, Any] = {}
    while (element := _ELEMENT.match(rest, at)) is not None:
        parameters = elements.setdefault(element[1], {})
        for name, value in _PARAMETER.findall(element[2]):
            _add(parameters, name, _ESCAPE.sub(r"\1", value))
        at = element.end()
    return elements, at


def _add(parameters: dict[str, Any], name: str, value: str) -> None:
    """Add a parameter; the values of a repeated name become a list."""
    if name not in parameters:
        parameters[name] = value
    elif isinstance(parameters[name], list):
        parameters[name].append(value)
    else:
        parameters[name] = [parameters[name], value]


def _rfc_3164(rest: str) -> Record:
    """
    Return the parts of the older form.

    Its time has neither a year nor a zone. As the record's time it is unreadable, so that the message's JetStream
    timestamp is stored, and its text is kept.
    """
    header = _RFC_3164.match(rest)
    time, host, at = (header[1], header[2], header.end()) if header else (None, None, 0)
    tag = _TAG.match(rest, at)
    program, process, at = (tag[1], tag[2], tag.end()) if tag and header else (None, None, at)
    return {"timestamp": time, "host": host, "service_name": program, "process_id": process, "body": rest[at:]}
