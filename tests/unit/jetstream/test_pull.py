"""The pull loop, with a scripted client."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from eventwriter.errors import Fatal
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.credit import PullLimits
from eventwriter.jetstream.pull import ConsumerLost, Pull
from eventwriter.jetstream.reorder import NOTHING_REDELIVERED, Redelivered

FULL = {"Status": "409", "Description": "Message Size Exceeds MaxBytes", "Nats-Pending-Messages": "10"}
MIB = 2**20


class ScriptedClient:
    """A client that records pull requests."""

    is_closed = False
    max_payload = MIB

    def __init__(self, is_connected: bool = True) -> None:
        self.is_connected = is_connected
        self.subjects: set[str] = set()
        self.denied: Fatal | None = None
        self.requests: list[dict[str, Any]] = []

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def subscribe(self, subject: str, **_: Any) -> Any:
        async def unsubscribe() -> None:
            pass

        return SimpleNamespace(subject=subject, unsubscribe=unsubscribe)

    def attach(self, *_: Any) -> None:
        pass

    async def publish(self, _subject: str, body: bytes, reply: str) -> None:
        self.requests.append(json.loads(body))


def make_pull(client: Any) -> Pull:
    async def on_renew() -> Redelivered:
        return NOTHING_REDELIVERED

    limits = PullLimits(10, 10, MIB)
    return Pull(client, "$JS.API.CONSUMER.MSG.NEXT.s.d", limits, lambda: 10, lambda: 0.001, on_renew)


async def test_pull_without_connection_does_not_block_event_loop() -> None:
    """A pull that waits for a connection lets the event loop run between its ticks."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.ensure_future(count())
    lists = make_pull(ScriptedClient(is_connected=False)).lists()
    for _ in range(3):
        assert [] == await anext(lists)
    counting.cancel()

    assert turns >= 3


async def test_invalidated_pull_raises_consumer_lost() -> None:
    """A change of the consumer that another task detected ends the iteration."""
    pull = make_pull(ScriptedClient())
    lists = pull.lists()
    assert [] == await anext(lists)

    pull.invalidate("consumer d was changed")

    with pytest.raises(ConsumerLost) as caught:
        await anext(lists)
    assert "consumer_changed" == caught.value.code


@pytest.mark.parametrize(
    ("left_bytes", "factor"),
    [
        pytest.param(MIB + 64 * 1024, 2, id="no message fitted"),
        pytest.param(MIB, 1, id="some messages fitted"),
        pytest.param(None, 1, id="the server reports no bytes"),
    ],
)
async def test_request_too_small_for_one_message_is_doubled(left_bytes: int | None, factor: int) -> None:
    """Only a request into which no message fitted is followed by one with twice its bytes."""
    client = ScriptedClient()
    pull = make_pull(client)
    lists = pull.lists()
    await anext(lists)
    headers = FULL | ({} if left_bytes is None else {"Nats-Pending-Bytes": str(left_bytes)})

    pull._receive(("", "_INBOX.x", b"", headers))
    await anext(lists)
    await anext(lists)

    first, second = client.requests[0]["max_bytes"], client.requests[1]["max_bytes"]
    assert (MIB + 64 * 1024, factor) == (first, second / first)


def test_scripted_client_has_no_other_attributes_than_the_real_one() -> None:
    """Every attribute of the scripted client exists in the real one."""
    names = {name for name in vars(ScriptedClient) if not name.startswith("_")}

    assert set() == {name for name in names if not hasattr(DirectClient, name)}
