"""
Pull loop for one consumer: keeps requests in flight and yields lists of messages.

It uses nats-py's publish and subscribe instead of `fetch()`, which costs 16 µs of CPU a message, where this loop costs
4 µs. A lost request cannot stall it: missing idle heartbeats reveal the loss, and the loop starts again with a new
inbox.
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
from eventwriter.jetstream.credit import (
    Credit,
    PullLimits,
    PullStatus,
    limit_in,
    next_slice,
    pull_request,
    pull_status,
)
from eventwriter.jetstream.reorder import NOTHING_REDELIVERED, Redelivered, reorder
from eventwriter.model import Message

log = logging.getLogger(__name__)

_HEADROOM_BYTES = 64 * 1024
"""Room for subject, reply and headers beside the largest payload, so that `max_bytes` never blocks a message."""

_REQUEST_BYTES_MAX = 128 * 1024 * 1024
"""Upper bound of `max_bytes`; no server allows messages above 64 MiB."""

_TOO_MANY_REQUESTS_PAUSE_S = 1.0
"""Pause after the server rejected a request because too many are waiting."""


class ConsumerLost(EventwriterError):
    """The consumer was deleted, or its state is unknown: bind again."""

    default_code = "consumer_lost"


class Pull:
    """
    Deliveries of one consumer, as an asynchronous iterator of lists.

    An empty list is a clock tick. Written by the worker's event loop only.

    Args:
        subject: `$JS.API.CONSUMER.MSG.NEXT.<stream>.<durable>`.
        room: Returns how many more messages the worker may hold.
        idle_wait_s: Returns how long the iterator may wait before it yields an empty list.
        on_renew: Awaited before each new inbox; returns the messages that were NAKed for redelivery.

    Attributes:
        excused: Set by the pipeline if the time for a list does not say how long decoding takes; reset with each list.
        pending: Number of messages that the consumer had not delivered when it sent the newest one received.
        received_last_ns: JetStream timestamp of the newest message received.
    """

    def __init__(
        self,
        client: DirectClient,
        subject: str,
        limits: PullLimits,
        room: Callable[[], int],
        idle_wait_s: Callable[[], float],
        on_renew: Callable[[], Awaitable[Redelivered]],
    ) -> None:
        self._client = client
        client.subjects.add(subject)
        client.denied = None
        self._subject = subject
        self._room, self._idle_wait_s, self._on_renew = room, idle_wait_s, on_renew
        self._credit = Credit(limits.window, limits.request_max)
        self._bytes_max = max(limits.bytes_max, client.max_payload + _HEADROOM_BYTES)
        self._expires_s, self._heartbeat_s = limits.expires_s, limits.heartbeat_s
        self._raw: list[Delivery] = []
        self._slice = 1
        self._wakeup = asyncio.Event()
        self._subscription: Subscription | None = None
        self._heard_at_s = clock.monotonic_s()
        self._no_request_before_s = 0.0
        self._renewing = True
        self._draining = self._paused = False
        self._lost: str | None = None
        self._expected = NOTHING_REDELIVERED
        self.excused = False
        self.pending = 0
        self.renewals = 0
        self.received_last_ns: int | None = None

    def wake(self) -> None:
        """Wake the iterator, because there may be room again or a batch may be due."""
        self._wakeup.set()

    def renew(self) -> None:
        """Abandon the inbox with its requests and start with a new one, as after a reconnect."""
        self._renewing = True
        self._wakeup.set()

    def invalidate(self, reason: str) -> None:
        """Make the iterator raise ConsumerLost, because the consumer has changed."""
        self._lost = reason
        self._wakeup.set()

    def pause(self, paused: bool) -> None:
        """Stop requesting messages; those that have arrived are still yielded. With `paused` false, continue."""
        self._paused = paused
        self.renew()

    def drain(self) -> None:
        """Stop requesting messages, yield those that have arrived, and end the iterator."""
        self._draining = True
        self._wakeup.set()

    async def lists(self) -> AsyncIterator[list[Message]]:
        """
        Yield deliveries in the order of arrival, at most 256 at once.

        Raises:
            ConsumerLost: The consumer was deleted or changed.
            Fatal: The server will never serve these requests, or denies a permission.
            Retryable: The connection is closed for good; a new one is needed.
        """
        while True:
            if self._lost is not None:
                raise ConsumerLost(self._lost, code="consumer_changed")
            if self._draining:
                await self._unsubscribe(drain=True)
            elif self._paused:
                self._renewing = False  # or `_wait` would return immediately
                await self._unsubscribe(drain=True)
            elif self._renewing:
                await self._start_inbox()
            await self._receive_more()
            if not self._raw:
                if self._draining:
                    return
                self._check_connection()
                yield []
            while self._raw:
                raw = self._raw[: self._slice]
                del self._raw[: self._slice]
                started_s = clock.monotonic_s()
                yield self._messages(raw)
                used_s = 0.0 if self.excused else clock.monotonic_s() - started_s
                self._slice, self.excused = next_slice(len(raw), used_s), False
                # One turn of the event loop for a COPY in progress and for the heartbeat.
                await asyncio.sleep(0)
                await self._request_more()

    def replies(self) -> list[str]:
        """Return the ack subjects of deliveries that were received but not yielded yet."""
        return [reply for reply, *_ in self._raw if reply]

    def received(self) -> list[Message]:
        """Return the messages that were received but not yielded yet."""
        found = (message_from(reply, subject, payload, headers) for reply, subject, payload, headers in self._raw)
        return [message for message in found if message is not None]

    async def close(self) -> None:
        """Abandon the inbox; deliveries under way are lost here and redelivered."""
        await self._unsubscribe()

    def _receive(self, delivery: Delivery) -> None:
        # Hot: once per message.
        self._raw.append(delivery)
        self._wakeup.set()

    async def _receive_public(self, msg: Msg) -> None:
        """Receive a delivery by nats-py's public callback, if its internals differ from what `DirectClient` expects."""
        self._receive((msg.reply, msg.subject, msg.data, msg.headers))

    async def _receive_more(self) -> None:
        await self._request_more()
        if not self._raw:
            await self._wait()
        if self._expected.messages and self._raw:
            self._credit.unlimited = True
            await reorder(self._raw, self._expected, self._request_more)
            self._credit.unlimited, self._expected = False, NOTHING_REDELIVERED

    async def _wait(self) -> None:
        self._wakeup.clear()
        # Without a connection no inbox can be started; the next tick checks again.
        if self._raw or (self._renewing and self._client.is_connected):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._idle_wait_s()):
                await self._wakeup.wait()

    def _messages(self, raw: list[Delivery]) -> list[Message]:
        messages: list[Message] = []
        for reply, subject, payload, headers in raw:
            message = message_from(reply, subject, payload, headers) if reply else None
            if message is not None:
                messages.append(message)
            else:
                self._handle_status(headers or {})
        self._heard_at_s = clock.monotonic_s()
        if messages:
            newest = messages[-1]
            self._credit.received(len(messages))
            self.pending = pending_of(newest.reply)
            self.received_last_ns = newest.timestamp_ns
        return messages

    def _handle_status(self, headers: dict[str, str]) -> None:
        code, description = headers.get("Status", ""), headers.get("Description", "")
        status = pull_status(code, description)
        if status is PullStatus.HEARTBEAT:
            return
        log.debug("pull request ended", extra={"status": code, "description": description})
        self._credit.ended(int(headers.get("Nats-Pending-Messages") or 0))
        if status is PullStatus.RENEW:
            self._renewing = True
        elif status is PullStatus.GONE:
            if code == "503":
                raise ConsumerLost(
                    "the consumer does not answer pull requests (503): it has no leader at present, or was deleted",
                    code="consumer_unavailable",
                )
            raise ConsumerLost(f"the consumer was deleted ({code} {description})", code="consumer_gone")
        elif status is PullStatus.REFUSED:
            raise Fatal(
                f"NATS rejects pull requests to {self._subject}: {code} {description}",
                code="pull_rejected",
                hint="make the durable a pull consumer with explicit acknowledgements, or configure another durable",
            )
        elif status is PullStatus.LIMIT:
            self._apply_limit(description)
        elif (
            status is PullStatus.FULL
            and self._bytes_max <= int(headers.get("Nats-Pending-Bytes") or 0) < _REQUEST_BYTES_MAX
        ):
            # Not one message fitted: the server's max_payload was raised after this connection was made.
            self._bytes_max *= 2
            log.warning("a message exceeds the pull request's bytes; limit doubled", extra={"bytes": self._bytes_max})

    def _apply_limit(self, description: str) -> None:
        """Obey a limit of the consumer; the credit of the rejected request is unknown, so start with a new inbox."""
        match limit_in(description):
            case ("batch", limit):
                self._credit.request_max = max(1, min(self._credit.request_max, limit))
            case ("bytes", limit):
                self._bytes_max = limit
            case ("expires", limit):
                self._expires_s = max(1.0, min(self._expires_s, limit / 1e9))
                self._heartbeat_s = min(self._heartbeat_s, self._expires_s / 2)
            case _:
                # Too many requests are waiting at the server, because other workers pull from this durable too.
                self._no_request_before_s = clock.monotonic_s() + _TOO_MANY_REQUESTS_PAUSE_S
        log.warning("the consumer limits pull requests", extra={"description": description})
        self._renewing = True

    def _check_connection(self) -> None:
        """Find out why nothing arrives. Two missing idle heartbeats mean that the requests are lost."""
        if self._client.is_closed:
            raise Retryable("the connection to NATS is closed; connecting again", code="nats_connection_closed")
        if self._client.denied:
            raise self._client.denied
        silent_s = clock.monotonic_s() - self._heard_at_s
        if self._credit.outstanding and silent_s > 2 * self._heartbeat_s + 1.0 and self._client.is_connected:
            log.warning("idle heartbeats are missing; requesting again", extra={"silent_s": round(silent_s, 1)})
            self._renewing = True

    async def _start_inbox(self) -> None:
        await self._unsubscribe()
        if not self._client.is_connected:
            return
        self._renewing = False
        try:
            self._expected = await self._on_renew()
        except Retryable:
            if self._client.is_connected:
                raise
            self._renewing = True  # the connection was lost again
            return
        inbox = self._client.new_inbox()
        # Unlimited, because credit bounds what can arrive, and nats-py would drop messages beyond its own limit.
        self._subscription = await self._client.subscribe(
            inbox, cb=self._receive_public, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._client.attach(self._subscription, self._receive)
        self._credit.reset()
        self._heard_at_s = clock.monotonic_s()
        self.renewals += 1

    async def _request_more(self) -> None:
        if self._subscription is None or self._draining or self._renewing or not self._client.is_connected:
            return
        if not (batch := self._credit.next_batch(self._room())) or clock.monotonic_s() < self._no_request_before_s:
            return
        body = pull_request(batch, self._bytes_max, self._expires_s, self._heartbeat_s)
        try:
            await self._client.publish(self._subject, body, reply=self._subscription.subject)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            log.debug("pull request not sent", extra={"error": str(error)})
            self._renewing = True
            return
        if self._credit.outstanding == 0:
            self._heard_at_s = clock.monotonic_s()
        self._credit.outstanding += batch

    async def _unsubscribe(self, drain: bool = False) -> None:
        """
        End the subscription.

        Args:
            drain: Whether deliveries under way are still received.
        """
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        self._credit.reset()
        try:
            draining = drain and self._client.is_connected
            end: Callable[[], Awaitable[None]] = subscription.drain if draining else subscription.unsubscribe
            await end()
        except (TimeoutError, nats.errors.Error, OSError) as error:
            log.debug("unsubscribe failed", extra={"error": str(error)})
