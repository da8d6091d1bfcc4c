"""
The web child's life: ask the supervisor, serve, say each second how it is, end when told to.

What keeps it from serving (a port that another program has, a token that cannot be
read) is one sentence in the log and in `status`, and is tried again. It never ends
the child, and the child's end never ends anything else.
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
from eventwriter.control.worker_link import beat, commands
from eventwriter.observe import logging as logs
from eventwriter.observe.process import own_usage
from eventwriter.web.app import Site
from eventwriter.web.auth import Access, CannotServe, signature
from eventwriter.web.broadcast import Board
from eventwriter.web.connections import Door, listen
from eventwriter.web.poller import Feed

RETRY_S = 2.0  # what kept us from serving is looked at again
KEEP_ALIVE_S = 20.0
SHUTDOWN_S_MAX = 1.0

WHY = {
    errno.EADDRINUSE: "another program listens there: end it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address: choose one of its own",
    errno.EACCES: "ports below 1024 need a right that this user has not: choose a higher one",
}

log = logging.getLogger(__name__)


class WebChild:
    """
    Everything of the web child; owned by its event loop.

    Args:
        settings: With `http.listen` set.
        control: Path of the control socket on which the supervisor answers.
        link: The child's end of the socket pair to the supervisor.
    """

    def __init__(self, settings: Settings, control: str, link: socket.socket) -> None:
        self.http, self.link = settings.http, link
        self.heartbeat_s = settings.supervisor.heartbeat_s
        self.access = Access(settings.http)
        self.board = Board()
        self.feed = Feed(control)
        self.feed.on_snapshot = self.board.take
        self.site = Site(self.feed, self.board, self.access)
        self.reason: str | None = "starting"
        self._stop = asyncio.Event()
        self._tls: tuple[ssl.SSLContext, tuple[tuple[int, ...], ...]] | None = None

    async def run(self) -> None:
        """Live until told to stop."""
        loop = asyncio.get_running_loop()
        self.link.setblocking(False)
        loop.add_reader(self.link.fileno(), self._hear)
        tasks = [asyncio.ensure_future(one) for one in (self._beat(), self.feed.run(), self._serve())]
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        loop.remove_reader(self.link.fileno())
        self.board.close()
        tasks[0].cancel()
        tasks[1].cancel()
        self._stop.set()
        # The first that failed has the reason; serving is given the time to close its connections.
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self.feed.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _hear(self) -> None:
        for command in commands(self.link):
            match command.get("type"):
                case "drain" | "stop":
                    self._stop.set()
                case "log_level":
                    logs.change(str(command.get("level", "info")), command.get("format"))

    async def _beat(self) -> None:
        while True:
            beat(self.link, self._facts())
            logs.tick()
            await asyncio.sleep(self.heartbeat_s)
            self.access.refresh()
            self._refresh_certificate()

    def _facts(self) -> Mapping[str, Any]:
        return {
            "state": "waiting" if self.reason else "running",
            "reason": self.reason,
            "url": f"{'https' if self.http.cert_file else 'http'}://{self.access.address}/",
            "listening": self.reason is None,
            "clients": self.board.readers,
            "requests_total": self.site.requests,
            **own_usage(),
        }

    async def _serve(self) -> None:
        """Serve until told to stop, beginning again and again until that is possible."""
        while not self._stop.is_set():
            try:
                await self._serve_once()
            except CannotServe as error:
                self._say(str(error))
                try:
                    async with asyncio.timeout(RETRY_S):
                        await self._stop.wait()
                except TimeoutError:
                    pass

    async def _serve_once(self) -> None:
        """
        Listen and serve until told to stop.

        Raises:
            Unusable: It cannot be listened.
        """
        self.access.load()
        context = self._context()
        address = self.access.address
        try:
            listeners = await listen(address.host, address.port)
        except OSError as error:
            raise CannotServe(f"http.listen {address}: {why(error)}") from None
        runner = web.AppRunner(
            self.site.app(), access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=SHUTDOWN_S_MAX
        )
        await runner.setup()
        try:
            assert runner.server is not None, "a runner that is set up has a server"
            self.site.door = door = Door(runner.server, context)
            opened = asyncio.ensure_future(door.open(listeners))
            self._say(None)
            await self._stop.wait()
            opened.cancel()
            await asyncio.wait([opened])
        finally:
            await runner.cleanup()

    def _say(self, reason: str | None) -> None:
        """Log and tell what keeps us from serving, when that has changed."""
        if reason == self.reason:
            return
        self.reason = reason
        if reason:
            log.error("not serving; tried again every few seconds", extra={"reason": reason})
        else:
            log.info("serving", extra={"url": self._facts()["url"], "token": not self.access.is_open})
        beat(self.link, self._facts())

    def _context(self) -> ssl.SSLContext | None:
        """Return TLS's context, None for plain HTTP; raises Unusable where its files cannot be used."""
        if self.http.cert_file is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        load_certificate(context, self.http)
        self._tls = (context, certificate_signature(self.http))
        return context

    def _refresh_certificate(self) -> None:
        """Take a renewed certificate for the connections to come; the old one stays where the new cannot be used."""
        if self._tls is None or (found := certificate_signature(self.http)) == self._tls[1]:
            return
        self._tls = (self._tls[0], found)
        try:
            load_certificate(self._tls[0], self.http)
        except CannotServe as error:
            log.warning("the old certificate stays in force", extra={"error": str(error)})
        else:
            log.info("certificate read again", extra={"path": self.http.cert_file})


def load_certificate(context: ssl.SSLContext, http: HttpSettings) -> None:
    """
    Read certificate and key.

    Raises:
        Unusable: A file cannot be read, or they do not belong together.
    """
    assert http.cert_file is not None
    for key, path in (("cert_file", http.cert_file), ("key_file", http.key_file)):
        try:
            if path:
                with open(path, "rb"):
                    pass
        except OSError as error:
            raise CannotServe(f"http.{key}: cannot read {path}: {error.strerror}; check path and permissions") from None
    try:
        context.load_cert_chain(http.cert_file, http.key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise CannotServe(
            f"http.cert_file: {http.cert_file} and its key {http.key_file or 'in the same file'} cannot be used:"
            f" {reason}; give a PEM certificate and its own key, without a passphrase"
        ) from None


def certificate_signature(http: HttpSettings) -> tuple[tuple[int, ...], ...]:
    """Return what changes when certificate or key do."""
    return tuple(signature(path) for path in (http.cert_file, http.key_file) if path)


def why(error: OSError) -> str:
    """Say why an address cannot be listened on, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"no machine has that name ({error.strerror}): write an address, like 127.0.0.1"
    return WHY.get(error.errno or 0) or os.strerror(error.errno or 0)


def run(settings: Settings, control: str, link: socket.socket) -> int:
    """
    Be the web child until told otherwise; returns the process's exit code.

    Args: as of `WebChild`.
    """

    async def main() -> None:
        await WebChild(settings, control, link).run()

    asyncio.run(main())
    return 0
