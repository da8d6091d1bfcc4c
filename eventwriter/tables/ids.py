"""
Identifiers: those that the writer makes, and those that a payload gives.

The same message always gets the same one. Made ones are UUID version 8 (RFC 9562, section 5.8), laid out as::

    custom_a, custom_b  60 bits  hash of stream, incarnation and epoch
    custom_c            62 bits  stream sequence (50) and record index (12)

Ids of one stream ascend with its sequence, so that an index grows at its end. A
record index beyond 4,095 takes all 122 bits from a hash of everything.
"""

import hashlib
import re
import struct
from collections.abc import Callable
from uuid import UUID, uuid5

from eventwriter.model import Origin

_PACK = struct.Struct("!QQ").pack
_INDEX_BITS = 12
_VERSION, _VARIANT = 0x8000, 0x8000_0000_0000_0000

GIVEN_IDS = UUID("d4e377f3-bbed-5212-9caf-828fb4aedf01")
"""
The namespace in which an id that is no UUID is named (RFC 9562, version 5), for ever the same;
itself the UUIDv5 of the URL `tag:eventwriter,2026:given-id`.
"""
_OTHER_FORMS = re.compile(r"(?:urn:uuid:)?(\{)?([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})(?(1)\})", re.IGNORECASE)


def _stamped(high: int, low: int) -> bytes:
    return _PACK((high & ~0xF000) | _VERSION, (low & 0x3FFF_FFFF_FFFF_FFFF) | _VARIANT)


def id_maker(origin: Origin) -> Callable[[int, int], bytes]:
    """Return the function (stream sequence, record index) → 16 bytes for one life of a stream."""
    seed = f"{origin.stream}\0{origin.incarnation_ns}\0{origin.epoch}".encode()
    prefix = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest())
    high = (prefix & ~0xF000) | _VERSION

    def make(seq: int, index: int) -> bytes:
        # Hot: once per row.
        if index < 4096:
            return _PACK(high, _VARIANT | seq << _INDEX_BITS | index)
        digest = hashlib.blake2b(seed + _PACK(seq, index), digest_size=16).digest()
        return _stamped(int.from_bytes(digest[:8]), int.from_bytes(digest[8:]))

    return make


def given_uuid(text: str) -> bytes | None:
    """
    Return the 16 bytes of a UUID's text, None where it is no UUID.

    Besides the usual form, in any case: without hyphens, in braces, after `urn:uuid:`.

    Source: RFC 9562, section 4.
    """
    # Hot: once per event. 36 characters with the four hyphens leave 32; whatever else is among them, fromhex refuses
    # or (white space) leaves out.
    if len(text) == 36 and text[8] == text[13] == text[18] == text[23] == "-":
        try:
            found = bytes.fromhex(text.replace("-", ""))
        except ValueError:
            return None
        return found if len(found) == 16 else None
    other = _OTHER_FORMS.fullmatch(text)
    return bytes.fromhex(other[2].replace("-", "")) if other else None


def named_uuid(text: str) -> bytes:
    """Return the UUIDv5 of an id that is no UUID, within `GIVEN_IDS`."""
    return uuid5(GIVEN_IDS, text).bytes
