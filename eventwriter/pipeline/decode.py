"""
The decode stage: payloads to records.

Each message is returned with its records, with the `Poison` that makes it a dead letter, or with
None if its subject is ignored.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from eventwriter.errors import Poison
from eventwriter.formats.compression import expand
from eventwriter.model import Adjustments, Message, Record, Records

log = logging.getLogger(__name__)

Decode = Callable[[Message], list[Record]]
"""Decoder of a kind; raises only `Poison`."""
Decoded = tuple[Message, list[Record] | Poison | None]

PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
"""Largest payload, unless a stream sets another limit: the largest that a NATS server can be configured to accept."""
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


def is_marker(headers: Mapping[str, str] | None) -> bool:
    """
    Return whether the headers are those of an empty message that NATS creates when messages or keys are removed.

    Source: NATS ADR-43, "JetStream Per-Message TTL", and ADR-8, "JetStream based Key-Value Stores".
    """
    return any(
        name.lower() == _MARKER_HEADER or (name.lower() == _OPERATION_HEADER and value in _EMPTY_OPERATIONS)
        for name, value in (headers or {}).items()
    )


def decode_message(
    decode: Decode, message: Message, bytes_max: int = PAYLOAD_BYTES_MAX
) -> tuple[Message, list[Record]]:
    """
    Return the message from which rows are built, and its records.

    A compressed message is returned with its expanded payload, in which secrets can be found.

    Raises:
        Poison: The message is not a payload of the kind, compressed or not.
    """
    try:
        return message, decode(message)
    except Poison:
        expanded = expand(message.payload, message.headers, bytes_max)
        if expanded is None:
            raise
    message = message._replace(payload=expanded)
    return message, decode(message)


def of_record(poison: Poison, index: int, records: Sequence[Record]) -> Poison:
    """Return an error that names the record, unless there is only one."""
    return poison if len(records) == 1 else Poison(poison.reason, f"record {index}: {poison.detail}")


def defect(reason: str, source: str, error: Exception) -> Poison:
    """
    Return the poison of a message for which code of eventwriter raised an unexpected exception, and log the traceback.

    The dead letter keeps the payload, so the message can be replayed with a corrected version; without it, one such
    message would end worker after worker.
    """
    log.error("a defect of eventwriter makes a message a dead letter", exc_info=error)
    return Poison(reason, f"the {source} raised {type(error).__name__}: {error}; this is a defect of eventwriter")


class DecodeStage:
    """
    Decodes lists of messages, in order and without leaving any out.

    Args:
        decode: Decoder of the kind; raises only `Poison`.
        ignore_subjects: Patterns of subjects to ignore.
        payload_bytes_max: Messages with larger payloads become dead letters without being decoded, also if
            a payload becomes larger when it is decompressed.
        adjustments: Counts the fields that the decoder does not store.
    """

    def __init__(
        self,
        decode: Decode,
        ignore_subjects: tuple[str, ...],
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        adjustments: Adjustments | None = None,
    ) -> None:
        self._adjustments = adjustments or Adjustments()
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
                records = decode(message)
                if records.__class__ is not list:
                    self._count(records)
                decoded.append((message, records))
            except Poison as poison:
                decoded.append(self._not_decoded(message, poison.without_origin()))
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  # a defect, which is logged
                decoded.append((message, defect("malformed", "decoder", error)))
        return decoded

    def _not_decoded(self, message: Message, poison: Poison) -> Decoded:
        """Return a message that is not a payload of the kind: one of NATS itself, a compressed one, or poison."""
        if not message.payload and is_marker(message.headers):
            return message, None
        try:
            expanded = expand(message.payload, message.headers, self._bytes_max)
        except Poison as not_expanded:
            return message, not_expanded.without_origin()
        if expanded is None:
            return message, poison
        # Rows and dead letters are built from the expanded payload, in which secrets can be found.
        message = message._replace(payload=expanded)
        try:
            records = self._decode(message)
        except Poison as of_expanded:
            return message, of_expanded.without_origin()
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # a defect, which is logged
            return message, defect("malformed", "decoder", error)
        self._count(records)
        return message, records

    def _count(self, records: list[Record]) -> None:
        """Count what the decoder did not store, if it reports that."""
        if isinstance(records, Records):
            self._adjustments.fields_ignored += records.fields_ignored

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
