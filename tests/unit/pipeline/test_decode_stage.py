"""Tests of the decode stage: messages of NATS itself and compressed payloads."""

import gzip
import sys
import zlib
from importlib import import_module

import pytest

from eventwriter.errors import Poison
from eventwriter.formats import json
from eventwriter.model import Adjustments, Message, Record, Records
from eventwriter.pipeline.decode import Decoded, DecodeStage, decode_message

zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

PLAIN = b'{"a":"' + b"x" * 500 + b'"}'


def decoded(payload: bytes, headers: dict[str, str] | None = None, bytes_max: int = 1024) -> Decoded:
    def decode(message: Message) -> list[Record]:
        return json.decode(message.payload)

    (result,) = DecodeStage(decode, (), bytes_max)([Message("r", "s", payload, headers, 1, 1, 1, 1)])
    return result


def raw_deflate(payload: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(payload) + compressor.flush()


@pytest.mark.parametrize(
    "headers",
    [{"Nats-Marker-Reason": "MaxAge"}, {"KV-Operation": "DEL"}, {"kv-operation": "PURGE"}],
    ids=["marker", "delete", "purge"],
)
def test_empty_message_of_nats_is_ignored(headers: dict[str, str]) -> None:
    """An empty message that NATS creates is ignored; one with a payload is decoded."""
    assert decoded(b"", headers)[1] is None
    assert [{"a": 1}] == decoded(b'{"a":1}', headers)[1]


@pytest.mark.parametrize("headers", [None, {}, {"KV-Operation": "PUT"}, {"Nats-Msg-Id": "7"}])
def test_other_empty_message_is_malformed(headers: dict[str, str] | None) -> None:
    """An empty message of a publisher is a dead letter."""
    poison = decoded(b"", headers)[1]

    assert isinstance(poison, Poison)
    assert "malformed" == poison.reason


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (gzip.compress(PLAIN), None), (gzip.compress(PLAIN), {"Content-Encoding": "gzip"}),
        (zlib.compress(PLAIN), None), (zstd.compress(PLAIN), None),
        (zstd.compress(PLAIN), {"Content-Encoding": "zstd"}),
        (raw_deflate(PLAIN), {"content-encoding": "deflate"}), (PLAIN, {"Content-Encoding": "gzip"}),
    ],
    ids=["gzip", "gzip with header", "zlib", "zstd", "zstd with header", "raw deflate", "already expanded"],
)  # fmt: skip
def test_compressed_payload_is_expanded(payload: bytes, headers: dict[str, str] | None) -> None:
    """A compressed payload has the records of the plain one, and its message the plain payload."""
    message, records = decoded(payload, headers)

    assert json.decode(PLAIN) == records
    assert PLAIN == message.payload


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (gzip.compress(b" " * 2000), "too_large"), (gzip.compress(PLAIN)[:-9], "malformed"),
        (b"\x1f\x8b garbage", "malformed"), (b"\x28\xb5\x2f\xfd garbage", "malformed"),
        (zstd.compress(b" " * 2000), "too_large"), (zstd.compress(PLAIN)[:-2], "malformed"),
    ],
    ids=["gzip bomb", "gzip truncated", "gzip damaged", "zstd damaged", "zstd bomb", "zstd truncated"],
)  # fmt: skip
def test_unusable_compressed_payload_is_poison(payload: bytes, reason: str) -> None:
    """A payload that expands beyond the limit or cannot be expanded is poison; its message is as received."""
    message, poison = decoded(payload)

    assert isinstance(poison, Poison)
    assert reason == poison.reason
    assert payload == message.payload


def test_malformed_content_is_kept_expanded() -> None:
    """The message of a dead letter whose content is no payload of the kind has the content, without compression."""
    message, poison = decoded(gzip.compress(b"text"))

    assert isinstance(poison, Poison)
    assert ("malformed", b"text") == (poison.reason, message.payload)


@pytest.mark.parametrize("payload", [PLAIN, gzip.compress(PLAIN)], ids=["plain", "gzip"])
def test_fields_that_the_decoder_ignores_are_counted(payload: bytes) -> None:
    """The fields that a decoder reports as not stored are added to the counters of the worker."""

    def decode(message: Message) -> list[Record]:
        records = Records(json.decode(message.payload))
        records.fields_ignored = 3
        return records

    adjustments = Adjustments()
    DecodeStage(decode, (), adjustments=adjustments)([Message("r", "s", payload, None, n, n, 1, 1) for n in (1, 2)])

    assert 6 == adjustments.fields_ignored


def test_message_is_decoded_as_the_stage_does() -> None:
    """Tools outside of the pipeline expand a compressed message too, and have the message to build rows from."""
    compressed = Message("r", "s", zstd.compress(PLAIN), None, 1, 1, 1, 1)

    message, records = decode_message(lambda message: json.decode(message.payload), compressed)

    assert (PLAIN, json.decode(PLAIN)) == (message.payload, records)
