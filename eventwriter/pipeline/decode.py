"""
Decode stage: converts payloads to records, after the pull.

Each message is returned with its records, with the poison that makes it a dead letter, or with
None if it is ignored.
"""

from collections.abc import Callable

from eventwriter.errors import Poison
from eventwriter.model import Message, Record

Decoded = tuple[Message, list[Record] | Poison | None]

_CACHED_SUBJECTS_MAX = 10_000
"""Size limit of the cache of ignored subjects; subjects may carry device names, so their number is unbounded."""


def matches(pattern: str, subject: str) -> bool:
    """
    Return whether a subject matches a NATS pattern (`*` one token, `>` one or more at the end).

    Source: NATS documentation, "Subject-Based Messaging", "Wildcards".
    """
    pattern_tokens, tokens = pattern.split("."), subject.split(".")
    for index, expected in enumerate(pattern_tokens):
        if expected == ">":
            return len(tokens) > index
        if index >= len(tokens) or expected not in ("*", tokens[index]):
            return False
    return len(tokens) == len(pattern_tokens)


class Decode:
    """
    Decodes lists of messages, preserving their number and order.

    Args:
        decode: The kind's decoder; raises only `Poison`.
        ignore_subjects: Subject patterns of messages to ignore.
        payload_bytes_max: Larger payloads are poison and are not decoded.
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
        self._ignored_subjects: dict[str, bool] = {}

    def __call__(self, messages: list[Message]) -> list[Decoded]:
        """Decode a list of messages."""
        # Hot: once per message.
        decode, ignore, bytes_max = self._decode, self._ignore, self._bytes_max
        decoded: list[Decoded] = []
        for message in messages:
            if ignore and self._ignored(message.subject):
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

    def _ignored(self, subject: str) -> bool:
        ignored = self._ignored_subjects.get(subject)
        if ignored is None:
            ignored = any(matches(pattern, subject) for pattern in self._ignore)
            if len(self._ignored_subjects) < _CACHED_SUBJECTS_MAX:
                self._ignored_subjects[subject] = ignored
        return ignored
