"""
Connecting to NATS, and what its refusals mean.

nats-py retries a first connection for ever and can hang on a failed TLS
verification, so one attempt is made here under a time limit and its causes are
collected from the error callback; who calls decides when to try again. Once
connected, nats-py reconnects by itself, for ever.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import nats.errors

from eventwriter.config.settings import NatsSettings, NatsTls
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.client import ShortClient

log = logging.getLogger(__name__)

_PINGS_OUTSTANDING_MAX = 2
"""A server that answers no ping is left after this many: 20–30 s with the default interval."""

_PENDING_BYTES_MAX = 16 * 1024 * 1024
"""Bytes nats-py may hold while it reconnects; acks of one worker never come near."""


def shown(servers: tuple[str, ...]) -> str:
    """Return the server list for people: without user, password or token in the URLs."""
    return ", ".join(
        f"{scheme}{sep}{rest.rsplit('@', 1)[-1]}" for scheme, sep, rest in (s.partition("://") for s in servers)
    )


def tls_context(tls: NatsTls) -> ssl.SSLContext:
    """
    Build the TLS context; the server's certificate is always verified.

    Raises:
        Fatal: A certificate or key file cannot be read or used.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(f) for f in (tls.ca_file, tls.cert_file, tls.key_file) if f)
        raise Fatal(
            f"nats.tls: cannot use the certificate files {files}: {error}; check paths, permissions and PEM format"
        ) from error
    return context


def sentence(error: BaseException, servers: tuple[str, ...]) -> Retryable | Fatal:
    """Map one of nats-py's (or the socket's) exceptions to a sentence and a family."""
    where = shown(servers)
    text = str(error).strip().strip("'\"").removeprefix("nats: ") or type(error).__name__
    if isinstance(error, nats.errors.AuthorizationError) or "authorization violation" in text.lower():
        return Fatal(
            f"NATS at {where} refused the login: check nats.user/password, token, creds_file or nkey_seed_file"
        )
    if isinstance(error, nats.errors.InvalidUserCredentialsError):
        return Fatal(f"NATS credentials cannot be used: {text}; check nats.creds_file or nats.nkey_seed_file")
    if isinstance(error, ssl.SSLError):
        return Fatal(f"TLS to NATS at {where} failed: {text}; check nats.tls.ca_file, cert_file and server_name")
    if isinstance(error, nats.errors.SecureConnRequiredError | nats.errors.SecureConnWantedError):
        return Fatal(f"NATS at {where}: {text}; set or remove nats.tls")
    return Retryable(f"cannot reach NATS at {where}: {text}")


def decisive(causes: Sequence[BaseException], servers: tuple[str, ...]) -> BaseException:
    """
    Return which of one attempt's causes to tell: a refusal before an outage, the newest of its family.

    A server that refuses a login says so and closes at once, often with a reset
    of the connection, which then arrives as one cause more.
    """
    refusals = [cause for cause in causes if isinstance(sentence(cause, servers), Fatal)]
    return (refusals or causes)[-1]


class NatsLink:
    """
    One worker's connection to NATS, and the words for what happens to it.

    Written by the worker's event loop only.
    """

    def __init__(self, settings: NatsSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self.client = ShortClient()
        self.reconnects = 0
        self.last_error: str | None = None
        self.on_reconnect: Callable[[], None] | None = None
        self._causes: list[BaseException] = []

    @property
    def connected(self) -> bool:
        """Whether the connection is up at this moment, as far as the client knows."""
        return self.client.is_connected

    async def connect(self) -> None:
        """
        Make one attempt, under `connect_timeout_s`.

        Raises:
            Retryable: Nobody answers, or the answer is not NATS.
            Fatal: The login or the certificate is refused.
        """
        settings = self._settings
        options = self._options()
        attempt = asyncio.ensure_future(self.client.connect(servers=list(settings.servers), **options))
        limit_s = settings.connect_timeout_s
        waited_s = 0.0
        # The causes arrive by callback while nats-py goes on trying: leave at the first full round of refusals.
        while not attempt.done() and waited_s < limit_s and len(self._causes) < len(settings.servers):
            await asyncio.wait({attempt}, timeout=0.05)
            waited_s += 0.05
        if attempt.done() and not attempt.cancelled() and attempt.exception() is None:
            return
        last = attempt.exception() if attempt.done() and not attempt.cancelled() else None
        attempt.cancel()
        await self.close()
        causes = [*self._causes, last] if last else self._causes
        cause = decisive(causes or [TimeoutError(f"no answer within {limit_s:g} s")], settings.servers)
        raise sentence(cause, settings.servers) from cause

    async def close(self) -> None:
        """Close without ceremony; what is unacknowledged is delivered again."""
        try:
            await asyncio.wait_for(self.client.close(), 2.0)
        except (TimeoutError, nats.errors.Error, OSError):
            log.debug("closing NATS failed", exc_info=True)

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {
            "name": self._name,
            "error_cb": self._on_error,
            "reconnected_cb": self._on_reconnected,
            "disconnected_cb": self._on_disconnected,
            "connect_timeout": settings.connect_timeout_s,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": settings.reconnect_wait_s,
            "ping_interval": settings.ping_interval_s,
            "max_outstanding_pings": _PINGS_OUTSTANDING_MAX,
            "pending_size": _PENDING_BYTES_MAX,
        }
        if settings.inbox_prefix:
            options["inbox_prefix"] = settings.inbox_prefix
        if settings.tls is not None:
            options["tls"] = tls_context(settings.tls)
            options["tls_handshake_first"] = settings.tls.handshake_first
            if settings.tls.server_name:
                options["tls_hostname"] = settings.tls.server_name
        if settings.creds_file:
            options["user_credentials"] = settings.creds_file
        elif settings.nkey_seed_file:
            options["nkeys_seed"] = settings.nkey_seed_file
        elif settings.user:
            # Read anew at every connect: a rotated password file is picked up by the next reconnect.
            options["user"] = settings.user
            options["password"] = lambda: settings.read_password() or ""
        elif settings.read_token() is not None:
            options["token"] = lambda: settings.read_token() or ""
        return options

    async def _on_error(self, error: BaseException) -> None:
        self._causes.append(error)
        del self._causes[:-16]
        self.last_error = str(sentence(error, self._settings.servers))
        log.warning("nats error", extra={"error": self.last_error})

    async def _on_disconnected(self) -> None:
        log.warning("nats disconnected", extra={"servers": shown(self._settings.servers)})

    async def _on_reconnected(self) -> None:
        self.reconnects += 1
        log.info(
            "nats reconnected",
            extra={"server": shown((str(self.client.connected_url.netloc),)) if self.client.connected_url else ""},
        )
        if self.on_reconnect is not None:
            self.on_reconnect()
