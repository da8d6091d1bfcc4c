"""The pull loop, against a client that is a script."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.credit import PullLimits
from eventwriter.jetstream.pull import ConsumerLost, Pull
from eventwriter.jetstream.reorder import NOTHING, Redelivered

FULL = {"Status": "409", "Description": "Message Size Exceeds MaxBytes", "Nats-Pending-Messages": "10"}
MIB = 2**20


class Script:
    """A client that notes what is published, and is connected as long as the test says so."""

    is_closed = False
    max_payload = MIB

    def __init__(self, is_connected: bool = True) -> None:
        self.is_connected = is_connected
        self.subjects: set[str] = set()
        self.denied: str | None = None
        self.requests: list[dict[str, Any]] = []

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def subscribe(self, subject: str, **_: Any) -> Any:
        async def unsubscribe() -> None:
            pass

        return SimpleNamespace(subject=subject, unsubscribe=unsubscribe)

    def shorten(self, *_: Any) -> None:
        pass

    async def publish(self, _subject: str, body: bytes, reply: str) -> None:
        self.requests.append(json.loads(body))


def pulling(client: Any) -> Pull:
    async def nothing() -> Redelivered:
        return NOTHING

    limits = PullLimits(10, 10, MIB)
    return Pull(client, "$JS.API.CONSUMER.MSG.NEXT.s.d", limits, lambda: 10, lambda: 0.001, nothing)


async def test_without_a_connection_the_loop_waits() -> None:
    """A pull that is to begin again without a connection lets the event loop turn between its ticks."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.ensure_future(count())
    lists = pulling(Script(is_connected=False)).lists()
    for _ in range(3):
        assert [] == await anext(lists)
    counting.cancel()

    assert turns >= 3


async def test_lost_consumer_ends_the_iteration() -> None:
    """What somebody else found out about the consumer is raised where its deliveries are awaited."""
    pull = pulling(Script())
    lists = pull.lists()
    assert [] == await anext(lists)

    pull.lose("consumer d was changed by somebody: ack_wait")

    with pytest.raises(ConsumerLost, match="ack_wait"):
        await anext(lists)


@pytest.mark.parametrize(
    ("left_bytes", "factor"),
    [
        pytest.param(MIB + 64 * 1024, 2, id="not one message fitted"),
        pytest.param(MIB, 1, id="some messages did"),
        pytest.param(None, 1, id="the server does not say"),
    ],
)
async def test_request_too_small_for_a_message_grows(left_bytes: int | None, factor: int) -> None:
    """A request into which not one message fitted is followed by one of twice its bytes; any other by the same."""
    client = Script()
    pull = pulling(client)
    lists = pull.lists()
    await anext(lists)
    headers = FULL | ({} if left_bytes is None else {"Nats-Pending-Bytes": str(left_bytes)})

    pull._receive(("", "_INBOX.x", b"", headers))
    await anext(lists)
    await anext(lists)

    first, second = client.requests[0]["max_bytes"], client.requests[1]["max_bytes"]
    assert (MIB + 64 * 1024, factor) == (first, second / first)


def test_script_is_what_a_client_is() -> None:
    """The script has nothing that the real client has not."""
    names = {name for name in vars(Script) if not name.startswith("_")}

    assert set() == {name for name in names if not hasattr(DirectClient, name)}
