"""
Limit on open connections: a new connection evicts the longest idle one.

aiohttp has no such limit. Measured with its own site and a limit of 1,024 descriptors: 1,100
silent connections from one client made every endpoint unreachable for 20 s, until the
keep-alive timeout closed them. The limit also bounds the memory of the web child.
"""

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from eventwriter import clock

CONNECTIONS_MAX = 128
"""Enough for 64 dashboards, a few scrapers and the idle connections of browsers; a few megabytes in total."""


class ConnectionLimit:
    """
    Protocol factory for the listening socket that evicts idle connections. Owned by the web child's event loop.

    Connections in a TLS handshake do not count; the handshake has a time limit of its own.

    Args:
        server: Creates the HTTP protocols.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._active_s: dict[RequestHandler, float] = {}
        self._evicted: set[RequestHandler] = set()
        """Connections that were aborted and that the event loop has not removed yet."""

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection, after making room for it."""
        self._make_room()
        handler = self._server()
        self.mark_active(handler)
        return handler

    def mark_active(self, handler: object) -> None:
        """Record that a connection sent a request or received a part of a response."""
        if isinstance(handler, RequestHandler):
            self._active_s[handler] = clock.monotonic_s()

    def _make_room(self) -> None:
        connected = set(self._server.connections)
        self._evicted &= connected
        self._active_s = {handler: at_s for handler, at_s in self._active_s.items() if handler in connected}
        remaining = sorted(connected - self._evicted, key=lambda handler: self._active_s.get(handler, 0.0))
        for handler in remaining[: len(remaining) - CONNECTIONS_MAX + 1]:
            self._evicted.add(handler)
            if handler.transport is not None:
                # A client that does not read would keep a connection open that is closed normally.
                handler.transport.abort()
