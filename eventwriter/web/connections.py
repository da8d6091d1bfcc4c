"""
How many may come in: a bounded number of connections, the one that is silent for longest making room.

A connection costs some kilobytes, and a reader that does not read some more; the
bound is what makes the sum of them one too. Connections are accepted here, one by
one, because a server of asyncio's accepts as many as come.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from eventwriter import clock

CONNECTIONS_MAX = 128
"""Dashboards, a few scrapers, and the connections that browsers keep; all together a few megabytes."""
HANDSHAKE_S_MAX = 5.0
BACKLOG = 128
NO_DESCRIPTOR_S = 0.2  # accept fails at once, again and again, while the process has no descriptor left


class Door:
    """
    Accepts connections and hands them to what talks HTTP; owned by the web child's loop.

    Args:
        server: What talks HTTP.
        tls: For HTTPS; None for plain HTTP.
    """

    def __init__(self, server: web.Server, tls: ssl.SSLContext | None) -> None:
        self._server, self._tls = server, tls
        self._active_s: dict[RequestHandler, float] = {}
        self._coming: list[asyncio.Task[None]] = []
        """Connections whose handshake is under way, oldest first."""
        self._cut: set[RequestHandler] = set()
        """Those that were let go of, until the loop has done so."""

    async def open(self, listeners: Iterable[socket.socket]) -> None:
        """Let in who comes, until cancelled; then the listeners are closed."""
        with contextlib.ExitStack() as stack:
            for listener in listeners:
                stack.enter_context(listener)
            await asyncio.gather(*(self._accept(listener) for listener in listeners))

    def saw(self, handler: object) -> None:
        """Note that a connection asked, or took bytes of an answer."""
        if isinstance(handler, RequestHandler):
            self._active_s[handler] = clock.monotonic_s()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:  # gone again, or no descriptor free
                await asyncio.sleep(NO_DESCRIPTOR_S)
                continue
            connection.setblocking(False)
            self._make_room()
            task = asyncio.ensure_future(self._let_in(connection))
            self._coming.append(task)
            task.add_done_callback(self._came)
            # Where many wait at the door accepting does not wait: here the task begins, and others have their turn.
            await asyncio.sleep(0)

    async def _let_in(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, handler = await loop.connect_accepted_socket(
                self._server, connection, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_S_MAX if self._tls else None
            )
        except (OSError, TimeoutError):  # it speaks no TLS, or nothing, or is gone
            connection.close()
        else:
            self.saw(handler)

    def _came(self, task: asyncio.Task[None]) -> None:
        if task in self._coming:
            self._coming.remove(task)

    def _make_room(self) -> None:
        """Let go of whoever is silent for longest, as long as there are too many for another one."""
        inside = set(self._server.connections)
        self._cut &= inside
        inside -= self._cut
        self._active_s = {handler: at_s for handler, at_s in self._active_s.items() if handler in inside}
        if len(inside) + len(self._coming) < CONNECTIONS_MAX:
            return
        if inside:
            silent = min(inside, key=lambda handler: self._active_s.get(handler, 0.0))
            self._cut.add(silent)
            if silent.transport is not None:
                # Not closed but cut: who does not read would keep a connection that is closed in order for ever.
                silent.transport.abort()
        else:
            task = next(iter(self._coming))
            self._coming.remove(task)
            task.cancel()


async def listen(host: str, port: int) -> list[socket.socket]:
    """
    Listen on every address that a host has.

    Raises:
        OSError: There is none, it is taken, or it may not be taken.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            listeners.append(socket.create_server(address, family=family, backlog=BACKLOG))
            listeners[-1].setblocking(False)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners
