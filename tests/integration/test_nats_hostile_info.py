"""A NATS server whose INFO has values of the wrong type: a reason, no traceback, and the next server is used."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventwriter.config.settings import NatsSettings
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.client import info_problem
from eventwriter.jetstream.connect import NatsLink

HOSTILE = [
    {"max_payload": "x"}, {"max_payload": -1}, {"max_payload": 1e300}, {"max_payload": None}, {"max_payload": True},
    {"connect_urls": "abc"}, {"connect_urls": [1]}, {"connect_urls": {"a": 1}}, {"version": 3}, {"client_id": "x"},
    {"nonce": 5}, {"tls_required": "no"}, {"headers": []}, {"auth_required": {}}, [], "x", 5, None, True,
]  # fmt: skip
ALSO_HOSTILE = [{"connect_urls": ["[::1", "a:b:c", ":99999999"]}, {"connect_urls": ["\x00", "//x"]}]
"""INFO of the right types whose URLs cannot be parsed."""


@asynccontextmanager
async def server(info: Any) -> AsyncIterator[str]:
    """Serve an INFO on a port; answer PING."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
            while line := await reader.readline():
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
            writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()


@pytest.mark.parametrize("info", HOSTILE, ids=json.dumps)
def test_invalid_info_is_an_error_with_a_code(info: Any) -> None:
    """Each INFO with a value of the wrong type ends the attempt with an error that says so."""

    async def attempt() -> None:
        async with server(info) as url:
            link = NatsLink(NatsSettings(servers=(url,), connect_timeout="5s"), "test")
            try:
                await link.connect()
            finally:
                await link.close()

    with pytest.raises((Fatal, Retryable)) as caught:
        asyncio.run(attempt())

    assert info_problem(info)
    assert "nats_info_invalid" == caught.value.code


@pytest.mark.parametrize("info", ALSO_HOSTILE, ids=json.dumps)
def test_invalid_urls_do_not_raise_anything_else(info: Any) -> None:
    """An INFO with URLs that cannot be parsed either connects or fails with an error of ours."""

    async def attempt() -> None:
        async with server(info) as url:
            link = NatsLink(NatsSettings(servers=(url,), connect_timeout="5s"), "test")
            try:
                with contextlib.suppress(Fatal, Retryable):
                    await link.connect()
            finally:
                await link.close()

    asyncio.run(attempt())


@pytest.mark.parametrize("info", [{}, {"max_payload": 1048576, "connect_urls": None, "version": "2.12.0"}], ids=str)
def test_usual_info_is_accepted(info: dict[str, Any]) -> None:
    """Missing fields and null are no mistake."""
    assert info_problem(info) is None


def test_real_server_is_accepted(nats_url: str) -> None:
    """The INFO of a real server is well-formed."""

    async def attempt() -> bool:
        link = NatsLink(NatsSettings(servers=(nats_url,)), "test")
        await link.connect()
        connected = link.connected
        await link.close()
        return connected

    assert asyncio.run(attempt())
