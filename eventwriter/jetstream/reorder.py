"""
Puts redelivered messages back into stream order.

JetStream redelivers NAKed messages before new ones, but messages that it could not deliver to a dead worker are queued
before those. The first deliveries after a worker's death are therefore collected and sorted, so that the order within
a partition is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from eventwriter import clock
from eventwriter.jetstream.ack_subject import stream_seq_of
from eventwriter.jetstream.client import Delivery

_POLL_S = 0.02
_SILENCE_S_MAX = 0.25
"""Redeliveries arrive without interruption; after a silence this long no more of them arrive."""
_WAIT_S_MAX = 5.0
"""Longest wait for redeliveries."""


class Redelivered(NamedTuple):
    """Deliveries that were NAKed: how many, and the highest stream sequence that any of them has."""

    messages: int
    last_seq: int


NOTHING_REDELIVERED = Redelivered(0, 0)


async def reorder(raw: list[Delivery], expected: Redelivered, request_more: Callable[[], Awaitable[None]]) -> None:
    """
    Wait until the expected redeliveries have arrived, and sort all deliveries by stream sequence.

    Args:
        raw: Deliveries in the order of arrival; more arrive during the wait.
        request_more: Sends further pull requests if there is room.
    """
    started_s = last_arrival_s = clock.monotonic_s()
    seen = arrived = 0
    while True:
        arrived += sum(0 < stream_seq_of(reply) <= expected.last_seq for reply, *_ in raw[seen:])
        now_s = clock.monotonic_s()
        if len(raw) > seen:
            seen, last_arrival_s = len(raw), now_s
        if arrived >= expected.messages or now_s - last_arrival_s > _SILENCE_S_MAX or now_s - started_s > _WAIT_S_MAX:
            break
        await request_more()
        await asyncio.sleep(_POLL_S)
    raw.sort(key=lambda delivery: stream_seq_of(delivery[0]))
