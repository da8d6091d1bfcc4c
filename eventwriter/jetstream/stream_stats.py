"""
How close the oldest unread message of a stream is to being dropped by the stream's limits.

JetStream drops messages by limits whether they were read or not, without a notification.

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

REFRESH_EVERY = 10
"""Calls of `StreamMonitor.refresh` for each request: alerts need minutes, and requests load the server."""
WARN_SHARE, FAIL_SHARE = 0.5, 0.9
"""Shares of a limit, used up by unread messages, from which doctor warns and fails."""


@dataclass(frozen=True, slots=True)
class StreamStats:
    """
    Statistics of a stream.

    Attributes:
        retention_used: Share of the nearest limit that the oldest unread message has used up; at 1 it is dropped. None
            without a limit.
    """

    first_seq: int
    last_seq: int
    retention_used: float | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """
    Unread messages of a stream.

    Attributes:
        first_seq: Sequence of the oldest unread message.
        age_s: Time since it was stored, in seconds.
        messages_per_s: Growth of the stream.
        bytes_per_s: Growth of the stream.
    """

    first_seq: int
    age_s: float
    messages_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """
    Use of one limit of a stream.

    Attributes:
        limit: The limit's key in the stream's configuration.
        share: Share that the unread messages have used up.
        left_s: Seconds until the oldest unread message is dropped; infinite for a stream that does not grow.
    """

    limit: str
    share: float
    left_s: float


def stats_of(answer: Mapping[str, Any], consumer: ConsumerState, now_ns: int) -> StreamStats:
    """
    Return the statistics in a STREAM.INFO answer.

    Args:
        now_ns: The server's clock if the answer has it, else the local clock.
    """
    config, state = answer["config"], answer["state"]
    first_seq = max(consumer.ack_floor_stream_seq + 1, state["first_seq"])
    unread = consumer.pending + consumer.ack_pending > 0
    backlog = Backlog(first_seq, _age_s(state, first_seq, now_ns), 0.0, 0.0)
    shares = [usage.share for usage in limit_usages(config, state, backlog)]
    return StreamStats(state["first_seq"], state["last_seq"], (shares[0] if unread else 0.0) if shares else None)


def _age_s(state: Mapping[str, Any], seq: int, now_ns: int) -> float:
    """Estimate the age of a message, assuming even growth of the stream; fetching it would cost a request."""
    first_ns, last_ns = instant_ns(state["first_ts"]), instant_ns(state["last_ts"])
    span = state["last_seq"] - state["first_seq"]
    share = min(1.0, (seq - state["first_seq"]) / span) if span > 0 else 0.0
    return max(0.0, (now_ns - first_ns - share * (last_ns - first_ns)) / 1e9)


class StreamMonitor:
    """
    Requests the statistics of one stream at intervals. Owned by the worker's event loop.

    Attributes:
        latest: The newest statistics; None before the first answer.
    """

    def __init__(self) -> None:
        self._calls = 0
        self.latest: StreamStats | None = None

    async def refresh(self, api: JetStreamApi, stream: str, consumer: ConsumerState | None) -> None:
        """Request the statistics at every tenth call; without an answer the old ones stay."""
        if consumer is None:
            return
        self._calls += 1
        if self._calls % REFRESH_EVERY != 1:
            return
        with contextlib.suppress(Retryable):
            answer = await api.request(f"STREAM.INFO.{stream}")
            if not isinstance(answer, ApiError):
                now_ns = instant_ns(answer["ts"]) if answer.get("ts") else clock.now_ns()
                self.latest = stats_of(answer, consumer, now_ns)


def limit_usages(config: Mapping[str, Any], state: Mapping[str, Any], backlog: Backlog) -> list[LimitUsage]:
    """
    Return the use of each limit that drops unread messages, nearest first.

    Args:
        config: The stream's configuration in STREAM.INFO.
        state: The stream's state in STREAM.INFO.
    """
    usages = []
    if (max_age_ns := config.get("max_age") or 0) > 0:
        max_age_s = max_age_ns / 1e9
        usages.append(LimitUsage("max_age", backlog.age_s / max_age_s, max(0.0, max_age_s - backlog.age_s)))
    if config.get("discard", "old") == "old":
        unread = max(0, state["last_seq"] - backlog.first_seq + 1)
        message_bytes = state["bytes"] / max(1, state["messages"])
        for limit, used, rate in (
            ("max_msgs", float(unread), backlog.messages_per_s),
            ("max_bytes", unread * message_bytes, backlog.bytes_per_s),
        ):
            maximum = config.get(limit) or -1
            if maximum > 0:
                left = max(0.0, maximum - used)
                usages.append(LimitUsage(limit, used / maximum, left / rate if rate > 0 else float("inf")))
    return sorted(usages, key=lambda usage: -usage.share)


def fullest_limit(config: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return the most used limit of a stream that rejects messages when full, with its share; None for others."""
    if config.get("discard", "old") != "new":
        return None
    shares = [
        (limit, state[key] / config[limit])
        for limit, key in (("max_msgs", "messages"), ("max_bytes", "bytes"))
        if (config.get(limit) or -1) > 0
    ]
    return max(shares, key=lambda share: share[1], default=None)


def growth(before: Mapping[str, Any], after: Mapping[str, Any], span_s: float, stored_s: float) -> tuple[float, float]:
    """
    Return the growth of a stream in messages and bytes a second: the present or the mean rate, whichever is higher.

    Args:
        before: An earlier state in STREAM.INFO.
        after: A later state.
        span_s: Seconds between both.
        stored_s: Seconds between the first and the last stored message.
    """
    message_bytes = after["bytes"] / max(1, after["messages"])
    present = max(0, after["last_seq"] - before["last_seq"]) / span_s if span_s > 0 else 0.0
    mean = after["messages"] / stored_s if stored_s > 0 else 0.0
    rate = max(present, mean)
    return rate, rate * message_bytes
