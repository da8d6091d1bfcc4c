"""
Looking into a stream without a consumer: the next message from a sequence on that a filter wants.

Nothing is made on the server and nothing moves there. Each look is one request, so
who looks bounds how often.

Source: NATS documentation, "JetStream API Reference", STREAM.MSG.GET with `next_by_subj` (servers since 2.9).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.config.subjects import covers
from eventwriter.errors import Retryable
from eventwriter.jetstream.api import ApiError, JetStreamApi, message_of
from eventwriter.model import Message
from eventwriter.postgres.ledger.ranges import Ranges

_AT_ONCE = 16
"""Requests in flight: enough to hide a network's latency, too few to be felt by the server."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Messages found, in the order of their sequences, and whether all ranges were walked to their end."""

    messages: tuple[Message, ...]
    complete: bool


class StreamReader:
    """
    Looks into one stream for what a filter wants.

    Args:
        subjects: The filter; none wants everything.
    """

    def __init__(self, api: JetStreamApi, stream: str, subjects: Sequence[str]) -> None:
        self._api, self._stream = api, stream
        self._subjects = tuple(subjects) or (">",)

    async def next(self, seq: int) -> Message | None:
        """
        Return the first message from `seq` on that the filter wants, None where there is none.

        Raises:
            Retryable: The API does not answer.
            Fatal: We have no permission to ask.
        """
        found = [await self._next_of(seq, subject) for subject in self._subjects]
        return min((message for message in found if message), key=lambda message: message.stream_seq, default=None)

    async def walk(self, ranges: Ranges, limit: int) -> Scan:
        """
        Return what the filter wants in `ranges`, at most `limit` messages.

        Raises: as `next`.
        """
        messages: list[Message] = []
        for low, high in ranges:
            seq = low
            while seq < high:
                if len(messages) >= limit:
                    return Scan(tuple(messages), False)
                message = await self.next(seq)
                if message is None or message.stream_seq >= high:
                    break
                messages.append(message)
                seq = message.stream_seq + 1
        return Scan(tuple(messages), True)

    async def first(self, ranges: Ranges) -> Message | None:
        """
        Return the first message in `ranges` that the filter wants, None where there is none.

        Raises: as `next`.
        """
        for at in range(0, len(ranges), _AT_ONCE):
            found = await asyncio.gather(*(self._first_in(low, high) for low, high in ranges[at : at + _AT_ONCE]))
            if message := next((one for one in found if one is not None), None):
                return message
        return None

    async def _first_in(self, low: int, high: int) -> Message | None:
        if high - low > len(self._subjects):
            message = await self.next(low)
            return message if message is not None and message.stream_seq < high else None
        # Fewer sequences than subjects: each is asked for by itself. So are the holes between single messages.
        for seq in range(low, high):
            message = await self._get({"seq": max(1, seq)})
            if message is not None and any(covers(subject, message.subject) for subject in self._subjects):
                return message
        return None

    async def sample(self, seqs: Sequence[int]) -> list[Message]:
        """
        Return the next wanted message from each of `seqs` on, each message once, in order.

        Raises: as `next`.
        """
        found: dict[int, Message] = {}
        for at in range(0, len(seqs), _AT_ONCE):
            for message in await asyncio.gather(*(self.next(seq) for seq in seqs[at : at + _AT_ONCE])):
                if message is not None:
                    found[message.stream_seq] = message
        return [found[seq] for seq in sorted(found)]

    async def first_after(self, last_us: int, low: int, high: int) -> int:
        """
        Return the first sequence in [low, high) whose message is younger than `last_us`; `high` where none is.

        JetStream's timestamps ascend with the sequence, so it is found by halving.

        Args:
            last_us: Microseconds since 1970 UTC.

        Raises: as `next`.
        """
        while low < high:
            middle = (low + high) // 2
            message = await self._next_of(middle, ">")
            if message is None or message.stream_seq >= high or message.timestamp_ns // 1000 > last_us:
                high = middle
            else:
                low = message.stream_seq + 1
        return low

    async def _next_of(self, seq: int, subject: str) -> Message | None:
        return await self._get({"seq": max(1, seq), "next_by_subj": subject})

    async def _get(self, body: dict[str, Any]) -> Message | None:
        answer = await self._api.request(f"STREAM.MSG.GET.{self._stream}", body)
        if not isinstance(answer, ApiError):
            return message_of(answer["message"])
        if answer.code == 404:
            return None
        raise Retryable(f"JetStream cannot look into {self._stream!r} at {body['seq']}: {answer.description}")
