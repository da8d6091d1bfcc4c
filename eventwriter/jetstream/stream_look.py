"""
A look at the stream beside the consumer: whether it grows, and how near its limits are to what is unread.

JetStream drops by limits whether a message was read or not, and tells nobody; a filter that
fits no subject receives nothing, and looks like peace. Both show only here.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventwriter import clock
from eventwriter.errors import Retryable
from eventwriter.jetstream.api import ApiError, JetStreamApi, instant_ns
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.limits import Backlog, pressures

LOOK_EACH = 10
"""One look in so many heartbeats: an alert on minutes needs no more, and the server is asked for little."""


@dataclass(frozen=True, slots=True)
class StreamLook:
    """What was seen."""

    first_seq: int
    last_seq: int
    retention_used: float | None
    """How much of the stream's nearest limit the oldest unread message has used up: 1 is where it is dropped. None
    without a limit."""

    def facts(self) -> dict[str, Any]:
        """Return it for the heartbeat."""
        return {
            "stream_first_seq": self.first_seq,
            "stream_last_seq": self.last_seq,
            "retention_used": None if self.retention_used is None else round(self.retention_used, 4),
        }


def read(answer: Mapping[str, Any], consumer: ConsumerState, now_ns: int) -> StreamLook:
    """
    Read STREAM.INFO's answer.

    Args:
        now_ns: The server's own time where it tells, else ours.
    """
    config, state = answer["config"], answer["state"]
    first_seq = max(consumer.ack_floor_stream_seq + 1, state["first_seq"])
    unread = consumer.pending + consumer.ack_pending > 0
    backlog = Backlog(first_seq, _age_s(state, first_seq, now_ns), 0.0, 0.0)
    used = [pressure.share for pressure in pressures(config, state, backlog)]
    return StreamLook(state["first_seq"], state["last_seq"], (used[0] if unread else 0.0) if used else None)


def _age_s(state: Mapping[str, Any], seq: int, now_ns: int) -> float:
    """Return how old a message is, as if the stream had grown evenly; looking it up would cost a request."""
    first_ns, last_ns = instant_ns(state["first_ts"]), instant_ns(state["last_ts"])
    span = state["last_seq"] - state["first_seq"]
    share = min(1.0, (seq - state["first_seq"]) / span) if span > 0 else 0.0
    return max(0.0, (now_ns - first_ns - share * (last_ns - first_ns)) / 1e9)


class StreamWatch:
    """Looks now and then; owned by the worker's event loop."""

    def __init__(self) -> None:
        self._turns = 0
        self.seen: StreamLook | None = None
        """What was last seen."""

    async def turn(self, api: JetStreamApi, stream: str, consumer: ConsumerState | None) -> None:
        """Look, if it is time; where JetStream does not answer, what was seen stays."""
        if consumer is None:
            return
        self._turns += 1
        if self._turns % LOOK_EACH != 1:
            return
        with contextlib.suppress(Retryable):
            answer = await api.request(f"STREAM.INFO.{stream}")
            if not isinstance(answer, ApiError):
                self.seen = read(answer, consumer, instant_ns(answer["ts"]) if answer.get("ts") else clock.now_ns())
