"""Tests of the decode stage: messages of NATS itself and compressed payloads."""

import gzip
import zlib

import pytest

from eventwriter.errors import Poison
from eventwriter.formats import json
from eventwriter.model import Message, Record
from eventwriter.pipeline.decode import Decoded, DecodeStage

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
        (zlib.compress(PLAIN), None),
        (raw_deflate(PLAIN), {"content-encoding": "deflate"}), (PLAIN, {"Content-Encoding": "gzip"}),
    ],
    ids=["gzip", "gzip with header", "zlib", "raw deflate", "already expanded"],
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
        (b"\x1f\x8b garbage", "malformed"), (gzip.compress(b"text"), "malformed"), (b"\x28\xb5\x2f\xfd", "malformed"),
    ],
    ids=["bomb", "truncated", "damaged", "not JSON", "zstd"],
)  # fmt: skip
def test_unusable_compressed_payload_is_poison(payload: bytes, reason: str) -> None:
    """A payload that expands beyond the limit or cannot be expanded is poison; its message is as received."""
    message, poison = decoded(payload)

    assert isinstance(poison, Poison)
    assert reason == poison.reason
    assert payload == message.payload
