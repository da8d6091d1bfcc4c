"""
Payloads to records; the first stage after the pull.

Each message comes out with its records, or with the poison that makes it a dead
letter, or with None where the configuration says to ignore its subject.
"""

from collections.abc import Callable

from eventwriter.errors import Poison
from eventwriter.model import Message, Record

Decoded = tuple[Message, list[Record] | Poison | None]

_SUBJECTS_REMEMBERED_MAX = 10_000
"""Verdicts on subjects kept; subjects may carry device names, so their number is not bounded by us."""


def matches(pattern: str, subject: str) -> bool:
    """
    Say whether a subject matches a NATS pattern (`*` one token, `>` one or more at the end).

    Source: NATS documentation, "Subject-Based Messaging", "Wildcards".
    """
    wanted, tokens = pattern.split("."), subject.split(".")
    for at, want in enumerate(wanted):
        if want == ">":
            return len(tokens) > at
        if at >= len(tokens) or want not in ("*", tokens[at]):
            return False
    return len(tokens) == len(wanted)


class Decode:
    """
    The stage: messages in, decoded messages out, in order, none left out.

    Args:
        decode: The kind's decoder; raises only `Poison`.
        ignore_subjects: Patterns of subjects to drop, counted.
        payload_bytes_max: A larger payload is not decoded, it is poison.
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
        self._verdicts: dict[str, bool] = {}

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
        known = self._verdicts.get(subject)
        if known is None:
            known = any(matches(pattern, subject) for pattern in self._ignore)
            if len(self._verdicts) < _SUBJECTS_REMEMBERED_MAX:
                self._verdicts[subject] = known
        return known
