"""
Reads messages from a stream without a consumer: the next message from a sequence on that matches a filter.

It creates nothing on the server and moves no position. Each message costs one request, so the caller limits how many
are read.

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

_REQUESTS_IN_FLIGHT_MAX = 16
"""Concurrent requests: enough to hide a network's latency, too few to load the server."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Messages in the order of their sequences, and whether all ranges were read to their end."""

    messages: tuple[Message, ...]
    complete: bool


class StreamReader:
    """
    Reads the messages of one stream that match a filter.

    Args:
        subjects: Subjects of the filter; if empty, every message matches.
    """

    def __init__(self, api: JetStreamApi, stream: str, subjects: Sequence[str]) -> None:
        self._api, self._stream = api, stream
        self._subjects = tuple(subjects) or (">",)

    async def next(self, seq: int) -> Message | None:
        """
        Return the first matching message from `seq` on, or None.

        Raises:
            Retryable: The API does not answer.
            Fatal: The NATS user has no permission for the request.
        """
        candidates = [await self._next_of(seq, subject) for subject in self._subjects]
        return min((message for message in candidates if message), key=lambda message: message.stream_seq, default=None)

    async def scan(self, ranges: Ranges, limit: int) -> Scan:
        """
        Return the matching messages in `ranges`, at most `limit` of them.

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
        Return the first matching message in `ranges`, or None.

        Raises: as `next`.
        """
        for at in range(0, len(ranges), _REQUESTS_IN_FLIGHT_MAX):
            portion = ranges[at : at + _REQUESTS_IN_FLIGHT_MAX]
            candidates = await asyncio.gather(*(self._first_in(low, high) for low, high in portion))
            if message := next((candidate for candidate in candidates if candidate is not None), None):
                return message
        return None

    async def _first_in(self, low: int, high: int) -> Message | None:
        if high - low > len(self._subjects):
            message = await self.next(low)
            return message if message is not None and message.stream_seq < high else None
        # A range with fewer sequences than subjects, such as a hole between two messages: fetch each sequence.
        for seq in range(low, high):
            message = await self._get({"seq": max(1, seq)})
            if message is not None and any(covers(subject, message.subject) for subject in self._subjects):
                return message
        return None

    async def sample(self, seqs: Sequence[int]) -> list[Message]:
        """
        Return the next matching message from each of `seqs` on, each message once, in order.

        Raises: as `next`.
        """
        messages: dict[int, Message] = {}
        for at in range(0, len(seqs), _REQUESTS_IN_FLIGHT_MAX):
            portion = seqs[at : at + _REQUESTS_IN_FLIGHT_MAX]
            for message in await asyncio.gather(*(self.next(seq) for seq in portion)):
                if message is not None:
                    messages[message.stream_seq] = message
        return [messages[seq] for seq in sorted(messages)]

    async def first_after(self, last_us: int, low: int, high: int) -> int:
        """
        Return the first sequence in [low, high) whose message was stored after `last_us`, or `high`.

        JetStream's timestamps ascend with the sequence, so this is a binary search.

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
        raise Retryable(
            f"JetStream cannot read stream {self._stream!r} at sequence {body['seq']}: {answer.description}",
            code="jetstream_unavailable",
        )
