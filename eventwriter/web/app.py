"""
What is served where: one literal table of paths, one short handler each, and what every answer carries.
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from aiohttp import web

from eventwriter import clock
from eventwriter.web import exposition
from eventwriter.web.auth import SESSION_S, Access
from eventwriter.web.broadcast import Board
from eventwriter.web.connections import Door
from eventwriter.web.poller import Feed

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    body: bytes
    media_type: str
    etag: str

    @property
    def is_page(self) -> bool:
        """Whether it is a page with a path of its own."""
        return self.media_type.startswith("text/html")

    def response(self, known: str | None = None, status: int = 200) -> web.Response:
        """
        Return it as an answer; a short one where the reader has it already.

        Args:
            known: The reader's If-None-Match header.
            status: HTTP's.
        """
        headers = {"Content-Type": self.media_type, "ETag": self.etag, "Cache-Control": "no-cache"}
        if known == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, status=status, headers=headers)


def assets() -> dict[str, Asset]:
    """Read all files; by name."""
    found = {}
    for file in files("eventwriter.web").joinpath("static").iterdir():
        if media_type := MEDIA_TYPES.get(file.name.rpartition(".")[2]):
            body = file.read_bytes()
            found[file.name] = Asset(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    wrong = found["login.html"].body.replace(b'id="wrong" hidden', b'id="wrong"')
    found["login-wrong.html"] = Asset(wrong, MEDIA_TYPES["html"], '"wrong"')
    return found


OK, UNAVAILABLE = 200, 503
CODES: Mapping[str, int] = {"healthy": OK, "starting": OK, "degraded": UNAVAILABLE, "failing": UNAVAILABLE}
SHOWN = ("name", "health", "reason", "state", "worker_state", "lag_messages", "lag_s", "last_commit_at_ns", "restarts")
"""What is shown of each slot."""


def health(snapshot: Mapping[str, Any] | None, age_s: float | None) -> tuple[int, dict[str, Any]]:
    """
    Return the HTTP status and the answer.

    Args:
        snapshot: Fresh, or None where the supervisor gives none.
        age_s: How old the last one is; None where there never was one.
    """
    if snapshot is None:
        seconds = "" if age_s is None else f" for {age_s:.0f} s"
        return UNAVAILABLE, {
            "status": "unknown",
            "reason": f"the supervisor has given no snapshot{seconds}",
            "snapshot_age_s": age_s if age_s is None else round(age_s, 1),
            "slots": [],
        }
    return CODES[snapshot["status"]], {
        "status": snapshot["status"],
        "reason": snapshot["reason"],
        "stopping": snapshot["stopping"],
        "version": snapshot["version"],
        "uptime_s": snapshot["uptime_s"],
        "snapshot_age_s": round(age_s or 0.0, 1),
        "nats": snapshot["nats"],
        "postgres": snapshot["postgres"],
        "slots": [{key: slot[key] for key in SHOWN} for slot in snapshot["slots"]],
    }


READERS_MAX = 64  # dashboards; each is sent one picture a second
TAKE_S_MAX = 20.0  # a reader that takes nothing for so long is gone, or might as well be
FORM_BYTES_MAX = 4096
WRONG_TOKEN_S = 0.5  # a wrong token's answer takes this long
WRONG_TOKENS_MAX = 16  # at once; more are turned away

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer. Nothing is loaded from elsewhere, and nobody may frame us."""

