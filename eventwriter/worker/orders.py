"""What operators may tell a running worker, other than to go: pause, log otherwise, know of others on its durable."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from eventwriter.errors import Fatal, Retryable
from eventwriter.observe import logs
from eventwriter.worker.clerk import Clerk
from eventwriter.worker.wiring import Bound, Wiring

log = logging.getLogger(__name__)


class Orders:
    """
    One worker's orders. Owned by its event loop.

    Args:
        bound: Says what the worker is bound to at the moment.
        tell: Sends a heartbeat at once.
        change: Called before the consumer is changed by us, so that nobody takes it for somebody else's doing.
    """

    def __init__(
        self,
        wiring: Wiring,
        clerk: Clerk,
        bound: Callable[[], Bound | None],
        tell: Callable[[], None],
        change: Callable[[], None],
    ) -> None:
        self._wiring, self._clerk, self._bound, self._tell, self._change = wiring, clerk, bound, tell, change
        self._widening: asyncio.Task[None] | None = None

    def hear(self, command: Mapping[str, Any]) -> None:
        """Obey; what is no order is a question."""
        match command.get("type"):
            case "log_level":
                logs.change(str(command["level"]), command.get("format"))
            case "pause":
                self._pause(paused_by(str(command["slot"]), str(command["by"]), int(command["since_ns"])))
            case "resume":
                self._pause(None)
            case "sharers":
                self._share(int(command["count"]))
            case _:
                self._clerk.hear(command)

    def attend(self) -> None:
        """Have a line that was just bound be as operators want it."""
        self._clerk.attend()
        if self._wiring.condition.paused is not None and (bound := self._bound()) is not None:
            bound.pull.pause(paused=True)

    def _pause(self, reason: str | None) -> None:
        """Pull nothing more, and settle what is open; or, without a reason, pull again."""
        log.info("worker paused" if reason else "worker resumed", extra={"reason": reason} if reason else {})
        self._wiring.condition.paused = reason
        if (bound := self._bound()) is not None:
            bound.pull.pause(paused=reason is not None)
        self._tell()

    def _share(self, workers: int) -> None:
        """Know how many workers have the durable, and have it hold enough for all of them."""
        if not self._wiring.share(workers):
            return
        log.info("workers that share the durable", extra={"workers": workers})
        self._change()
        if (bound := self._bound()) is not None:
            self._widening = asyncio.ensure_future(self._widen(bound))

    async def _widen(self, bound: Bound) -> None:
        try:
            await self._wiring.widen(bound)
        except (Retryable, Fatal) as error:
            log.warning("consumer not changed; it is set right when it is looked at next", extra={"error": str(error)})


def paused_by(slot: str, who: str, since_ns: int) -> str:
    """Say who paused a slot, since when, and what ends it."""
    since = datetime.fromtimestamp(since_ns / 1e9, UTC)
    return f"paused by {who} since {since:%Y-%m-%d %H:%M:%S} UTC; `eventwriter-ctl resume {slot}` goes on"
