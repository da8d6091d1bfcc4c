"""
The connection to NATS and its errors.

nats-py retries a first connection forever, and can hang after a failed TLS verification. Each server is therefore
tried separately, with a time limit, and the first error that the callback receives is the reason; the caller decides
when to try again. An established connection is restored by nats-py, without a limit on attempts. If the server refuses
the login, the connection is closed instead, so that the next one reads login and certificate files again.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import nats.errors

from eventwriter import clock
from eventwriter.config.settings import NatsSettings
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.errors import (
    ConnectTimeout,
    connection_error,
    denied_permission,
    is_disconnect,
    merge,
    root_cause,
    without_credentials,
)
from eventwriter.jetstream.login import login_options, tls_options

log = logging.getLogger(__name__)

_PINGS_OUTSTANDING_MAX = 2
"""Unanswered pings after which the connection is given up: 20 to 30 s with the default interval."""

_PENDING_BYTES_MAX = 16 * 1024 * 1024
"""Bytes that nats-py may buffer while it reconnects; the acks of one worker need far less."""

_DISCONNECTS_MAX = 3
"""Disconnects without another error before the disconnect counts as the reason. A refusal may lose the race against
the reset of its own connection."""

_CANCEL_ATTEMPTS = 20
"""Cancellations of a connection attempt; nats-py swallows some of them."""

_ERRORS_KEPT = 16
_CLOSE_S_MAX = 2.0


class NatsLink:
    """
    One worker's connection to NATS and its newest error.

    Written by the worker's event loop only.
    """

    def __init__(self, settings: NatsSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self.client = DirectClient()
        self.reconnects = 0
        self.last_error: str | None = None
        self.server = ""
        """The server in use, or the last one; without a login."""
        self.on_reconnect: Callable[[], None] | None = None
        self.on_disconnect: Callable[[str], None] | None = None
        """Receives the reason when an established connection is lost, even if another server takes over at once."""
        self._servers = settings.servers
        self._errors: list[BaseException] = []
        self._decided = asyncio.Event()
        self._refused = self._closing = self._established = False
        self._closer: asyncio.Future[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection is up, as far as the client knows."""
        return self.client.is_connected

    def unanswered_s(self) -> float:
        """Return for how many seconds the server has not answered a request, 0.0 if it has answered the last one."""
        since_s = self.client.unanswered_since_s
        return 0.0 if since_s is None else clock.monotonic_s() - since_s

    async def connect(self) -> None:
        """
        Try each server once, in random order, for at most `connect_timeout_s` each.

        Raises:
            Retryable: No server is reachable.
            Fatal: The login or the certificate is refused, or a configured file cannot be used.
        """
        servers = self._settings.servers
        options = self._options()
        errors: list[Retryable | Fatal] = []
        for server in random.sample(servers, len(servers)):
            error = await self._attempt(server, options)
            if error is None:
                self._servers, self._established = servers, True
                self._note_server()
                self.client.add_servers([other for other in servers if other != server])
                return
            errors.append(connection_error(error, (server,)))
        raise merge(errors)

    async def _attempt(self, server: str, options: dict[str, Any]) -> BaseException | None:
        """Try to connect to one server; return the error, or None if the connection is established."""
        self._servers = (server,)
        self._reset()
        require_tls = self._settings.tls is not None or server.startswith("tls://")
        self.client = client = DirectClient(require_tls, bool(self._settings.tls and self._settings.tls.cert_file))
        attempt = asyncio.ensure_future(client.connect(servers=[server], **options))
        attempt.add_done_callback(self._on_attempt_done)
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._decided.wait()
        except TimeoutError:
            pass
        finally:
            if not client.is_connected:
                await self._abandon(attempt)
        if client.is_connected:
            return None
        failure = attempt.exception() if attempt.done() and not attempt.cancelled() else None
        cause = root_cause([*self._errors, *([failure] if failure else [])])
        return self._timeout() if cause is None or isinstance(cause, TimeoutError) else cause

    def _timeout(self) -> ConnectTimeout:
        tls = self._settings.tls
        hint = "check nats.tls.handshake_first, which must match the server's setting"
        return ConnectTimeout(
            f"no answer within {self._settings.connect_timeout_s:g} s", hint if tls and tls.handshake_first else None
        )

    def _on_attempt_done(self, attempt: "asyncio.Future[None]") -> None:
        # A connection that is lost during the handshake can look like a success; then another event follows.
        if attempt.cancelled() or attempt.exception() or self.client.is_connected:
            self._decided.set()

    async def _abandon(self, attempt: "asyncio.Future[None]") -> None:
        for _ in range(_CANCEL_ATTEMPTS):
            attempt.cancel()
            await asyncio.wait((attempt,), timeout=0.05)
            if attempt.done():
                break
        await self.close()
        self.client.abort()

    def _note_server(self) -> None:
        """Remember the server in use, which the client does not know any more after it is lost."""
        url = self.client.connected_url
        self.server = without_credentials((str(url.netloc),)) if url else ""

    async def close(self) -> None:
        """Close the connection without draining it; unacknowledged messages are redelivered."""
        self._closing = True
        try:
            await asyncio.wait_for(self.client.close(), _CLOSE_S_MAX)
        except AssertionError:
            log.debug("nats client was never connected")
        except (TimeoutError, nats.errors.Error, OSError):
            log.debug("closing the nats connection failed", exc_info=True)

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {
            "name": self._name,
            "error_cb": self._on_error,
            "reconnected_cb": self._on_reconnected,
            "disconnected_cb": self._on_disconnected,
            "closed_cb": self._on_closed,
            "connect_timeout": settings.connect_timeout_s,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": settings.reconnect_wait_s,
            "ping_interval": settings.ping_interval_s,
            "max_outstanding_pings": _PINGS_OUTSTANDING_MAX,
            "pending_size": _PENDING_BYTES_MAX,
        }
        if settings.inbox_prefix:
            options["inbox_prefix"] = settings.inbox_prefix
        return options | tls_options(settings) | login_options(settings)

    def _reset(self) -> None:
        """Forget the errors of an earlier outage."""
        self._errors.clear()
        self._decided = asyncio.Event()
        self._refused = self._closing = self._established = False

    async def _on_error(self, error: BaseException) -> None:
        if permission := denied_permission(error):
            self._report(str(self.client.deny(permission)))
            return
        self._errors.append(error)
        del self._errors[:-_ERRORS_KEPT]
        if not is_disconnect(error) or len(self._errors) >= _DISCONNECTS_MAX:
            self._decided.set()
        mapped = connection_error(error, self._servers)
        if isinstance(mapped, Fatal):
            self._refused = True
            self._report(str(mapped))
            if self._established and not self.client.is_connected:
                self._closer = asyncio.ensure_future(self.close())
        elif not self._refused:
            # After a refusal, this error is its consequence and would hide it.
            self._report(str(mapped))

    def _report(self, text: str) -> None:
        if text != self.last_error:
            log.warning("nats error", extra={"error": text})
        self.last_error = text

    async def _on_disconnected(self) -> None:
        self.client.fail_requests()
        if not self._closing:
            self._errors.clear()
            self.last_error = f"lost the connection to NATS server {self.server}; reconnecting"
            log.warning("nats disconnected", extra={"server": self.server})
            if self._established and self.on_disconnect is not None:
                self.on_disconnect(self.last_error)

    async def _on_closed(self) -> None:
        if not self._closing and self.client.last_error is not None:
            self._report(str(connection_error(self.client.last_error, self._servers)))

    async def _on_reconnected(self) -> None:
        self._decided.set()
        self._refused = False
        self.reconnects += 1
        self._note_server()
        log.info("nats reconnected", extra={"server": self.server})
        if self.on_reconnect is not None:
            self.on_reconnect()
