"""
Broadcast of the view to all dashboards: computed once per snapshot and sent to each client.

A slow client skips views; nothing is queued for it.
"""

import asyncio
import json
from collections import deque
from typing import Any

from eventwriter import clock
from eventwriter.web.history import STEP_S, History, by_stream
from eventwriter.web.view import latency_counts, view

RECENT_MAX = 6
"""Snapshots kept, one per second: rates and shares are computed over five seconds, steady enough to read."""
LATENCY_S = 300
"""Time span of the latency histogram."""


class Broadcast:
    """The newest event for all dashboards. Written by the poller's task, read by the handlers of the same loop."""

    def __init__(self) -> None:
        self.history = History()
        self.clients = 0
        self.closed = False
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT_MAX)
        self._latencies: deque[dict[str, list[int]]] = deque(maxlen=LATENCY_S // STEP_S)
        self._event = b""
        self._updated = asyncio.Event()

    def publish(self, snapshot: dict[str, Any]) -> None:
        """Add a snapshot and wake all clients with the event made from it."""
        now_ns = clock.now_ns()
        self._recent.append(snapshot)
        is_point = self.history.add(now_ns / 1e9, snapshot)
        if is_point:
            streams = by_stream(snapshot["slots"])
            self._latencies.append({name: latency_counts(slots) for name, slots in streams})
        if self.clients:
            newest = self.history.to_dict(points=1) if is_point else None
            self._event = server_sent_event("tick", {"view": self._view(now_ns), "history": newest})
        # Clients that wait from now on wait for the next snapshot.
        updated, self._updated = self._updated, asyncio.Event()
        updated.set()

    def first_event(self, token: bool) -> bytes:
        """
        Return the first event for a client, which has the whole history.

        Args:
            token: Whether access needs a token, so that the page offers to log out.
        """
        current = self._view(clock.now_ns()) if self._recent else None
        return server_sent_event("hello", {"view": current, "history": self.history.to_dict(), "token": token})

    async def next_event(self) -> bytes:
        """Wait for the next event and return it; empty when the broadcast is closed."""
        await self._updated.wait()
        return b"" if self.closed else self._event

    def close(self) -> None:
        """End the broadcast for all clients."""
        self.closed = True
        self._updated.set()

    def _view(self, now_ns: int) -> dict[str, Any]:
        past = self._latencies[0] if self._latencies else {}
        return view(now_ns // 1_000_000, self._recent[-1], self._recent[0], past)


def server_sent_event(name: str, data: dict[str, Any]) -> bytes:
    """
    Encode one server-sent event.

    Source: HTML Living Standard, "Server-sent events". `json.dumps` writes no line breaks.
    """
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
