"""
Identifiers that the writer makes: the same message always gets the same one.

UUID version 8 (RFC 9562, section 5.8), laid out as::

    custom_a, custom_b  60 bits  hash of stream, incarnation and epoch
    custom_c            62 bits  stream sequence (50) and record index (12)

Ids of one stream ascend with its sequence, so that an index grows at its end. A
record index beyond 4,095 takes all 122 bits from a hash of everything.
"""

import hashlib
import struct
from collections.abc import Callable

from eventwriter.model import Origin

_PACK = struct.Struct("!QQ").pack
_INDEX_BITS = 12
_VERSION, _VARIANT = 0x8000, 0x8000_0000_0000_0000


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
