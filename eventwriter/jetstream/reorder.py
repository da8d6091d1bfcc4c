"""
What was given back, put in the order of the stream.

JetStream delivers it before anything new, but what it could not deliver to a worker
that had died was queued before what its successor gives back. So after a death the
first deliveries are gathered and sorted: order within a partition survives it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from eventwriter import clock
from eventwriter.jetstream.ack_subject import stream_seq_of
from eventwriter.jetstream.client import Delivery

_LOOK_S = 0.02
_SILENT_S = 0.25
"""It comes in one go: after so much silence nothing more of it comes."""
_S_MAX = 5.0
"""How long it is waited for at most."""


class Redelivered(NamedTuple):
    """Deliveries that were given back: how many, none of them beyond a stream sequence."""

    messages: int
    upto_seq: int


NOTHING = Redelivered(0, 0)


async def gather(raw: list[Delivery], back: Redelivered, ask: Callable[[], Awaitable[None]]) -> None:
    """
    Have all come that was given back, and sort it.

    Args:
        raw: Deliveries as they have come; more come while this waits.
        ask: Asks for more, where there is room.
    """
    began_s = heard_s = clock.monotonic_s()
    looked = come = 0
    while True:
        come += sum(0 < stream_seq_of(reply) <= back.upto_seq for reply, *_ in raw[looked:])
        now_s = clock.monotonic_s()
        if len(raw) > looked:
            looked, heard_s = len(raw), now_s
        if come >= back.messages or now_s - heard_s > _SILENT_S or now_s - began_s > _S_MAX:
            break
        await ask()
        await asyncio.sleep(_LOOK_S)
    raw.sort(key=lambda delivery: stream_seq_of(delivery[0]))
