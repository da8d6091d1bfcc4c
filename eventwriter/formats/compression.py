"""
Payloads compressed by gzip, zlib, deflate or zstd, expanded up to a limit.

Sources: RFC 1952 (gzip), RFC 1950 (zlib), RFC 1951 (deflate), RFC 8878 (zstd).
"""

import zlib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from eventwriter.errors import Poison

ENCODING_HEADER = "content-encoding"
_GZIP, _ZSTD, _ZLIB = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
MAGIC = (_GZIP, _ZSTD, *_ZLIB)
"""First bytes of compressed payloads."""
_GZIP_WBITS, _ZLIB_WBITS, _RAW_WBITS = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_ENCODINGS = ("", "identity", "gzip", "x-gzip", "zstd", "deflate")
_JSON_BEGINS = (b"{", b"[")
_ZSTD_MODULES = ("compression.zstd", "backports.zstd")
"""The module of Python 3.14 and later, and the package that provides it for earlier versions."""


_PARTS_MAX = 100
"""Largest number of compressed parts in one payload. Each costs a copy of the rest, which an attacker could abuse."""


class _Codec(NamedTuple):
    name: str
    expander: Callable[[], Any]
    """Creates the object that expands one part."""
    error: type[Exception]


_GZIP_CODEC = _Codec("gzip", lambda: zlib.decompressobj(_GZIP_WBITS), zlib.error)
_ZLIB_CODEC = _Codec("zlib", lambda: zlib.decompressobj(_ZLIB_WBITS), zlib.error)
_DEFLATE_CODEC = _Codec("deflate", lambda: zlib.decompressobj(_RAW_WBITS), zlib.error)


def expand(payload: bytes, headers: Mapping[str, str] | None, bytes_max: int) -> bytes | None:
    """
    Return a compressed payload expanded, or None if it is not compressed.

    The compression is recognized by the first bytes; deflate without a zlib header by `Content-Encoding`.
    A payload of several compressed parts, one after the other, gives their contents joined.

    Raises:
        Poison: `too_large` if it expands to more than `bytes_max`; `malformed` if it is damaged, or if its
            compression is not supported.
    """
    codec = _codec_of(payload) or _declared_codec(payload, headers)
    return None if codec is None else _expanded(payload, codec, bytes_max)


def _codec_of(payload: bytes) -> _Codec | None:
    """Return the compression that the first bytes show."""
    if payload[:2] == _GZIP:
        return _GZIP_CODEC
    if payload[:4] == _ZSTD:
        return _zstd_codec()
    return _ZLIB_CODEC if payload[:2] in _ZLIB else None


def _declared_codec(payload: bytes, headers: Mapping[str, str] | None) -> _Codec | None:
    """Return the compression that `Content-Encoding` names, unless the payload is empty or looks like JSON."""
    encoding = next((v.strip().lower() for k, v in (headers or {}).items() if k.lower() == ENCODING_HEADER), "")
    if not payload or payload.lstrip()[:1] in _JSON_BEGINS:
        return None  # already expanded
    if encoding not in _ENCODINGS:
        raise Poison("malformed", f"Content-Encoding {encoding!r} is not supported; use gzip, zstd or deflate")
    return _DEFLATE_CODEC if encoding == "deflate" else None


def _zstd_codec() -> _Codec:
    for name in _ZSTD_MODULES:
        try:
            zstd: Any = import_module(name)
        except ImportError:
            continue
        return _Codec("zstd", zstd.ZstdDecompressor, zstd.ZstdError)
    raise Poison(
        "malformed",
        "the payload is compressed by zstd, and the package that expands it is missing; run"
        " `pip install backports.zstd`, restart eventwriter, and replay the dead letter",
    )


def _expanded(payload: bytes, codec: _Codec, bytes_max: int) -> bytes:
    """Return the contents of all parts of a payload."""
    parts: list[bytes] = []
    size, rest = 0, payload
    while rest:
        expander, at = codec.expander(), len(payload) - len(rest)
        if len(parts) == _PARTS_MAX:
            raise _malformed(codec, f"consists of more than {_PARTS_MAX} compressed parts")
        try:
            part: bytes = expander.decompress(rest, bytes_max - size + 1)
        except codec.error as error:
            raise _malformed(codec, f"cannot be expanded from byte {at:,} on: {error}") from None
        size += len(part)
        if size > bytes_max:
            limit = f"{bytes_max:,} bytes, max_payload_bytes of the stream"
            raise Poison("too_large", f"the payload is compressed by {codec.name} and expands to more than {limit}")
        if not expander.eof:
            raise _malformed(codec, "is truncated")
        parts.append(part)
        rest = expander.unused_data.lstrip(b"\0")  # padding
    return b"".join(parts)


def _malformed(codec: _Codec, problem: str) -> Poison:
    return Poison("malformed", f"the payload looks compressed by {codec.name} and {problem}")
