"""
nats-py's client, with a short way for the deliveries of one subscription, and with its own mind on TLS and permissions.

By the public way every delivery becomes a `Msg`, goes through the subscription's queue,
wakes the subscription's task, and is awaited by a callback. A worker takes deliveries by
the ten thousand and only puts them into a list: for that one subscription they go there
straight from the parser (2.0 µs less CPU for each, of 10: benchmarks/run.py).

TLS that was asked for is insisted on: by itself nats-py follows a server that offers none, and sends it the password.
A request whose permission is denied ends at once, with the sentence, instead of waiting for an answer.

`_process_msg`, `_process_info`, `_setup_server_pool`, `_transport` and `Subscription._id` are not public: setup.cfg
bounds nats-py's version. A nats-py without them still works, by the public way, and
tests/integration/test_pull_ways.py sees the difference.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from eventwriter.errors import Fatal
from eventwriter.jetstream.errors import Denied, Refused, denial

Delivery = tuple[str, str, bytes, dict[str, str] | None]
"""Ack subject, subject, payload, headers: what a message is made of, as it came."""


class DirectClient(Client):
    """
    A client of which one subscription at a time is served the short way.

    Args:
        secure: TLS is wanted: a server without it is refused before the login is sent.
        certified: We have a certificate to show.
    """

    _short_sid = -1
    _short: Callable[[Delivery], None]

    def __init__(self, secure: bool = False, certified: bool = False) -> None:
        super().__init__()
        self._secure, self._certified = secure, certified
        self._asking: dict[asyncio.Future[str | None], str] = {}
        self.subjects: set[str] = set()
        """Where we publish to, as it is spelled: nats-py gives a denied subject in small letters."""
        self.denied: str | None = None
        """The sentence for the newest permission that the server denied."""

    def shorten(self, subscription: Subscription, receive: Callable[[Delivery], None]) -> None:
        """
        Hand every delivery of `subscription` to `receive` at once, in the order of arrival.

        Args:
            receive: Must not wait and must not raise.
        """
        self._short = receive
        self._short_sid = getattr(subscription, "_id", -1)

    def know(self, servers: list[str]) -> None:
        """Have these servers tried too, when the connection is lost."""
        if servers:
            self._setup_server_pool(servers)

    def drop(self) -> None:
        """Close the socket of an attempt that was broken off; nats-py leaves it to the garbage collector."""
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call]

    async def ask(self, subject: str, payload: bytes, limit_s: float) -> Msg:
        """
        Request and wait for the answer.

        Raises:
            Fatal: The permission to ask, or to hear the answer, is denied.
            ConnectionError: The connection was lost meanwhile: no answer will come.
            nats.errors.Error, OSError, TimeoutError: As `request` does.
        """
        told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._asking[told] = subject
        self.subjects.add(subject)
        asking = asyncio.ensure_future(self.request(subject, payload, timeout=limit_s))
        try:
            await asyncio.wait((asking, told), return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                if (refusal := told.result()) is None:
                    raise ConnectionResetError("the connection was lost before the answer came")
                raise Fatal(refusal)
            return asking.result()
        finally:
            del self._asking[told]
            asking.cancel()

    def lose_answers(self) -> None:
        """End all requests: their connection is lost, and their answers with it."""
        for told in self._asking:
            if not told.done():
                told.set_result(None)

    def deny(self, what: Denied) -> str:
        """Note a denied permission, end the requests that it concerns, and return its sentence."""
        hearing = what.verb == "subscription"
        self.denied = denial(what, f"{self._inbox_prefix.decode()}.>" if hearing else self._spelled(what.subject))
        for told, asked in self._asking.items():
            if not told.done() and (hearing or asked.lower() == what.subject):
                told.set_result(self.denied)
        return self.denied

    def _spelled(self, subject: str) -> str:
        if subject.startswith("$js.ack."):
            return "$JS.ACK.>"  # every message's is another
        return next((known for known in self.subjects if known.lower() == subject), subject)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._secure and not self.options.get("tls_handshake_first"):
            # A server may offer TLS without requiring it: nats-py looks at the requirement only.
            if not (info.get("tls_required") or info.get("tls_available")):
                raise Refused("it offers no TLS, which nats.tls or a tls:// address asks for; set it up there")
            info["tls_required"] = True
        if initial_connection and info.get("tls_verify") and not self._certified:
            raise Refused("it wants our certificate: set nats.tls.cert_file and nats.tls.key_file")
        await super()._process_info(info, initial_connection)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        # Hot: once per message.
        if sid != self._short_sid or sid not in self._subs:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self._short((reply.decode(), subject.decode(), data, await self._process_headers(headers) if headers else None))
