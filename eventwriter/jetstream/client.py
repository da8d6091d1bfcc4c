"""
nats-py's client with three differences: a direct path for deliveries, mandatory TLS, and failing denied requests.

By nats-py's public path every delivery becomes a `Msg`, passes through the subscription's queue, wakes its task and is
awaited by a callback. A worker only appends deliveries to a list, and for one subscription at a time this client does
so directly from the parser. That saves 2.0 µs of 10 µs CPU a delivery (benchmarks/run.py).

If TLS is configured, a server without it is refused; nats-py itself would send the password in the clear.
A request that the server denies fails at once with the reason, instead of waiting for an answer.

An INFO of the server with values of the wrong type is refused, because nats-py stores them unchecked.

`_process_msg`, `_process_info`, `_process_connect_init`,
`_setup_server_pool`, `_transport` and `Subscription._id` are not public. setup.cfg
limits nats-py's version, and without them deliveries still arrive by the public path;
tests/integration/test_pull_ways.py detects the difference.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import NoRespondersError

from eventwriter import clock
from eventwriter.errors import Fatal
from eventwriter.jetstream.errors import DeniedPermission, HandshakeRefused, permission_error

Delivery = tuple[str, str, bytes, dict[str, str] | None]
"""Ack subject, subject, payload and headers of a delivery."""


class DirectClient(Client):
    """
    A client that serves one subscription at a time by the direct path.

    Args:
        require_tls: Whether a server without TLS is refused before the login is sent.
        has_certificate: Whether a client certificate is configured.

    Attributes:
        subjects: Subjects to publish to, in their original spelling; nats-py reports a denied subject in lower case.
        denied: Error for the permission that the server denied last.
        unanswered_since_s: Start of the first request since the last answer; monotonic seconds, None if the last
            request was answered. A connection can be open while its server is stopped.
    """

    _direct_sid = -1
    _direct_receive: Callable[[Delivery], None]

    def __init__(self, require_tls: bool = False, has_certificate: bool = False) -> None:
        super().__init__()
        self._require_tls, self._has_certificate = require_tls, has_certificate
        self._requests: dict[asyncio.Future[Fatal | None], str] = {}
        self.subjects: set[str] = set()
        self.denied: Fatal | None = None
        self.unanswered_since_s: float | None = None

    def attach(self, subscription: Subscription, receive: Callable[[Delivery], None]) -> None:
        """
        Pass every delivery of `subscription` to `receive`, in the order of arrival.

        Args:
            receive: Must not block and must not raise.
        """
        self._direct_receive = receive
        self._direct_sid = getattr(subscription, "_id", -1)

    def add_servers(self, servers: list[str]) -> None:
        """Add servers to try when the connection is lost."""
        if servers:
            self._setup_server_pool(servers)

    def abort(self) -> None:
        """Close the socket of a cancelled connection attempt, which nats-py leaves to the garbage collector."""
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call]

    async def ask(self, subject: str, payload: bytes, limit_s: float) -> Msg:
        """
        Send a request and wait for the answer.

        Raises:
            Fatal: The server denies publishing the request, or receiving the answer.
            ConnectionError: The connection was lost, so no answer will arrive.
            nats.errors.Error, OSError, TimeoutError: As `request`.
        """
        failed: asyncio.Future[Fatal | None] = asyncio.get_running_loop().create_future()
        self._requests[failed] = subject
        self.subjects.add(subject)
        if self.unanswered_since_s is None:
            self.unanswered_since_s = clock.monotonic_s()
        request = asyncio.ensure_future(self.request(subject, payload, timeout=limit_s))
        try:
            await asyncio.wait((request, failed), return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                if (error := failed.result()) is None:
                    raise ConnectionResetError("the connection was lost before the answer arrived")
                self.unanswered_since_s = None
                raise error
            answer = request.result()
            self.unanswered_since_s = None
            return answer
        except NoRespondersError:
            self.unanswered_since_s = None
            raise
        finally:
            del self._requests[failed]
            request.cancel()

    def fail_requests(self) -> None:
        """End all requests, because their connection is lost."""
        self.unanswered_since_s = None
        for failed in self._requests:
            if not failed.done():
                failed.set_result(None)

    def deny(self, permission: DeniedPermission) -> Fatal:
        """Record a denied permission, end the requests that need it, and return the error."""
        hearing = permission.verb == "subscription"
        subject = f"{self._inbox_prefix.decode()}.>" if hearing else self._original_spelling(permission.subject)
        self.denied = permission_error(permission, subject)
        for failed, requested in self._requests.items():
            if not failed.done() and (hearing or requested.lower() == permission.subject):
                failed.set_result(self.denied)
        return self.denied

    def _original_spelling(self, subject: str) -> str:
        if subject.startswith("$js.ack."):
            return "$JS.ACK.>"  # each message has another ack subject
        return next((known for known in self.subjects if known.lower() == subject), subject)

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except OSError:
            raise  # also of TLS: a certificate that does not verify is a ValueError too
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # nats-py assumes a well-formed answer; its reconnect loop would end without a report.
            raise invalid_info(type(error).__name__) from error

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if problem := info_problem(info):
            if initial_connection:
                raise invalid_info(problem)
            return  # an update of the list of servers, which is not needed
        if initial_connection and self._require_tls and not self.options.get("tls_handshake_first"):
            # A server may offer TLS without requiring it; nats-py then uses none.
            if not (info.get("tls_required") or info.get("tls_available")):
                raise HandshakeRefused(
                    "the server offers no TLS, which nats.tls or a tls:// address requires",
                    "nats_tls_missing",
                    "configure TLS on the server",
                )
            info["tls_required"] = True
        if initial_connection and info.get("tls_verify") and not self._has_certificate:
            raise HandshakeRefused(
                "the server requires a client certificate",
                "nats_certificate_missing",
                "set nats.tls.cert_file and nats.tls.key_file",
            )
        await super()._process_info(info, initial_connection)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        # Hot: once per message.
        if sid != self._direct_sid or sid not in self._subs:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self._direct_receive(
            (reply.decode(), subject.decode(), data, await self._process_headers(headers) if headers else None)
        )


_PAYLOAD_BYTES_MAX = 2**31 - 1
"""Largest max_payload that a NATS server can have; it is a 32-bit number there."""
_INFO_TYPES = {
    "version": str, "client_id": int, "client_ip": str, "nonce": str, "connect_urls": list, "tls_required": bool,
    "tls_verify": bool, "tls_available": bool, "auth_required": bool, "headers": bool, "ldm": bool,
}  # fmt: skip
"""Fields of INFO that nats-py or this client reads. Source: NATS client protocol, "INFO"."""


def info_problem(info: object) -> str | None:
    """Return what is wrong with a server's INFO, None if it is well-formed; null counts as missing."""
    if not isinstance(info, dict):
        return "it is not a JSON object"
    for name, kind in _INFO_TYPES.items():
        if info.get(name) is not None and not isinstance(info[name], kind):
            return f"{name} has the wrong type"
    size = info.get("max_payload", 1)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= _PAYLOAD_BYTES_MAX:
        return "max_payload is not a positive number of bytes"
    if not all(isinstance(url, str) for url in info.get("connect_urls") or ()):
        return "connect_urls has the wrong type"
    return None


def invalid_info(problem: str) -> HandshakeRefused:
    """Return the error for a server that does not follow the protocol."""
    return HandshakeRefused(
        f"the server's INFO message is invalid: {problem}",
        "nats_info_invalid",
        "check that nats.servers names a NATS server",
    )
