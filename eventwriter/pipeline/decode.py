"""
The decode stage: payloads to records.

Each message is returned with its records, with the `Poison` that makes it a dead letter, or with
None if its subject is ignored.
"""

from collections.abc import Callable

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


class DecodeStage:
    """
    Decodes lists of messages, in order and without leaving any out.

    Args:
        decode: Decoder of the kind; raises only `Poison`.
        ignore_subjects: Patterns of subjects to ignore.
        payload_bytes_max: Messages with larger payloads become dead letters without being decoded.
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
                decoded.append((message, poison))
        return decoded

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
