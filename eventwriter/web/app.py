"""The HTTP application: one table of paths, one short handler for each, and the headers of every response."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from eventwriter import clock
from eventwriter.web import exposition
from eventwriter.web.auth import SESSION_S, Access, is_cross_site
from eventwriter.web.broadcast import Broadcast
from eventwriter.web.connections import ConnectionLimit
from eventwriter.web.poller import SnapshotPoller

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the dashboard."""

    body: bytes
    media_type: str
    etag: str

    @property
    def is_page(self) -> bool:
        """Whether the file is a page with a path of its own."""
        return self.media_type.startswith("text/html")

    def response(self, known: str | None = None, status: int = 200) -> web.Response:
        """
        Return the file as a response, or 304 if the client has it already.

        Args:
            known: The If-None-Match header of the request.
            status: HTTP status.
        """
        headers = {"Content-Type": self.media_type, "ETag": self.etag, "Cache-Control": "no-cache"}
        if known == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, status=status, headers=headers)


def assets() -> dict[str, Asset]:
    """Read all files of the dashboard; by name."""
    result = {}
    for file in files("eventwriter.web").joinpath("static").iterdir():
        if media_type := MEDIA_TYPES.get(file.name.rpartition(".")[2]):
            body = file.read_bytes()
            result[file.name] = Asset(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    wrong = result["login.html"].body.replace(b'id="wrong" hidden', b'id="wrong"')
    result["login-wrong.html"] = Asset(wrong, MEDIA_TYPES["html"], '"wrong"')
    return result


OK, UNAVAILABLE = 200, 503
CODES: Mapping[str, int] = {"healthy": OK, "starting": OK, "degraded": UNAVAILABLE, "failing": UNAVAILABLE}
"""HTTP status of `/api/health` by health."""
SLOT_FIELDS = (
    "name", "health", "reason", "state", "worker_state", "lag_messages", "lag_s", "last_commit_at_ns", "restarts",
)  # fmt: skip
"""Fields of each slot in `/api/health`."""


def health(snapshot: Mapping[str, Any] | None, age_s: float | None) -> tuple[int, dict[str, Any]]:
    """
    Return the HTTP status and the body of `/api/health`.

    Args:
        snapshot: A fresh snapshot, or None.
        age_s: Age of the last snapshot; None if there never was one.
    """
    if snapshot is None:
        duration = "" if age_s is None else f" for {age_s:.0f} s"
        return UNAVAILABLE, {
            "status": "unknown",
            "reason": f"the supervisor has sent no snapshot{duration}",
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
        "slots": [{key: slot[key] for key in SLOT_FIELDS} for slot in snapshot["slots"]],
    }


CLIENTS_MAX = 64
"""Most open dashboards; each is sent one view a second."""
SEND_S_MAX = 20.0
"""A dashboard that accepts no data for this long is disconnected."""
FORM_BYTES_MAX = 4096
FORM_FIELDS_MAX = FORM_BYTES_MAX
"""A field has at least one character, so that this limit never raises."""
FORM_TYPE = "application/x-www-form-urlencoded"
WRONG_TOKEN_S = 0.5
"""Delay of the response to a wrong token."""
WRONG_TOKENS_MAX = 16
"""Most delayed responses at once; further logins are rejected."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every response. Pages load nothing from other hosts and cannot be framed."""

PUBLIC = ("/login", "/static/")
"""Paths that need no token: the login page and its files. They reveal nothing about the daemon."""

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class WebApp:
    """
    All handlers and the data that they serve. Owned by the web child's event loop.

    Attributes:
        limit: Limit on connections; None before the first listening socket.
        requests: Number of requests.
    """

    poller: SnapshotPoller
    broadcast: Broadcast
    access: Access
    limit: ConnectionLimit | None = None
    requests: int = 0
    assets: dict[str, Asset] = field(default_factory=assets)
    _delayed: int = 0
    """Responses to wrong tokens that are being delayed."""
    _metrics: tuple[int, dict[str, tuple[bytes, str]]] = (0, {})
    """Identity of a snapshot, and its text by Accept header: several scrapers may ask within a second."""

    def app(self) -> web.Application:
        """Return the aiohttp application."""
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
        app.on_response_prepare.append(add_headers)
        return app

    async def page(self, _request: web.Request) -> web.StreamResponse:
        """Serve the dashboard."""
        return self.assets["index.html"].response()

    async def static(self, request: web.Request) -> web.StreamResponse:
        """Serve a script, style sheet or icon."""
        asset = self.assets.get(request.match_info["name"])
        if asset is None or asset.is_page:
            raise web.HTTPNotFound(text="no such file\n")
        return asset.response(request.headers.get("If-None-Match"))

    async def health(self, _request: web.Request) -> web.StreamResponse:
        """Serve the health of the daemon and of its slots."""
        code, body = health(self.poller.fresh(), self.poller.age_s)
        return as_json(body, code)

    async def status(self, _request: web.Request) -> web.StreamResponse:
        """Serve the snapshot, as `eventwriter-ctl status --json` prints it."""
        snapshot = self.poller.fresh()
        if snapshot is None:
            return as_json({"error": "no snapshot from the supervisor"}, UNAVAILABLE)
        return as_json(snapshot)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Serve the metrics; without a fresh snapshot an error, so that Prometheus records `up` as 0."""
        snapshot, age_s = self.poller.fresh(), self.poller.age_s
        if snapshot is None or age_s is None:
            raise web.HTTPServiceUnavailable(text="no snapshot from the supervisor\n")
        if self._metrics[0] != id(snapshot):
            self._metrics = (id(snapshot), {})
        accept, texts = request.headers.get("Accept", "")[:256], self._metrics[1]
        if accept not in texts and len(texts) < 8:
            texts[accept] = exposition.text(exposition.Exposition(snapshot, round(age_s, 3)), accept)
        body, media_type = texts[accept] if accept in texts else next(iter(texts.values()))
        return web.Response(body=body, headers={"Content-Type": media_type})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream the views to a dashboard, one a second."""
        if self.broadcast.clients >= CLIENTS_MAX:
            raise web.HTTPServiceUnavailable(text=f"{CLIENTS_MAX} dashboards are open; close one\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        response.force_close()
        self.broadcast.clients += 1
        try:
            await self._stream(request, response)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass
        finally:
            self.broadcast.clients -= 1
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse) -> None:
        async with asyncio.timeout(SEND_S_MAX):
            await response.prepare(request)
            await response.write(self.broadcast.first_event(self.access.needs_token))
        while (event := await self.broadcast.next_event()) and self._allows(request):
            async with asyncio.timeout(SEND_S_MAX):
                await response.write(event)
            self._mark_active(request)
        with contextlib.suppress(ConnectionError):
            await response.write_eof()

    async def login_page(self, _request: web.Request) -> web.StreamResponse:
        """Serve the login page."""
        return self.assets["login.html"].response()

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Set a session cookie if the token is right."""
        if request.content_type != FORM_TYPE:  # other forms, and charsets, need parsers that raise before a login
            raise web.HTTPUnsupportedMediaType(text=f"the login form must be {FORM_TYPE}\n")
        form = parse_qs((await request.read()).decode("utf-8", "replace"), max_num_fields=FORM_FIELDS_MAX)
        session = self.access.login(form.get("token", [""])[0], clock.now_ns() / 1e9)
        if session is None:
            # Only wrong tokens are limited, so that nobody locks others out.
            if self._delayed >= WRONG_TOKENS_MAX:
                raise web.HTTPTooManyRequests(text="too many wrong tokens; wait a second\n")
            self._delayed += 1
            await asyncio.sleep(WRONG_TOKEN_S)
            self._delayed -= 1
            return self.assets["login-wrong.html"].response(status=403)
        response = web.HTTPSeeOther("/")
        response.set_cookie(
            self.access.cookie_name, session, max_age=int(SESSION_S), path="/", httponly=True, samesite="Strict",
            secure=self.access.is_secure,
        )  # fmt: skip
        return response

    async def logout(self, _request: web.Request) -> web.StreamResponse:
        """Delete the session cookie."""
        response = web.HTTPSeeOther("/login")
        response.del_cookie(self.access.cookie_name, path="/")
        return response

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handle) -> web.StreamResponse:
            self.requests += 1
            self._mark_active(request)
            if request.method not in ("GET", "HEAD") and is_cross_site(request.headers):
                raise web.HTTPForbidden(text="the request comes from another site\n")
            if not self._allows(request) and not (self.access.needs_token and request.path.startswith(PUBLIC)):
                return self._reject(request)
            return await handler(request)

        return guard

    def _allows(self, request: web.Request) -> bool:
        return self.access.allows(request.headers, request.cookies, clock.now_ns() / 1e9)

    def _mark_active(self, request: web.Request) -> None:
        if self.limit is not None:
            self.limit.mark_active(request.protocol)

    def _reject(self, request: web.Request) -> web.StreamResponse:
        if not self.access.needs_token:
            raise web.HTTPForbidden(
                text="the Host header is not a local name; without http.token_file only requests to localhost are"
                " allowed\n"
            )
        if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", ""):
            raise web.HTTPSeeOther("/login")
        raise web.HTTPUnauthorized(
            text="a token is required; send the header `Authorization: Bearer …` with the content of http.token_file\n",
            headers={"WWW-Authenticate": 'Bearer realm="eventwriter"'},
        )


def as_json(body: dict[str, Any], status: int = OK) -> web.Response:
    """Return a JSON response."""
    return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json")


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every response."""
    for name, value in SECURITY_HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "eventwriter"
