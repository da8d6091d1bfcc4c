"""
The snapshot, asked for once a second over the control socket, and shared by all readers.

The one place that talks to the supervisor. A supervisor that does not answer costs
its readers fresh figures, which they are told, and nothing else.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any

from eventwriter import clock
from eventwriter.control.protocol import ANSWER_BYTES_MAX, question

log = logging.getLogger(__name__)

ASK_S = 1.0  # workers report once a second: there is nothing newer
ANSWER_S_MAX = 5.0
STALE_S = 10.0
"""Figures older than this are no longer given out as if they were true."""


class Feed:
    """
    The newest snapshot. Written by its own task, read by every handler of the same loop.

    Args:
        path: Of the control socket.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.snapshot: dict[str, Any] | None = None
        self.on_snapshot: Callable[[dict[str, Any]], None] = lambda _: None
        """Called with each new one."""
        self._heard_s: float | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._silent = False

    @property
    def age_s(self) -> float | None:
        """How old the snapshot is; seconds, None where there is none."""
        return None if self._heard_s is None else clock.monotonic_s() - self._heard_s

    def fresh(self) -> dict[str, Any] | None:
        """Return the snapshot, None where it is missing or stale."""
        age_s = self.age_s
        return self.snapshot if age_s is not None and age_s <= STALE_S else None

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            began_s = clock.monotonic_s()
            await self._ask_once()
            await asyncio.sleep(max(0.1, ASK_S - (clock.monotonic_s() - began_s)))

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask_once(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                answer = json.loads(await self._exchange())
            snapshot = answer["result"]
        except (OSError, TimeoutError, ValueError, KeyError, TypeError, asyncio.IncompleteReadError) as error:
            self.close()
            if not self._silent:
                log.warning("the supervisor gives no snapshot", extra={"path": self.path, "error": repr(error)})
            self._silent = True
            return
        self._silent = False
        self._heard_s, self.snapshot = clock.monotonic_s(), snapshot
        self.on_snapshot(snapshot)

    async def _exchange(self) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self.path, limit=ANSWER_BYTES_MAX)
        reader, writer = self._streams
        writer.write(question(1, "status", {}))
        await writer.drain()
        with contextlib.suppress(asyncio.LimitOverrunError):
            return await reader.readuntil(b"\n")
        raise ValueError("the answer is longer than any daemon's")
