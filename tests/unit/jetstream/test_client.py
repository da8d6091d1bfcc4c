"""Requests that cannot be answered."""

import asyncio
from typing import Any

import pytest

from eventwriter.errors import Fatal
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.errors import DeniedPermission


class SilentClient(DirectClient):
    """A client whose requests are never answered."""

    async def request(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()


async def start_request(client: DirectClient) -> "asyncio.Task[Any]":
    """Return a request in progress."""
    request = asyncio.ensure_future(client.ask("$JS.API.INFO", b"", 60.0))
    await asyncio.sleep(0)
    return request


async def test_lost_connection_ends_request() -> None:
    """A request fails immediately when its connection is lost."""
    client = SilentClient()
    request = await start_request(client)

    client.fail_requests()

    with pytest.raises(ConnectionError):
        await request


async def test_denial_before_disconnect_decides_error() -> None:
    """A request that was denied before the connection was lost fails with the denial."""
    client = SilentClient()
    request = await start_request(client)

    client.deny(DeniedPermission("publish", "$js.api.info"))
    client.fail_requests()

    with pytest.raises(Fatal) as caught:
        await request
    assert "nats_permission_denied" == caught.value.code
