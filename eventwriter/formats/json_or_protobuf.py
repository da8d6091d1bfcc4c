"""Payloads that may be JSON or protobuf: which of the two one is."""

from collections.abc import Callable

from eventwriter.errors import Poison
from eventwriter.formats import plain_json
from eventwriter.model import Record

_JSON_BEGINS = (b"{", b"[")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""No protobuf message begins with it: it would be a tag of wire type 7, which there is not."""


Decoder = Callable[[bytes], list[Record]]


def decode(payload: bytes, protobuf: Decoder, json: Decoder = plain_json.decode) -> list[Record]:
    """
    Read a payload as JSON where its first byte after white space is `{` or `[`, else as protobuf.

    White space and a brace can begin a protobuf message too (a line feed is the tag of its first
    field, the brace a length), so what looks like JSON and is none gets its second try.

    Args:
        protobuf: Reads the one form; raises only `Poison`.
        json: Reads the other; the same.

    Raises:
        Poison: What the one that applies says.
    """
    # Hot: once per message; nothing is copied but where the payload begins with white space.
    if payload[:1] in _JSON_BEGINS or payload[:3] == _BYTE_ORDER_MARK:
        begins_blank = False
    elif payload[:1].isspace() and payload.lstrip()[:1] in _JSON_BEGINS:
        begins_blank = True
    else:
        return protobuf(payload)
    try:
        return json(payload)
    except Poison as no_json:
        if not begins_blank:
            raise
        try:
            return protobuf(payload)
        except Poison:
            raise no_json from None
