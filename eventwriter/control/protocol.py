"""
What is said over the control socket: one JSON object a line, one answer for each request. Pure.

    {"v": 1, "id": 7, "verb": "drain", "slot": "NETFLOW/0"}
    {"v": 1, "id": 7, "ok": true, "result": {...}}
    {"v": 1, "id": 7, "ok": false, "error": "one sentence"}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventwriter.errors import EventwriterError

VERSION = 1
REQUEST_BYTES_MAX = 64 * 1024  # a request is a verb and a name; this is generous and still nothing
ANSWER_BYTES_MAX = 4 * 1024 * 1024  # a status of a thousand slots is 1.5 MB


Ref = str | int | None
"""The id that a client gave its request; the answer carries it back."""


class ProtocolError(EventwriterError):
    """
    A request that cannot be understood.

    Args:
        sentence: For the answer.
        ref: The request's own id, where it could be read.
    """

    def __init__(self, sentence: str, ref: Ref = None) -> None:
        super().__init__(sentence)
        self.ref = ref


@dataclass(frozen=True, slots=True)
class Request:
    """One question."""

    ref: Ref
    verb: str
    fields: Mapping[str, Any]
    """Everything but `v`, `id` and `verb`."""
    who: str = ""
    """The peer, as the kernel knows it; for the log, and for who looks why something rests."""
    is_trusted: bool = True
    """Whether the peer may change things, and see what messages hold; the server knows, see `peer`."""


def parse(line: bytes) -> Request:
    """
    Read one request line, without its newline.

    Raises:
        ProtocolError: It is no JSON object, of another version, or has no verb.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("a request is one JSON object on one line") from None
    if not isinstance(said, dict):
        raise ProtocolError("a request is one JSON object on one line")
    ref = said.pop("id", None)
    if not isinstance(ref, str | int | None):
        raise ProtocolError("id must be a string or a whole number")
    if (version := said.pop("v", None)) != VERSION:
        raise ProtocolError(f"version {version!r} is not spoken here, only {VERSION}: use the same release", ref)
    verb = said.pop("verb", None)
    if not isinstance(verb, str):
        raise ProtocolError("a request needs a verb, such as status", ref)
    return Request(ref, verb, said)


def question(ref: Ref, verb: str, fields: Mapping[str, Any]) -> bytes:
    """Return a request as a line."""
    return json.dumps({"v": VERSION, "id": ref, "verb": verb, **fields}).encode() + b"\n"


def answer(ref: Ref, result: Any) -> bytes:
    """Return a good answer as a line; a refusal where it would be too large."""
    line = json.dumps({"v": VERSION, "id": ref, "ok": True, "result": result}).encode() + b"\n"
    if len(line) > ANSWER_BYTES_MAX:
        return refusal(ref, f"the answer has {len(line)} bytes, more than {ANSWER_BYTES_MAX}")
    return line


def refusal(ref: Ref, sentence: str) -> bytes:
    """Return a bad answer as a line."""
    return json.dumps({"v": VERSION, "id": ref, "ok": False, "error": sentence}).encode() + b"\n"
