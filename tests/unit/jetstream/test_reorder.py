"""Redelivered messages in stream order."""

import asyncio

from eventwriter.jetstream.ack_subject import ack_subject
from eventwriter.jetstream.client import Delivery
from eventwriter.jetstream.reorder import Redelivered, reorder


def delivery(seq: int) -> Delivery:
    """Return a delivery of a stream sequence; 0 gives a status message."""
    return (ack_subject("s", "d", seq, seq) if seq else "", "x", b"", None)


def seqs(raw: list[Delivery]) -> list[int]:
    """Return the stream sequences of deliveries."""
    return [int(reply.split(".")[5]) if reply else 0 for reply, *_ in raw]


async def reordered(expected: Redelivered, *arrivals: list[int]) -> list[int]:
    """Reorder deliveries that arrive in portions, one portion for each request."""
    raw, portions = [delivery(seq) for seq in arrivals[0]], iter(arrivals[1:])

    async def request_more() -> None:
        raw.extend(delivery(seq) for seq in next(portions, []))

    await reorder(raw, expected, request_more)
    return seqs(raw)


async def test_redeliveries_are_awaited_and_sorted() -> None:
    """All deliveries wait until the expected redeliveries have arrived, and are then in stream order."""
    assert [3, 4, 5, 6, 7, 8] == await reordered(Redelivered(4, 6), [6], [5, 7], [8, 3], [4], [9])


async def test_silence_ends_wait_for_redeliveries() -> None:
    """Redeliveries that do not arrive, because they were acknowledged meanwhile, delay the others only briefly."""
    assert [0, 5, 6] == await asyncio.wait_for(reordered(Redelivered(9, 6), [6, 0, 5]), 10)
