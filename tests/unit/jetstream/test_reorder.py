"""What was given back, put in order."""

import asyncio

from eventwriter.jetstream.ack_subject import answer_subject
from eventwriter.jetstream.client import Delivery
from eventwriter.jetstream.reorder import Redelivered, gather


def delivery(seq: int) -> Delivery:
    """Return a delivery of a stream sequence; a status message for 0."""
    return (answer_subject("s", "d", seq, seq) if seq else "", "x", b"", None)


def order(raw: list[Delivery]) -> list[int]:
    """Return the stream sequences of deliveries."""
    return [int(reply.split(".")[5]) if reply else 0 for reply, *_ in raw]


async def gathered(back: Redelivered, *arrivals: list[int]) -> list[Delivery]:
    """Gather while deliveries arrive, one list at each time that more is asked for."""
    raw, coming = [delivery(seq) for seq in arrivals[0]], iter(arrivals[1:])

    async def ask() -> None:
        raw.extend(delivery(seq) for seq in next(coming, []))

    await gather(raw, back, ask)
    return raw


async def test_all_that_was_given_back_is_waited_for_and_sorted() -> None:
    """What comes first, and what is newer, waits until everything is there; then the stream's order holds."""
    assert [3, 4, 5, 6, 7, 8] == order(await gathered(Redelivered(4, 6), [6], [5, 7], [8, 3], [4], [9]))


async def test_what_does_not_come_is_not_waited_for() -> None:
    """After a silence what is there goes on: it was answered meanwhile, or comes after `ack_wait`."""
    raw = await asyncio.wait_for(gathered(Redelivered(9, 6), [6, 0, 5]), 3)

    assert [0, 5, 6] == order(raw)
