"""
A stream's limits against what is unread: how close the first unread message is to being dropped; pure.

JetStream drops by limits whether a message was read or not, and tells nobody.

Source: NATS documentation, "Streams": max_age, max_bytes, max_msgs, max_msgs_per_subject, discard policy.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventwriter import clock
from eventwriter.errors import Retryable
from eventwriter.jetstream.api import ApiError, JetStreamApi, instant_ns
from eventwriter.jetstream.consumer import ConsumerState

LOOK_EACH = 10
"""One look in so many heartbeats: an alert on minutes needs no more, and the server is asked for little."""


@dataclass(frozen=True, slots=True)
class StreamStats:
    """What was seen."""

    first_seq: int
    last_seq: int
    retention_used: float | None
    """How much of the stream's nearest limit the oldest unread message has used up: 1 is where it is dropped. None
    without a limit."""


def read(answer: Mapping[str, Any], consumer: ConsumerState, now_ns: int) -> StreamStats:
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
    return StreamStats(state["first_seq"], state["last_seq"], (used[0] if unread else 0.0) if used else None)


def _age_s(state: Mapping[str, Any], seq: int, now_ns: int) -> float:
    """Return how old a message is, as if the stream had grown evenly; looking it up would cost a request."""
    first_ns, last_ns = instant_ns(state["first_ts"]), instant_ns(state["last_ts"])
    span = state["last_seq"] - state["first_seq"]
    share = min(1.0, (seq - state["first_seq"]) / span) if span > 0 else 0.0
    return max(0.0, (now_ns - first_ns - share * (last_ns - first_ns)) / 1e9)


class StreamMonitor:
    """Looks now and then; owned by the worker's event loop."""

    def __init__(self) -> None:
        self._turns = 0
        self.seen: StreamStats | None = None
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


WARN_SHARE, FAIL_SHARE = 0.5, 0.9
"""Of a limit that unread messages have used up."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """
    What is unread.

    Attributes:
        first_seq: Of the oldest unread message.
        age_s: How long it has been stored; seconds.
        messages_per_s, bytes_per_s: At which the stream grows.
    """

    first_seq: int
    age_s: float
    messages_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """How much of one limit the backlog has used up, and how long the rest lasts; seconds, inf for ever."""

    limit: str
    share: float
    left_s: float


def pressures(config: Mapping[str, Any], state: Mapping[str, Any], backlog: Backlog) -> list[LimitUsage]:
    """
    Return how close to being dropped the oldest unread message is, for each limit that there is, closest first.

    Args:
        config: The stream's configuration, as STREAM.INFO has it.
        state: Its state.
    """
    found = []
    if (max_age_ns := config.get("max_age") or 0) > 0:
        max_age_s = max_age_ns / 1e9
        found.append(LimitUsage("max_age", backlog.age_s / max_age_s, max(0.0, max_age_s - backlog.age_s)))
    if config.get("discard", "old") == "old":
        unread = max(0, state["last_seq"] - backlog.first_seq + 1)
        size = state["bytes"] / max(1, state["messages"])
        for limit, used, rate in (
            ("max_msgs", float(unread), backlog.messages_per_s),
            ("max_bytes", unread * size, backlog.bytes_per_s),
        ):
            most = config.get(limit) or -1
            if most > 0:
                left = max(0.0, most - used)
                found.append(LimitUsage(limit, used / most, left / rate if rate > 0 else float("inf")))
    return sorted(found, key=lambda pressure: -pressure.share)


def fullness(config: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return the fullest limit of a stream that refuses publishers when it is full, and its share; None for others."""
    if config.get("discard", "old") != "new":
        return None
    shares = [
        (limit, state[key] / config[limit])
        for limit, key in (("max_msgs", "messages"), ("max_bytes", "bytes"))
        if (config.get(limit) or -1) > 0
    ]
    return max(shares, key=lambda share: share[1], default=None)


def growth(before: Mapping[str, Any], after: Mapping[str, Any], span_s: float, lived_s: float) -> tuple[float, float]:
    """
    Return messages and bytes a second at which a stream grows: now, or in the mean of what it holds, the faster.

    Args:
        before, after: Two states.
        span_s: Seconds between them.
        lived_s: Seconds between the first and the last message that it holds.
    """
    size = after["bytes"] / max(1, after["messages"])
    now = max(0, after["last_seq"] - before["last_seq"]) / span_s if span_s > 0 else 0.0
    mean = after["messages"] / lived_s if lived_s > 0 else 0.0
    rate = max(now, mean)
    return rate, rate * size
