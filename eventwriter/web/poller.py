"""
Requests the snapshot from the supervisor once a second, for all clients of the web child.

If the supervisor does not answer, clients see how old the snapshot is; nothing else fails.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any

from eventwriter import clock
from eventwriter.control.protocol import ANSWER_BYTES_MAX, encode_request

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
"""Interval of requests; workers send heartbeats at the same rate."""
RESPONSE_S_MAX = 5.0
STALE_S = 10.0
"""Age from which a snapshot is no longer served."""


class SnapshotPoller:
    """
    Keeps the newest snapshot. Written by its own task, read by the handlers of the same event loop.

    Args:
        path: Path of the control socket.
        on_snapshot: Called with each new snapshot.
    """

    def __init__(self, path: str, on_snapshot: Callable[[dict[str, Any]], None]) -> None:
        self.path = path
        self.snapshot: dict[str, Any] | None = None
        self._on_snapshot = on_snapshot
        self._received_s: float | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._failing = False

    @property
    def age_s(self) -> float | None:
        """Age of the snapshot in seconds; None before the first one."""
        return None if self._received_s is None else clock.monotonic_s() - self._received_s

    def fresh(self) -> dict[str, Any] | None:
        """Return the snapshot, or None if there is none or it is stale."""
        age_s = self.age_s
        return self.snapshot if age_s is not None and age_s <= STALE_S else None

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            started_s = clock.monotonic_s()
            await self._poll()
            await asyncio.sleep(max(0.1, INTERVAL_S - (clock.monotonic_s() - started_s)))

    def close(self) -> None:
        """Close the connection to the supervisor."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _poll(self) -> None:
        try:
            async with asyncio.timeout(RESPONSE_S_MAX):
                snapshot = json.loads(await self._request())["result"]
        except (OSError, TimeoutError, ValueError, KeyError, TypeError, asyncio.IncompleteReadError) as error:
            self.close()
            if not self._failing:
                log.warning("no snapshot from the supervisor", extra={"path": self.path, "error": repr(error)})
            self._failing = True
            return
        self._failing = False
        self._received_s, self.snapshot = clock.monotonic_s(), snapshot
        self._on_snapshot(snapshot)

    async def _request(self) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self.path, limit=ANSWER_BYTES_MAX)
        reader, writer = self._streams
        writer.write(encode_request(1, "status", {}))
        await writer.drain()
        with contextlib.suppress(asyncio.LimitOverrunError):
            return await reader.readuntil(b"\n")
        raise ValueError(f"the response exceeds {ANSWER_BYTES_MAX} bytes")
