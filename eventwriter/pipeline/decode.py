"""
The decode stage: payloads to records.

Each message is returned with its records, with the `Poison` that makes it a dead letter, or with
None if its subject is ignored.
"""

import zlib
from collections.abc import Callable, Mapping

from eventwriter.errors import Poison
from eventwriter.model import Message, Record

Decoded = tuple[Message, list[Record] | Poison | None]

_SUBJECTS_CACHED_MAX = 10_000
"""Subjects whose match is cached; subjects may contain device names, so their number is unbounded."""


def subject_matches(pattern: str, subject: str) -> bool:
    """
    Return whether a subject matches a NATS pattern (`*` for one token, a final `>` for one or more).

    Source: NATS documentation, "Subject-Based Messaging", "Wildcards".
    """
    pattern_tokens, tokens = pattern.split("."), subject.split(".")
    for at, token in enumerate(pattern_tokens):
        if token == ">":
            return len(tokens) > at
        if at >= len(tokens) or token not in ("*", tokens[at]):
            return False
    return len(tokens) == len(pattern_tokens)


_MARKER_HEADER, _OPERATION_HEADER, _EMPTY_OPERATIONS = "nats-marker-reason", "kv-operation", ("DEL", "PURGE")
_ENCODING_HEADER = "content-encoding"
_GZIP, _ZSTD, _ZLIB = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_AUTO_WBITS, _RAW_WBITS = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS


def is_marker(headers: Mapping[str, str] | None) -> bool:
    """
    Return whether the headers are those of an empty message that NATS creates when messages or keys are removed.

    Source: NATS ADR-43, "JetStream Per-Message TTL", and ADR-8, "JetStream based Key-Value Stores".
    """
    return any(
        name.lower() == _MARKER_HEADER or (name.lower() == _OPERATION_HEADER and value in _EMPTY_OPERATIONS)
        for name, value in (headers or {}).items()
    )


def expand(payload: bytes, headers: Mapping[str, str] | None, bytes_max: int) -> bytes | None:
    """
    Return a compressed payload expanded, or None if it is not compressed.

    The compression is recognized by the first bytes; deflate without a zlib header by `Content-Encoding`.

    Raises:
        Poison: `too_large` if it expands to more than `bytes_max`; `malformed` if it is damaged, or compressed by zstd.
    """
    encoding = next((v.lower() for k, v in (headers or {}).items() if k.lower() == _ENCODING_HEADER), "")
    if payload[:4] == _ZSTD:
        raise Poison("malformed", "the payload is compressed by zstd, which is not supported; use gzip")
    if payload[:2] == _GZIP or payload[:2] in _ZLIB:
        wbits, name = _AUTO_WBITS, "gzip" if payload[:2] == _GZIP else "zlib"
    elif encoding == "deflate":
        wbits, name = _RAW_WBITS, "deflate"
    else:
        return None
    expander = zlib.decompressobj(wbits)
    try:
        expanded = expander.decompress(payload, bytes_max + 1)
    except zlib.error as error:
        raise Poison("malformed", f"the payload looks compressed by {name} and cannot be expanded: {error}") from None
    if len(expanded) > bytes_max:
        raise Poison(
            "too_large", f"the payload expands to more than {bytes_max:,} bytes, max_payload_bytes of the stream"
        )
    if not expander.eof:
        raise Poison("malformed", f"the payload is compressed by {name} and truncated")
    return expanded


class DecodeStage:
    """
    Decodes lists of messages, in order and without leaving any out.

    Args:
        decode: Decoder of the kind; raises only `Poison`.
        ignore_subjects: Patterns of subjects to ignore.
        payload_bytes_max: Messages with larger payloads become dead letters without being decoded, also if
            a payload becomes larger when it is decompressed.
    """

    def __init__(
        self,
        decode: Callable[[Message], list[Record]],
        ignore_subjects: tuple[str, ...],
        payload_bytes_max: int = 64 * 1024 * 1024,
    ) -> None:
        self._decode = decode
        self._bytes_max = payload_bytes_max
        self._ignore = ignore_subjects
        self._ignored_cache: dict[str, bool] = {}

    def __call__(self, messages: list[Message]) -> list[Decoded]:
        """Decode a list of messages."""
        # Hot: once per message.
        decode, ignore, bytes_max = self._decode, self._ignore, self._bytes_max
        decoded: list[Decoded] = []
        for message in messages:
            if ignore and self._is_ignored(message.subject):
                decoded.append((message, None))
                continue
            if len(message.payload) > bytes_max:
                decoded.append((message, self._too_large(message)))
                continue
            try:
                decoded.append((message, decode(message)))
            except Poison as poison:
                decoded.append(self._not_decoded(message, poison))
        return decoded

    def _not_decoded(self, message: Message, poison: Poison) -> Decoded:
        """Return a message that is not a payload of the kind: one of NATS itself, a compressed one, or poison."""
        if not message.payload and is_marker(message.headers):
            return message, None
        try:
            expanded = expand(message.payload, message.headers, self._bytes_max)
            if expanded is None:
                return message, poison
            # Rows are built from the expanded payload, in which secrets can be found.
            message_expanded = message._replace(payload=expanded)
            return message_expanded, self._decode(message_expanded)
        except Poison as of_expanded:
            return message, of_expanded

    def _too_large(self, message: Message) -> Poison:
        size = len(message.payload)
        return Poison(
            "too_large",
            f"the payload has {size:,} bytes, more than max_payload_bytes {self._bytes_max:,} of the stream",
        )

    def _is_ignored(self, subject: str) -> bool:
        ignored = self._ignored_cache.get(subject)
        if ignored is None:
            ignored = any(subject_matches(pattern, subject) for pattern in self._ignore)
            if len(self._ignored_cache) < _SUBJECTS_CACHED_MAX:
                self._ignored_cache[subject] = ignored
        return ignored
