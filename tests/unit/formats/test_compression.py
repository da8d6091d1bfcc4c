"""Tests of compressed payloads: several parts, limits, and what is no compression."""

import gzip
import sys
import zlib
from importlib import import_module

import pytest

from eventwriter.errors import Poison
from eventwriter.formats import compression
from eventwriter.formats.compression import expand

zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

LINE = b'{"a":1}\n'


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstd.compress])
def test_parts_are_joined(compress: object) -> None:
    """Parts that follow each other, as two compressed files in one, lose nothing; zeros between them are padding."""
    part = compress(LINE)  # type: ignore[operator]

    assert LINE * 2 == expand(part + part, None, 100)
    assert LINE * 2 == expand(part + b"\0" * 8 + part + b"\0", None, 100)
    assert b"" == expand(compress(b""), None, 100)  # type: ignore[operator]


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstd.compress])
def test_limit_is_exact_over_all_parts(compress: object) -> None:
    """The limit holds for the sum of all parts: content of exactly that size is expanded, one byte more is not."""
    payload = compress(LINE) * 2  # type: ignore[operator]

    assert LINE * 2 == expand(payload, None, len(LINE) * 2)
    with pytest.raises(Poison) as raised:
        expand(payload, None, len(LINE) * 2 - 1)
    assert "too_large" == raised.value.reason


@pytest.mark.parametrize(
    ("payload", "headers", "name"),
    [
        (gzip.compress(LINE) + b"rest", None, "gzip"),
        (zstd.compress(LINE) + b"rest", None, "zstd"),
        (gzip.compress(b"") * 101, None, "gzip"),
        (b"\x0b\x01", {"Content-Encoding": "br"}, "br"),
        (b"\xff\xff\xff", {"Content-Encoding": "deflate"}, "deflate"),
    ],
    ids=["bytes after gzip", "bytes after zstd", "too many parts", "unsupported", "damaged deflate"],
)
def test_payload_that_cannot_be_expanded_wholly_is_malformed(
    payload: bytes, headers: dict[str, str] | None, name: str
) -> None:
    """Bytes that would be lost, and compression that is damaged or unknown, make a dead letter that names it."""
    with pytest.raises(Poison, match=name) as raised:
        expand(payload, headers, 1000)
    assert "malformed" == raised.value.reason


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", ""])
@pytest.mark.parametrize("payload", [b"", LINE, b" [1]"])
def test_payload_that_is_json_is_not_compressed(payload: bytes, encoding: str) -> None:
    """A header that says otherwise does not make JSON compressed."""
    assert expand(payload, {"Content-Encoding": encoding}, 1000) is None


def test_missing_package_for_zstd_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a module for zstd the reason has the command that installs it."""
    monkeypatch.setattr(compression, "_ZSTD_MODULES", ("no_such_module",))

    with pytest.raises(Poison, match="pip install"):
        expand(zstd.compress(LINE), None, 1000)
