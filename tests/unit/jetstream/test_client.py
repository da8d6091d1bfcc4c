"""Requests whose answer cannot come."""

import asyncio
from typing import Any

import pytest

from eventwriter.errors import Fatal
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.errors import Denied


class Unanswered(DirectClient):
    """A client whose requests nobody answers."""

    async def request(self, *_: Any, **__: Any) -> Any:
        """Wait for ever."""
        await asyncio.Event().wait()


async def asked(client: DirectClient) -> "asyncio.Task[Any]":
    """Return a request that is under way."""
    asking = asyncio.ensure_future(client.ask("$JS.API.INFO", b"", 60.0))
    await asyncio.sleep(0)
    return asking


async def test_request_ends_with_its_connection() -> None:
    """A request whose connection is lost ends at once, as a connection's end."""
    client = Unanswered()
    asking = await asked(client)

    client.lose_answers()

    with pytest.raises(ConnectionError, match="before the answer came"):
        await asking


async def test_denied_request_is_still_denied_when_the_connection_goes() -> None:
    """A denial that came before the connection's end is what the request says."""
    client = Unanswered()
    asking = await asked(client)

    client.deny(Denied("publish", "$js.api.info"))
    client.lose_answers()

    with pytest.raises(Fatal, match="denies publishing"):
        await asking
