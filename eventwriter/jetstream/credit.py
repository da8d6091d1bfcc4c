"""
How much has been asked of the consumer and not yet come; pure.

Several pull requests are in flight on one inbox, and a delivery does not say which
of them it answers. So credit is counted, not tracked by request: a request adds
its batch, a delivery takes one, and the status message that ends a request says
how much of it will never come (`Nats-Pending-Messages`).
"""

import re
from dataclasses import dataclass
from enum import Enum

import orjson

_REFILL_SHARE = 2
"""Ask again when half of the credit is used: two or three requests are in flight, none of them tiny."""


class Ended(Enum):
    """What a status message means for the pull loop."""

    HEARTBEAT = "heartbeat"
    EXPIRED = "expired"
    """The request ended in the ordinary way; ask again."""
    RENEW = "renew"
    """The server forgot the requests (it shuts down, the leader moved): begin with a new inbox."""
    LIMIT = "limit"
    """The consumer allows less than was asked; ask for less."""
    GONE = "gone"
    """The consumer is not there any more."""
    FULL = "full"
    """The next message is larger than what is left of the request's bytes; ask again."""
    REFUSED = "refused"
    """A request that the server will never serve."""


def meaning(status: str, description: str) -> Ended:
    """
    Read a status message's code and words.

    Source: NATS ADR-13, "Pull Subscribe internals"; nats-server's consumer.go.
    """
    words = description.lower()
    if status == "100":
        return Ended.HEARTBEAT
    if status in ("404", "408"):
        return Ended.EXPIRED
    if status == "503" or "consumer deleted" in words:
        return Ended.GONE
    if status == "409":
        if "exceeded max" in words:
            return Ended.LIMIT
        if "server shutdown" in words or "leadership change" in words:
            return Ended.RENEW
        if "message size exceeds" in words:
            return Ended.FULL
        if "push based" in words:
            return Ended.REFUSED
        return Ended.EXPIRED
    if status == "400":
        return Ended.REFUSED
    return Ended.EXPIRED


def limit_in(description: str) -> tuple[str, int] | None:
    """Return ("batch" or "bytes" or "expires", the number) of an "Exceeded MaxRequest…" refusal, where it names one."""
    found = re.search(r"exceeded maxrequest(batch|maxbytes|expires)\D*(\d+)?", description.lower())
    if not found or not found.group(2):
        return None
    return {"batch": "batch", "maxbytes": "bytes", "expires": "expires"}[found.group(1)], int(found.group(2))


_SLICE_MAX = 256
"""Messages handed on at once at most: about 4 ms of decoding single records."""
_SLICE_S = 0.005
"""Seconds that a slice may take before the event loop moves a COPY along and the heartbeat goes out."""


def next_slice(size: int, used_s: float) -> int:
    """
    Return how many messages to hand on next.

    Messages of fifty records take fifty times as long as single ones, so the number follows
    what the last slice cost.

    Args:
        size: Messages of the last slice.
        used_s: Seconds that it took, waiting for the copy stage included: that only makes slices smaller for a while.
    """
    if used_s > 2 * _SLICE_S:
        return max(1, size // 2)
    return min(_SLICE_MAX, size * 2) if used_s < _SLICE_S / 2 else size


@dataclass(frozen=True, slots=True)
class PullLimits:
    """
    Sizes of pull requests.

    Attributes:
        window: Messages outstanding at most.
        request_max: Messages of one request at most.
        bytes_max: Bytes of one request at most.
        expires_s: How long the server keeps a request.
        heartbeat_s: The server's idle heartbeat; at most half of `expires_s`.
    """

    window: int
    request_max: int
    bytes_max: int
    expires_s: float = 30.0
    heartbeat_s: float = 5.0


@dataclass(slots=True)
class Credit:
    """
    What is outstanding, and how much to ask for.

    Args:
        window: Messages outstanding at most.
        request_max: Messages in one request at most.
    """

    window: int
    request_max: int
    outstanding: int = 0
    wide: bool = False
    """Whether all that there is room for is asked for, at once."""

    def received(self, count: int) -> None:
        """Count deliveries. More than was asked for can only come of requests that were given up; they are free."""
        self.outstanding = max(0, self.outstanding - count)

    def ended(self, undelivered: int) -> None:
        """Count what an ended request will not deliver."""
        self.outstanding = max(0, self.outstanding - undelivered)

    def forget(self) -> None:
        """Begin again: a new inbox, no request outstanding."""
        self.outstanding = 0

    def wanted(self, room: int) -> int:
        """
        Return the batch of the next request, 0 for none.

        Args:
            room: How many more messages the worker may hold, all told.
        """
        window = room if self.wide else min(self.window, room)
        if (self.outstanding > window // _REFILL_SHARE and not self.wide) or window <= 0:
            return 0
        return max(0, min(self.request_max, window - self.outstanding))


def request(batch: int, bytes_max: int, expires_s: float, heartbeat_s: float) -> bytes:
    """
    Return a pull request.

    Source: NATS documentation, "JetStream API Reference", CONSUMER.MSG.NEXT; durations are nanoseconds.
    """
    wanted = {
        "batch": batch,
        "max_bytes": bytes_max,
        "expires": int(expires_s * 1e9),
        "idle_heartbeat": int(heartbeat_s * 1e9),
    }
    return orjson.dumps(wanted)
