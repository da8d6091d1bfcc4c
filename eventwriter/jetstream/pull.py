"""
The pull loop: requests kept in flight, deliveries gathered in lists.

Our own on nats-py's public subscription and publication, because `fetch()` costs
16 µs of CPU a message where this costs 4. Nothing here may stall unseen: a request
that is lost shows as missing idle heartbeats, and everything is asked again on a
new inbox.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from eventwriter import clock
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.jetstream.ack_subject import message_from, pending_of
from eventwriter.jetstream.client import Delivery, DirectClient
from eventwriter.jetstream.credit import Credit, Ended, PullLimits, limit_in, meaning, next_slice, request
from eventwriter.jetstream.reorder import NOTHING, Redelivered, gather
from eventwriter.model import Message

log = logging.getLogger(__name__)

_HEADROOM_BYTES = 64 * 1024
"""Subject, reply and headers beside the largest payload, so that `max_bytes` never blocks a message for ever."""

_BYTES_MAX = 128 * 1024 * 1024
"""No server lets a message be larger than 64 MiB."""


class ConsumerLost(EventwriterError):
    """The consumer is gone, or nothing is known of it any more: bind again."""


class Pull:
    """
    Deliveries of one consumer, as an asynchronous iterator of lists.

    An empty list is a clock tick. Written by the worker's event loop only.

    Args:
        subject: `$JS.API.CONSUMER.MSG.NEXT.<stream>.<durable>`.
        room: Says how many more messages the worker may hold.
        patience_s: Says how long the iterator may wait before it yields an empty list.
        on_renew: Awaited between giving an inbox up and asking on the next. Returns what it gave back.
    """

    def __init__(
        self,
        client: DirectClient,
        subject: str,
        limits: PullLimits,
        room: Callable[[], int],
        patience_s: Callable[[], float],
        on_renew: Callable[[], Awaitable[Redelivered]],
    ) -> None:
        self._client = client
        client.subjects.add(subject)
        client.denied = None
        self._subject = subject
        self._room = room
        self._patience_s = patience_s
        self._on_renew = on_renew
        self._credit = Credit(limits.window, limits.request_max)
        self._bytes_max = max(limits.bytes_max, client.max_payload + _HEADROOM_BYTES)
        self._expires_s, self._heartbeat_s = limits.expires_s, limits.heartbeat_s
        self._raw: list[Delivery] = []
        self._slice = 1
        self.excused = False
        """Set by who handles a list: what it takes says nothing of what decoding takes; cleared with the next list."""
        self._awake = asyncio.Event()
        self._subscription: Subscription | None = None
        self._heard_s = clock.monotonic_s()
        self._requested_after_s = 0.0
        self._renew = True
        self._draining = self._paused = False
        self._lost: str | None = None
        self._back = NOTHING
        """What was given back, and is to be put in order."""
        self.pending = 0
        """Messages that the consumer had not delivered when it sent the newest one that we have."""
        self.renewals = 0
        self.received_last_ns: int | None = None

    def wake(self) -> None:
        """Have the iterator look again now: room, or a sealing, may have become due."""
        self._awake.set()

    def renew(self) -> None:
        """Give the inbox and its requests up and ask again on a new one (after a reconnect)."""
        self._renew = True
        self._awake.set()

    def lose(self, reason: str) -> None:
        """Have the iterator raise ConsumerLost: the consumer is not what we are bound to any more."""
        self._lost = reason
        self._awake.set()

    def pause(self, paused: bool) -> None:
        """Ask for nothing more, yield what has arrived, and then only ticks; or, where not `paused`, ask again."""
        self._paused = paused
        self.renew()

    def drain(self) -> None:
        """Ask for nothing more; yield what has arrived and end."""
        self._draining = True
        self._awake.set()

    async def lists(self) -> AsyncIterator[list[Message]]:
        """
        Yield deliveries in the order of arrival, at most 256 at once.

        Raises:
            ConsumerLost: The consumer is gone.
            Fatal: The server will never serve these requests, or denies us a permission.
            Retryable: The connection is closed for good; another one is needed.
        """
        while True:
            if self._lost is not None:
                raise ConsumerLost(self._lost)
            if self._draining:
                await self._unsubscribe(gently=True)
            elif self._paused:
                self._renew = False  # or waiting would not wait
                await self._unsubscribe(gently=True)
            elif self._renew:
                await self._begin_again()
            await self._arrive()
            if not self._raw:
                if self._draining:
                    return
                self._watch()
                yield []
            while self._raw:
                raw = self._raw[: self._slice]
                del self._raw[: self._slice]
                began_s = clock.monotonic_s()
                yield self._messages(raw)
                used_s = 0.0 if self.excused else clock.monotonic_s() - began_s
                self._slice, self.excused = next_slice(len(raw), used_s), False
                # One turn for the COPY that is under way, and for the heartbeat.
                await asyncio.sleep(0)
                await self._ask()

    def replies(self) -> list[str]:
        """Return the ack subjects of what has arrived and was not handed on yet."""
        return [reply for reply, *_ in self._raw if reply]

    async def close(self) -> None:
        """Give the inbox up; deliveries that are on their way are lost to us and come again."""
        await self._unsubscribe()

    def _receive(self, delivery: Delivery) -> None:
        # Hot: once per message.
        self._raw.append(delivery)
        self._awake.set()

    async def _receive_long(self, msg: Msg) -> None:
        """Take a delivery the public way: where nats-py's inside is not what `DirectClient` expects."""
        self._receive((msg.reply, msg.subject, msg.data, msg.headers))

    async def _arrive(self) -> None:
        await self._ask()
        if not self._raw:
            await self._wait()
        if self._back.messages and self._raw:
            self._credit.wide = True
            await gather(self._raw, self._back, self._ask)
            self._credit.wide, self._back = False, NOTHING

    async def _wait(self) -> None:
        self._awake.clear()
        # Without a connection there is nothing to begin again with: the next tick looks.
        if self._raw or (self._renew and self._client.is_connected):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s()):
                await self._awake.wait()

    def _messages(self, raw: list[Delivery]) -> list[Message]:
        messages: list[Message] = []
        for reply, subject, payload, headers in raw:
            message = message_from(reply, subject, payload, headers) if reply else None
            if message is not None:
                messages.append(message)
            else:
                self._hear_status(headers or {})
        self._heard_s = clock.monotonic_s()
        if messages:
            newest = messages[-1]
            self._credit.received(len(messages))
            self.pending = pending_of(newest.reply)
            self.received_last_ns = newest.timestamp_ns
        return messages

    def _hear_status(self, headers: dict[str, str]) -> None:
        status, words = headers.get("Status", ""), headers.get("Description", "")
        ended = meaning(status, words)
        if ended is Ended.HEARTBEAT:
            return
        log.debug("pull ended", extra={"status": status, "description": words})
        self._credit.ended(int(headers.get("Nats-Pending-Messages") or 0))
        if ended is Ended.RENEW:
            self._renew = True
        elif ended is Ended.GONE:
            raise ConsumerLost(f"the consumer is gone ({status} {words})")
        elif ended is Ended.REFUSED:
            raise Fatal(f"NATS refuses to be pulled from {self._subject}: {status} {words}")
        elif ended is Ended.LIMIT:
            self._lower(words)
        elif ended is Ended.FULL and self._bytes_max <= int(headers.get("Nats-Pending-Bytes") or 0) < _BYTES_MAX:
            # Not one message fitted: the server's limit was raised since we connected, and nats-py does not follow it.
            self._bytes_max *= 2
            log.warning("a message is larger than a pull's bytes; asking for more", extra={"bytes": self._bytes_max})

    def _lower(self, words: str) -> None:
        """Obey a limit of the consumer's own; the refused request's credit is unknown, so count from zero."""
        limit = limit_in(words)
        match limit:
            case ("batch", most):
                self._credit.request_max = max(1, min(self._credit.request_max, most))
            case ("bytes", most):
                self._bytes_max = most
            case ("expires", most):
                self._expires_s = max(1.0, min(self._expires_s, most / 1e9))
                self._heartbeat_s = min(self._heartbeat_s, self._expires_s / 2)
            case _:
                # Too many requests wait at the server: others pull from this durable too.
                self._requested_after_s = clock.monotonic_s() + 1.0
        log.warning("consumer limits pulls", extra={"description": words})
        self._renew = True

    def _watch(self) -> None:
        """See why nothing comes; two idle heartbeats missing mean that the requests are lost, whatever the reason."""
        if self._client.is_closed:
            raise Retryable("NATS has closed the connection; connecting anew")
        if self._client.denied:
            raise Fatal(self._client.denied)
        silent_s = clock.monotonic_s() - self._heard_s
        if self._credit.outstanding and silent_s > 2 * self._heartbeat_s + 1.0 and self._client.is_connected:
            log.warning("idle heartbeats missing; asking again", extra={"silent_s": round(silent_s, 1)})
            self._renew = True

    async def _begin_again(self) -> None:
        await self._unsubscribe()
        if not self._client.is_connected:
            return
        self._renew = False
        try:
            self._back = await self._on_renew()
        except Retryable:
            if self._client.is_connected:
                raise
            self._renew = True  # cut again meanwhile
            return
        inbox = self._client.new_inbox()
        # Unlimited here, because credit bounds what can arrive; nats-py would drop beyond a limit of its own.
        self._subscription = await self._client.subscribe(
            inbox, cb=self._receive_long, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._client.shorten(self._subscription, self._receive)
        self._credit.forget()
        self._heard_s = clock.monotonic_s()
        self.renewals += 1

    async def _ask(self) -> None:
        if self._subscription is None or self._draining or self._renew or not self._client.is_connected:
            return
        if not (batch := self._credit.wanted(self._room())) or clock.monotonic_s() < self._requested_after_s:
            return
        wanted = request(batch, self._bytes_max, self._expires_s, self._heartbeat_s)
        try:
            await self._client.publish(self._subject, wanted, reply=self._subscription.subject)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            log.debug("pull request not sent", extra={"error": str(error)})
            self._renew = True
            return
        if self._credit.outstanding == 0:
            self._heard_s = clock.monotonic_s()
        self._credit.outstanding += batch

    async def _unsubscribe(self, gently: bool = False) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        self._credit.forget()
        try:
            # Gently: what is on its way is still received, so that nothing is left out.
            rests = gently and self._client.is_connected
            end: Callable[[], Awaitable[None]] = subscription.drain if rests else subscription.unsubscribe
            await end()
        except (TimeoutError, nats.errors.Error, OSError) as error:
            log.debug("unsubscribe failed", extra={"error": str(error)})
