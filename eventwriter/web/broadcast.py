"""
What hangs out for all dashboards: the newest picture, written once a second and read by each of them.

A reader that is slow gets fewer pictures, never a queue of them.
"""

import asyncio
import json
from collections import deque
from typing import Any

from eventwriter import clock
from eventwriter.web.history import STEP_S, History, by_stream
from eventwriter.web.view import latency_counts, view

RECENT_MAX = 6  # one a second: rates and shares over five seconds, calm enough to be read
LATENCY_S = 300  # how far back the distribution of latencies looks


class Board:
    """Written by the feed's task, read by the handlers of the same loop."""

    def __init__(self) -> None:
        self.history = History()
        self.readers = 0
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT_MAX)
        self._latencies: deque[dict[str, list[int]]] = deque(maxlen=LATENCY_S // STEP_S)
        self._frame = b""
        self._turned = asyncio.Event()
        self.closed = False

    def take(self, snapshot: dict[str, Any]) -> None:
        """Hang out a new snapshot."""
        now_ns = clock.now_ns()
        self._recent.append(snapshot)
        is_point = self.history.add(now_ns / 1e9, snapshot)
        if is_point:
            streams = by_stream(snapshot["slots"])
            self._latencies.append({name: latency_counts(slots) for name, slots in streams})
        if self.readers:
            past = self.history.last() if is_point else None
            self._frame = frame("tick", {"view": self._view(now_ns), "history": past})
        self._turn()

    def hello(self, token: bool) -> bytes:
        """
        Return what a reader gets first: everything.

        Args:
            token: Whether the reader had to log in, and can log out.
        """
        current = self._view(clock.now_ns()) if self._recent else None
        return frame("hello", {"view": current, "history": self.history.all(), "token": token})

    async def next(self) -> bytes:
        """Wait for the next picture and return it; empty when the board is taken down."""
        await self._turned.wait()
        return b"" if self.closed else self._frame

    def close(self) -> None:
        """Take the board down."""
        self.closed = True
        self._turned.set()

    def _turn(self) -> None:
        """Wake who waits for the next picture; who comes later waits for another."""
        before, self._turned = self._turned, asyncio.Event()
        before.set()

    def _view(self, now_ns: int) -> dict[str, Any]:
        past = self._latencies[0] if self._latencies else {}
        return view(now_ns // 1_000_000, self._recent[-1], self._recent[0], past)


def frame(event: str, data: dict[str, Any]) -> bytes:
    """
    Return one server-sent event.

    Source: HTML Living Standard, "Server-sent events". JSON has no line breaks of its own.
    """
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
