"""
Main loop of the web child: polls the supervisor, serves HTTP, sends heartbeats, and exits on request.

If it cannot serve (the port is taken, the token cannot be read), it logs the reason once, shows
it in `status` and retries. Such an error never ends the process, and the end of the process
never affects the other processes.
"""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from eventwriter.config.settings import HttpSettings, Settings
from eventwriter.control.worker_link import receive_commands, send_heartbeat
from eventwriter.observe import logging as logs
from eventwriter.observe.process import own_usage
from eventwriter.web.app import WebApp
from eventwriter.web.auth import Access, CannotServe, file_signature
from eventwriter.web.broadcast import Broadcast
from eventwriter.web.connections import ConnectionLimit
from eventwriter.web.poller import SnapshotPoller

RETRY_S = 2.0
"""Pause before another attempt to serve."""
KEEP_ALIVE_S = 20.0
SHUTDOWN_S_MAX = 1.0
HANDSHAKE_S_MAX = 5.0
BACKLOG = 128

LISTEN_ERRORS = {
    errno.EADDRINUSE: ("address_in_use", "stop the other program that listens there, or choose another port"),
    errno.EADDRNOTAVAIL: ("address_not_local", "choose an address of this machine"),
    errno.EACCES: ("port_not_permitted", "choose a port above 1023, or grant CAP_NET_BIND_SERVICE"),
}
"""Code and hint by error number."""

log = logging.getLogger(__name__)


