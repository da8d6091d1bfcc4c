"""
Messages on the control socket: one JSON object per line, one answer for each request. Pure.

    {"v": 1, "id": 7, "verb": "drain", "slot": "NETFLOW/0"}
    {"v": 1, "id": 7, "ok": true, "result": {...}}
    {"v": 1, "id": 7, "ok": false, "error": "one sentence", "code": "unknown_slot"}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventwriter.errors import EventwriterError

VERSION = 1
REQUEST_BYTES_MAX = 64 * 1024  # a request is a verb and a few names, so this is generous
ANSWER_BYTES_MAX = 4 * 1024 * 1024  # a status of a thousand slots has 1.5 MB

Ref = str | int | None
"""Id that a client gave its request; the answer repeats it."""


class ProtocolError(EventwriterError):
    """
    A malformed request.

    Args:
        message: Sentence for the answer.
        ref: Id of the request, if it could be read.
    """

    default_code = "malformed_request"

    def __init__(self, message: str, ref: Ref = None) -> None:
        super().__init__(message)
        self.ref = ref


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    ref: Ref
    verb: str
    fields: Mapping[str, Any]
    """Everything except `v`, `id` and `verb`."""
    peer: str = ""
    """The client's process as the kernel reports it, for the log and for the reason of a pause."""
    is_trusted: bool = True
    """Whether the peer may change things and see the content of messages; the server decides, see `peer`."""


def parse_request(line: bytes) -> Request:
    """
    Return the request in a line without its newline.

    Raises:
        ProtocolError: The line is not a JSON object, has another version, or has no verb.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("a request must be one JSON object on one line") from None
    if not isinstance(message, dict):
        raise ProtocolError("a request must be one JSON object on one line")
    ref = message.pop("id", None)
    if not isinstance(ref, str | int | None):
        raise ProtocolError("the id must be text or a whole number")
    if (version := message.pop("v", None)) != VERSION:
        text = f"protocol version {version!r} is not supported, only {VERSION}; use a client of the same release"
        raise ProtocolError(text, ref)
    verb = message.pop("verb", None)
    if not isinstance(verb, str):
        raise ProtocolError("a request must have a verb, such as status", ref)
    return Request(ref, verb, message)


def encode_request(ref: Ref, verb: str, fields: Mapping[str, Any]) -> bytes:
    """Return a request as a line."""
    return json.dumps({"v": VERSION, "id": ref, "verb": verb, **fields}).encode() + b"\n"


def encode_answer(ref: Ref, result: Any) -> bytes:
    """Return a result as a line; an error if it would be too long."""
    line = json.dumps({"v": VERSION, "id": ref, "ok": True, "result": result}).encode() + b"\n"
    if len(line) > ANSWER_BYTES_MAX:
        return encode_error(ref, f"the answer has {len(line)} bytes, above {ANSWER_BYTES_MAX}", "too_large")
    return line


def encode_error(ref: Ref, message: str, code: str) -> bytes:
    """Return an error as a line."""
    return json.dumps({"v": VERSION, "id": ref, "ok": False, "error": message, "code": code}).encode() + b"\n"
