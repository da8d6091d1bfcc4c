"""
Credit: how many requested messages have not arrived yet; pure.

Several pull requests are in flight on one inbox, and a delivery does not say which of them it answers. Credit is
therefore counted, not tracked by request: a request adds its batch, a delivery subtracts one, and the status message
that ends a request says how much of its batch will not be delivered (`Nats-Pending-Messages`).
"""

import re
from dataclasses import dataclass
from enum import Enum

import orjson

_REFILL_SHARE = 2
"""Divisor of the window below which more is requested: at half, two or three large requests are in flight."""


class PullStatus(Enum):
    """What a status message means for the pull loop."""

    HEARTBEAT = "heartbeat"
    EXPIRED = "expired"
    """The request ended normally; request again."""
    RENEW = "renew"
    """The server dropped its requests because it shuts down or the leader changed; start with a new inbox."""
    LIMIT = "limit"
    """The consumer allows less than was requested; request less."""
    GONE = "gone"
    """The consumer does not exist any more."""
    FULL = "full"
    """The next message is larger than the rest of the request's bytes; request again."""
    REFUSED = "refused"
    """The server will never serve such a request."""


def pull_status(status: str, description: str) -> PullStatus:
    """
    Classify a status message by its code and description.

    Source: NATS ADR-13, "Pull Subscribe internals"; nats-server's consumer.go.
    """
    words = description.lower()
    if status == "100":
        return PullStatus.HEARTBEAT
    if status in ("404", "408"):
        return PullStatus.EXPIRED
    if status == "503" or "consumer deleted" in words:
        return PullStatus.GONE
    if status == "409":
        if "exceeded max" in words:
            return PullStatus.LIMIT
        if "server shutdown" in words or "leadership change" in words:
            return PullStatus.RENEW
        if "message size exceeds" in words:
            return PullStatus.FULL
        if "push based" in words:
            return PullStatus.REFUSED
        return PullStatus.EXPIRED
    if status == "400":
        return PullStatus.REFUSED
    return PullStatus.EXPIRED


def limit_in(description: str) -> tuple[str, int] | None:
    """Return the limit in an "Exceeded MaxRequest…" description: ("batch", "bytes" or "expires", number), or None."""
    match = re.search(r"exceeded maxrequest(batch|maxbytes|expires)\D*(\d+)?", description.lower())
    if not match or not match.group(2):
        return None
    return {"batch": "batch", "maxbytes": "bytes", "expires": "expires"}[match.group(1)], int(match.group(2))


_SLICE_MAX = 256
"""Messages passed on at once: about 4 ms of decoding for single records."""
_SLICE_S = 0.005
"""Target duration of a slice in seconds; then the event loop continues a COPY and sends the heartbeat."""


def next_slice(size: int, used_s: float) -> int:
    """
    Return how many messages to pass on next.

    A message of fifty records takes fifty times as long as one with a single record, so the number follows the
    duration of the last slice.

    Args:
        size: Messages in the last slice.
        used_s: Its duration in seconds. Time spent waiting for the copy stage is included, which only makes slices
            smaller for a while.
    """
    if used_s > 2 * _SLICE_S:
        return max(1, size // 2)
    return min(_SLICE_MAX, size * 2) if used_s < _SLICE_S / 2 else size


@dataclass(frozen=True, slots=True)
class PullLimits:
    """
    Sizes of pull requests.

    Attributes:
        window: Maximum number of outstanding messages.
        request_max: Maximum number of messages in one request.
        bytes_max: Maximum number of bytes in one request.
        expires_s: Lifetime of a request on the server.
        heartbeat_s: Interval of the server's idle heartbeats; at most half of `expires_s`.
    """

    window: int
    request_max: int
    bytes_max: int
    expires_s: float = 30.0
    heartbeat_s: float = 5.0


@dataclass(slots=True)
class Credit:
    """
    Number of requested messages that have not arrived, and how much to request.

    Args:
        window: Maximum number of outstanding messages.
        request_max: Maximum number of messages in one request.
        unlimited: Whether to request everything that there is room for, instead of one window.
    """

    window: int
    request_max: int
    outstanding: int = 0
    unlimited: bool = False

    def received(self, count: int) -> None:
        """Subtract deliveries. Deliveries beyond the credit belong to abandoned requests and cost nothing."""
        self.outstanding = max(0, self.outstanding - count)

    def ended(self, undelivered: int) -> None:
        """Subtract the part of a request that will not be delivered because it has ended."""
        self.outstanding = max(0, self.outstanding - undelivered)

    def reset(self) -> None:
        """Reset the credit for a new inbox without requests."""
        self.outstanding = 0

    def next_batch(self, room: int) -> int:
        """
        Return the batch of the next request, or 0 for none.

        Args:
            room: How many more messages the worker may hold.
        """
        window = room if self.unlimited else min(self.window, room)
        if (self.outstanding > window // _REFILL_SHARE and not self.unlimited) or window <= 0:
            return 0
        return max(0, min(self.request_max, window - self.outstanding))


def pull_request(batch: int, bytes_max: int, expires_s: float, heartbeat_s: float) -> bytes:
    """
    Return the body of a pull request.

    Source: NATS documentation, "JetStream API Reference", CONSUMER.MSG.NEXT; durations are nanoseconds.
    """
    body = {
        "batch": batch,
        "max_bytes": bytes_max,
        "expires": int(expires_s * 1e9),
        "idle_heartbeat": int(heartbeat_s * 1e9),
    }
    return orjson.dumps(body)
