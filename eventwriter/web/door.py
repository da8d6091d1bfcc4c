"""
How many may come in: a bounded number of connections, the one that is silent for longest making room.

A connection costs some kilobytes, and a reader that does not read some more; the
bound is what makes the sum of them one too.
"""

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from eventwriter import clock

CONNECTIONS_MAX = 128
"""Dashboards, a few scrapers, and the connections that browsers keep; all together a few megabytes."""

Handler = RequestHandler


class Door:
    """
    Makes the protocol of each new connection; owned by the web child's loop.

    Args:
        server: What talks HTTP.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._active_s: dict[Handler, float] = {}

    def __call__(self) -> Handler:
        """Let one in; called by the loop for each connection that it accepts."""
        inside = set(self._server.connections)
        self._active_s = {handler: at_s for handler, at_s in self._active_s.items() if handler in inside}
        if len(inside) >= CONNECTIONS_MAX:
            silent = min(inside, key=lambda handler: self._active_s.get(handler, 0.0))
            silent.force_close()
        handler = self._server()
        self._active_s[handler] = clock.monotonic_s()
        return handler

    def saw(self, handler: object) -> None:
        """Note that a connection asked, or took bytes of an answer."""
        if isinstance(handler, RequestHandler):
            self._active_s[handler] = clock.monotonic_s()
