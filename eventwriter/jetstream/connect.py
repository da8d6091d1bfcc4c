"""
Connecting to NATS, and what it says while we are connected.

nats-py retries a first connection for ever and can hang on a failed TLS
verification, so here each server is tried by itself, under a time limit, and the
reason is what the error callback hears first; who calls decides when to try again.
Once connected, nats-py reconnects by itself, for ever, unless it is refused: then
the connection is given up, so that the next one begins with login and certificate
files as they are by then.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import nats.errors

from eventwriter.config.settings import NatsSettings
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.errors import decisive, denied, is_cut, sentence, shown, together
from eventwriter.jetstream.login import login_options, tls_options

log = logging.getLogger(__name__)

_PINGS_OUTSTANDING_MAX = 2
"""A server that answers no ping is left after this many: 20–30 s with the default interval."""

_PENDING_BYTES_MAX = 16 * 1024 * 1024
"""Bytes nats-py may hold while it reconnects; acks of one worker never come near."""

_CUTS_MAX = 3
"""Connections cut without a word before that is the answer: a refusal and its reset race, and the reset may win."""

_CANCEL_TRIES = 20
"""nats-py swallows a cancellation in some places, and goes on."""


class NatsLink:
    """
    One worker's connection to NATS, and the words for what happens to it.

    Written by the worker's event loop only.
    """

    def __init__(self, settings: NatsSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self.client = DirectClient()
        self.reconnects = 0
        self.last_error: str | None = None
        self.on_reconnect: Callable[[], None] | None = None
        self._where = settings.servers
        self._causes: list[BaseException] = []
        self._told = asyncio.Event()
        self._refused = self._closing = self._stood = False
        self._closer: asyncio.Future[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection is up at this moment, as far as the client knows."""
        return self.client.is_connected

    async def connect(self) -> None:
        """
        Try each server once, in random order, for at most `connect_timeout_s` each.

        Raises:
            Retryable: Nobody answers, or the answer is not NATS.
            Fatal: The login or the certificate is refused, or a file of ours cannot be used.
        """
        servers = self._settings.servers
        options = self._options()
        refusals: list[Retryable | Fatal] = []
        for server in random.sample(servers, len(servers)):
            cause = await self._attempt(server, options)
            if cause is None:
                self._where, self._stood = servers, True
                self.client.know([other for other in servers if other != server])
                return
            refusals.append(sentence(cause, (server,)))
        raise together(refusals)

    async def _attempt(self, server: str, options: dict[str, Any]) -> BaseException | None:
        """Return None where the connection stands, else the cause."""
        limit_s = self._settings.connect_timeout_s
        self._where = (server,)
        self._begin_again()
        secure = self._settings.tls is not None or server.startswith("tls://")
        self.client = client = DirectClient(secure, bool(self._settings.tls and self._settings.tls.cert_file))
        attempt = asyncio.ensure_future(client.connect(servers=[server], **options))
        attempt.add_done_callback(self._look)
        try:
            async with asyncio.timeout(limit_s):
                await self._told.wait()
        except TimeoutError:
            pass
        finally:
            if not client.is_connected:
                await self._abandon(attempt)
        if client.is_connected:
            return None
        failed = attempt.exception() if attempt.done() and not attempt.cancelled() else None
        cause = decisive([*self._causes, *([failed] if failed else [])])
        return self._silence() if cause is None or isinstance(cause, TimeoutError) else cause

    def _silence(self) -> TimeoutError:
        tls = self._settings.tls
        hint = " (nats.tls.handshake_first is set; has the server it too?)" if tls and tls.handshake_first else ""
        return TimeoutError(f"no answer within {self._settings.connect_timeout_s:g} s{hint}")

    def _look(self, attempt: "asyncio.Future[None]") -> None:
        # A connection that is cut in the middle of the handshake can look like a success: more is to come then.
        if attempt.cancelled() or attempt.exception() or self.client.is_connected:
            self._told.set()

    async def _abandon(self, attempt: "asyncio.Future[None]") -> None:
        for _ in range(_CANCEL_TRIES):
            attempt.cancel()
            await asyncio.wait((attempt,), timeout=0.05)
            if attempt.done():
                break
        await self.close()
        self.client.drop()

    async def close(self) -> None:
        """Close without ceremony; what is unacknowledged is delivered again."""
        self._closing = True
        try:
            await asyncio.wait_for(self.client.close(), 2.0)
        except AssertionError:
            log.debug("nothing to close: never connected")
        except (TimeoutError, nats.errors.Error, OSError):
            log.debug("closing NATS failed", exc_info=True)

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

    def _begin_again(self) -> None:
        """Forget what an earlier outage was about."""
        self._causes.clear()
        self._told = asyncio.Event()
        self._refused = self._closing = self._stood = False

    async def _on_error(self, error: BaseException) -> None:
        if what := denied(error):
            self._say(self.client.deny(what))
            return
        self._causes.append(error)
        del self._causes[:-16]
        if not is_cut(error) or len(self._causes) >= _CUTS_MAX:
            self._told.set()
        refusal = sentence(error, self._where)
        if isinstance(refusal, Fatal):
            self._refused = True
            self._say(str(refusal))
            if self._stood and not self.client.is_connected:
                self._closer = asyncio.ensure_future(self.close())
        elif not self._refused:
            # Else this is the refusal's consequence, and would hide it.
            self._say(str(refusal))

    def _say(self, text: str) -> None:
        if text != self.last_error:
            log.warning("nats error", extra={"error": text})
        self.last_error = text

    async def _on_disconnected(self) -> None:
        self.client.lose_answers()
        if not self._closing:
            self._causes.clear()
            log.warning("nats disconnected", extra={"servers": shown(self._where)})

    async def _on_closed(self) -> None:
        if not self._closing and self.client.last_error is not None:
            self._say(str(sentence(self.client.last_error, self._where)))

    async def _on_reconnected(self) -> None:
        self._told.set()
        self._refused = False
        self.reconnects += 1
        log.info(
            "nats reconnected",
            extra={"server": shown((str(self.client.connected_url.netloc),)) if self.client.connected_url else ""},
        )
        if self.on_reconnect is not None:
            self.on_reconnect()
