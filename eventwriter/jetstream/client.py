"""
nats-py's client, with a short way for the deliveries of one subscription.

By the public way every delivery becomes a `Msg`, goes through the subscription's queue,
wakes the subscription's task, and is awaited by a callback. A worker takes deliveries by
the ten thousand and only puts them into a list: for that one subscription they go there
straight from the parser (2.0 µs less CPU for each, of 10: benchmarks/run.py).

`_process_msg` and `Subscription._id` are not public: setup.cfg bounds nats-py's version.
A nats-py without them still works, by the public way, and
tests/integration/test_pull_ways.py sees the difference.
"""

from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.subscription import Subscription

Delivery = tuple[str, str, bytes, dict[str, str] | None]
"""Ack subject, subject, payload, headers: what a message is made of, as it came."""


class ShortClient(Client):
    """A client of which one subscription at a time is served the short way."""

    _short_sid = -1
    _short: Callable[[Delivery], None]

    def shorten(self, subscription: Subscription, receive: Callable[[Delivery], None]) -> None:
        """
        Hand every delivery of `subscription` to `receive` at once, in the order of arrival.

        Args:
            receive: Must not wait and must not raise.
        """
        self._short = receive
        self._short_sid = getattr(subscription, "_id", -1)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        # Hot: once per message.
        if sid != self._short_sid or sid not in self._subs:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self._short((reply.decode(), subject.decode(), data, await self._process_headers(headers) if headers else None))