class WebChild:
    """
    State of the web child. Owned by its event loop.

    Args:
        settings: Settings with `http.listen`.
        control: Path of the supervisor's control socket.
        link: The child's end of the socket pair to the supervisor.
    """

    def __init__(self, settings: Settings, control: str, link: socket.socket) -> None:
        self.http, self.link = settings.http, link
        self.heartbeat_s = settings.supervisor.heartbeat_s
        self.access = Access(settings.http)
        self.broadcast = Broadcast()
        self.poller = SnapshotPoller(control, self.broadcast.publish)
        self.app = WebApp(self.poller, self.broadcast, self.access)
        self.reason: str | None = "starting"
        self._stop = asyncio.Event()
        self._tls: tuple[ssl.SSLContext, tuple[tuple[int, ...], ...]] | None = None

    async def run(self) -> None:
        """Run until the supervisor requests a stop."""
        loop = asyncio.get_running_loop()
        self.link.setblocking(False)
        loop.add_reader(self.link.fileno(), self._handle_commands)
        heartbeats, polling, serving = (
            asyncio.ensure_future(one) for one in (self._send_heartbeats(), self.poller.run(), self._serve())
        )
        tasks = [heartbeats, polling, serving]
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        loop.remove_reader(self.link.fileno())
        self.broadcast.close()
        heartbeats.cancel()
        polling.cancel()
        self._stop.set()
        # `_serve` is not cancelled, so that it can close its connections.
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self.poller.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _handle_commands(self) -> None:
        for command in receive_commands(self.link):
            match command.get("type"):
                case "drain" | "stop":
                    self._stop.set()
                case "log_level":
                    logs.set_options(str(command.get("level", "info")), command.get("format"))

    async def _send_heartbeats(self) -> None:
        while True:
            send_heartbeat(self.link, self._heartbeat())
            logs.write_summaries()
            await asyncio.sleep(self.heartbeat_s)
            self.access.refresh()
            self._refresh_certificate()

    def _heartbeat(self) -> Mapping[str, Any]:
        return {
            "state": "waiting" if self.reason else "running",
            "reason": self.reason,
            "url": f"{'https' if self.http.cert_file else 'http'}://{self.access.address}/",
            "listening": self.reason is None,
            "clients": self.broadcast.clients,
            "requests_total": self.app.requests,
            **own_usage(),
        }

    async def _serve(self) -> None:
        """Serve until a stop is requested, retrying while that is impossible."""
        while not self._stop.is_set():
            try:
                await self._serve_once()
            except CannotServe as error:
                self._set_reason(str(error))
                try:
                    async with asyncio.timeout(RETRY_S):
                        await self._stop.wait()
                except TimeoutError:
                    pass

    async def _serve_once(self) -> None:
        """
        Listen and serve until a stop is requested.

        Raises:
            CannotServe: The token, the certificate or the address cannot be used.
        """
        self.access.load()
        context = self._tls_context()
        runner = web.AppRunner(
            self.app.app(), access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=SHUTDOWN_S_MAX
        )
        await runner.setup()
        try:
            assert runner.server is not None, "setup creates the server"
            self.app.limit = limit = ConnectionLimit(runner.server)
            server = await self._listen(limit, context)
            self._set_reason(None)
            await self._stop.wait()
            server.close()
        finally:
            await runner.cleanup()

    async def _listen(self, limit: ConnectionLimit, context: ssl.SSLContext | None) -> asyncio.Server:
        address = self.access.address
        try:
            return await asyncio.get_running_loop().create_server(
                limit, address.host, address.port, ssl=context, backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_S_MAX if context else None,
            )  # fmt: skip
        except OSError as error:
            raise listen_error(str(address), error) from None

    def _set_reason(self, reason: str | None) -> None:
        """Log and report a changed reason for not serving; None when serving."""
        if reason == self.reason:
            return
        self.reason = reason
        if reason:
            log.error("cannot serve; retrying every few seconds", extra={"reason": reason})
        else:
            log.info("serving", extra={"url": self._heartbeat()["url"], "token": self.access.needs_token})
        send_heartbeat(self.link, self._heartbeat())

    def _tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS context, None for plain HTTP; raises CannotServe if the certificate cannot be used."""
        if self.http.cert_file is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        load_certificate(context, self.http)
        self._tls = (context, certificate_signature(self.http))
        return context

    def _refresh_certificate(self) -> None:
        """Load a renewed certificate for new connections; if it cannot be used, the old one stays in force."""
        if self._tls is None or (signature := certificate_signature(self.http)) == self._tls[1]:
            return
        self._tls = (self._tls[0], signature)
        try:
            load_certificate(self._tls[0], self.http)
        except CannotServe as error:
            log.warning("the new certificate cannot be used; the old one stays in force", extra={"error": str(error)})
        else:
            log.info("certificate reloaded", extra={"path": self.http.cert_file})


def load_certificate(context: ssl.SSLContext, http: HttpSettings) -> None:
    """
    Load the certificate and its key.

    Raises:
        CannotServe: A file cannot be read, or the certificate and the key do not match.
    """
    assert http.cert_file is not None
    for key, path in (("cert_file", http.cert_file), ("key_file", http.key_file)):
        try:
            if path:
                with open(path, "rb"):
                    pass
        except OSError as error:
            raise CannotServe(
                f"http.{key}: cannot read {path}: {error.strerror}",
                code="certificate_unreadable",
                hint="check the path and its permissions",
            ) from None
    try:
        context.load_cert_chain(http.cert_file, http.key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise CannotServe(
            f"http.cert_file: {http.cert_file} and its key {http.key_file or 'in the same file'} cannot be used:"
            f" {reason}",
            code="certificate_invalid",
            hint="provide a PEM certificate and its own key without a passphrase",
        ) from None


def certificate_signature(http: HttpSettings) -> tuple[tuple[int, ...], ...]:
    """Return a value that changes when the certificate or its key does."""
    return tuple(file_signature(path) for path in (http.cert_file, http.key_file) if path)


def listen_error(address: str, error: OSError) -> CannotServe:
    """Return the error for an address that cannot be listened on."""
    if isinstance(error, socket.gaierror):
        code, hint = "unknown_host", "use a host name that resolves, or an address such as 127.0.0.1"
        reason = error.strerror
    else:
        code, hint = LISTEN_ERRORS.get(error.errno or 0, ("listen_failed", "check the address and the port"))
        reason = os.strerror(error.errno or 0)
    return CannotServe(f"http.listen: cannot listen on {address}: {reason}", code=code, hint=hint)


def run(settings: Settings, control: str, link: socket.socket) -> int:
    """
    Run the web child until the supervisor requests a stop; return the exit code of the process.

    Args: as for `WebChild`.
    """

    async def main() -> None:
        await WebChild(settings, control, link).run()

    asyncio.run(main())
    return 0
