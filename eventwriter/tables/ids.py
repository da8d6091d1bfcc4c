"""
Identifiers: generated ones and those of the payload.

The same message always gets the same identifier. Generated ones are UUID version 8 (RFC 9562, section 5.8)::

    custom_a, custom_b  60 bits  hash of stream, incarnation and epoch
    custom_c            62 bits  stream sequence (50) and record index (12)

Identifiers of one stream ascend with the sequence, so that an index grows at its end. For a
record index above 4,095 all 122 bits are a hash of all parts.
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

ID_NAMESPACE = UUID("d4e377f3-bbed-5212-9caf-828fb4aedf01")
"""
The namespace of UUIDv5 identifiers (RFC 9562) for payload ids that are not UUIDs. It never changes;
it is itself the UUIDv5 of the URL `tag:eventwriter,2026:given-id`.
"""
_OTHER_FORMS = re.compile(r"(?:urn:uuid:)?(\{)?([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})(?(1)\})", re.IGNORECASE)


def _stamped(high: int, low: int) -> bytes:
    return _PACK((high & ~0xF000) | _VERSION, (low & 0x3FFF_FFFF_FFFF_FFFF) | _VARIANT)


def id_generator(origin: Origin) -> Callable[[int, int], bytes]:
    """Return the function (stream sequence, record index) → 16 bytes for one epoch of a stream."""
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


def parse_uuid(text: str) -> bytes | None:
    """
    Return the 16 bytes of a UUID in text, or None if the text is not a UUID.

    Accepts upper and lower case, and the forms without hyphens, in braces and with the prefix `urn:uuid:`.

    Source: RFC 9562, section 4.
    """
    # Hot: once per event. 36 characters without four hyphens are 32; fromhex refuses other characters among them,
    # but skips white space, hence the check of the length.
    if len(text) == 36 and text[8] == text[13] == text[18] == text[23] == "-":
        try:
            parsed = bytes.fromhex(text.replace("-", ""))
        except ValueError:
            return None
        return parsed if len(parsed) == 16 else None
    other = _OTHER_FORMS.fullmatch(text)
    return bytes.fromhex(other[2].replace("-", "")) if other else None


def uuid_from_name(text: str) -> bytes:
    """Return the UUIDv5 within `ID_NAMESPACE` of an id that is not a UUID."""
    return uuid5(ID_NAMESPACE, text).bytes