PUBLIC = ("/login", "/static/")
"""Paths that need no token: the login page and what it is made of. Nothing of the daemon is in them."""

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Site:
    """All handlers and what they read; owned by the web child's loop."""

    feed: Feed
    board: Board
    access: Access
    door: Door | None = None
    requests: int = 0
    assets: dict[str, Asset] = field(default_factory=assets)
    _wrong: int = 0
    _metrics: tuple[int, dict[str, tuple[bytes, str]]] = (0, {})
    """The snapshot's identity, and its text for each Accept header: scrapers ask more than once a second at times."""

    def app(self) -> web.Application:
        """Return what talks HTTP."""
        app = web.Application(middlewares=[self._guard()], client_max_size=FORM_BYTES_MAX)
        for path, handler in {
            "/": self.page,
            "/login": self.login_page,
            "/static/{name}": self.static,
            "/api/health": self.health,
            "/api/status": self.status,
            "/api/events": self.events,
            "/metrics": self.metrics,
        }.items():
            app.router.add_get(path, handler)
        app.router.add_post("/login", self.login)
        app.router.add_post("/logout", self.logout)
        app.on_response_prepare.append(decorate)
        return app

    async def page(self, _request: web.Request) -> web.StreamResponse:
        """The dashboard."""
        return self.assets["index.html"].response()

    async def static(self, request: web.Request) -> web.StreamResponse:
        """What pages are made of."""
        asset = self.assets.get(request.match_info["name"])
        if asset is None or asset.is_page:
            raise web.HTTPNotFound(text="there is no such file\n")
        return asset.response(request.headers.get("If-None-Match"))

    async def health(self, _request: web.Request) -> web.StreamResponse:
        """Whether everything is written that comes in."""
        code, answer = health(self.feed.fresh(), self.feed.age_s)
        return as_json(answer, code)

    async def status(self, _request: web.Request) -> web.StreamResponse:
        """The snapshot, as `eventwriter-ctl status --json` shows it."""
        snapshot = self.feed.fresh()
        return as_json({"error": "the supervisor gives no snapshot"}, 503) if snapshot is None else as_json(snapshot)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The snapshot for Prometheus; none rather than a stale one, so that `up` says so."""
        snapshot, age_s = self.feed.fresh(), self.feed.age_s
        if snapshot is None or age_s is None:
            raise web.HTTPServiceUnavailable(text="the supervisor gives no snapshot\n")
        if self._metrics[0] != id(snapshot):
            self._metrics = (id(snapshot), {})
        accept, texts = request.headers.get("Accept", "")[:256], self._metrics[1]
        if accept not in texts and len(texts) < 8:
            texts[accept] = exposition.text(exposition.Exposition(snapshot, round(age_s, 3)), accept)
        body, media_type = texts[accept] if accept in texts else next(iter(texts.values()))
        return web.Response(body=body, headers={"Content-Type": media_type})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The dashboard's pictures, one a second, for as long as the reader takes them."""
        if self.board.readers >= READERS_MAX:
            raise web.HTTPServiceUnavailable(text=f"{READERS_MAX} dashboards are open: close one\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        response.force_close()
        self.board.readers += 1
        try:
            await self._show(request, response)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass
        finally:
            self.board.readers -= 1
        return response

    async def _show(self, request: web.Request, response: web.StreamResponse) -> None:
        async with asyncio.timeout(TAKE_S_MAX):
            await response.prepare(request)
            await response.write(self.board.hello(not self.access.is_open))
        while (picture := await self.board.next()) and self._allows(request):
            async with asyncio.timeout(TAKE_S_MAX):
                await response.write(picture)
            self._saw(request)
        with contextlib.suppress(ConnectionError):
            await response.write_eof()

    async def login_page(self, _request: web.Request) -> web.StreamResponse:
        """Where the token is asked for."""
        return self.assets["login.html"].response()

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Give a cookie for the right token."""
        if self._wrong >= WRONG_TOKENS_MAX:
            raise web.HTTPTooManyRequests(text="too many wrong tokens at once; wait a second\n")
        form = await request.post()
        session = self.access.login(str(form.get("token", "")), clock.now_ns() / 1e9)
        if session is None:
            self._wrong += 1
            await asyncio.sleep(WRONG_TOKEN_S)
            self._wrong -= 1
            return self.assets["login-wrong.html"].response(status=403)
        response = web.HTTPSeeOther("/")
        response.set_cookie(
            self.access.cookie_name, session, max_age=int(SESSION_S), path="/", httponly=True, samesite="Strict",
            secure=self.access.is_secure,
        )  # fmt: skip
        return response

    async def logout(self, _request: web.Request) -> web.StreamResponse:
        """Take the cookie back."""
        response = web.HTTPSeeOther("/login")
        response.del_cookie(self.access.cookie_name, path="/")
        return response

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handle) -> web.StreamResponse:
            self.requests += 1
            self._saw(request)
            if not self._allows(request) and not (not self.access.is_open and request.path.startswith(PUBLIC)):
                return self._refuse(request)
            return await handler(request)

        return guard

    def _allows(self, request: web.Request) -> bool:
        return self.access.allows(request.headers, request.cookies, clock.now_ns() / 1e9)

    def _saw(self, request: web.Request) -> None:
        if self.door is not None:
            self.door.saw(request.protocol)

    def _refuse(self, request: web.Request) -> web.StreamResponse:
        if self.access.is_open:
            raise web.HTTPForbidden(
                text="without http.token_file only requests to localhost are answered: the Host header is another\n"
            )
        if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", ""):
            raise web.HTTPSeeOther("/login")
        raise web.HTTPUnauthorized(
            text="a token is needed: send the header `Authorization: Bearer …` with what http.token_file holds\n",
            headers={"WWW-Authenticate": 'Bearer realm="eventwriter"'},
        )


def as_json(answer: dict[str, Any], status: int = 200) -> web.Response:
    """Return an answer as JSON."""
    return web.Response(body=json.dumps(answer).encode(), status=status, content_type="application/json")


async def decorate(_request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer carries."""
    for name, value in SECURITY.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "eventwriter"
