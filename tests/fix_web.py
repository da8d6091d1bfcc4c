"""A daemon with a web child, and an HTTP client for it. It needs no servers: it waits for them and reports that."""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fix_run import Run

from eventwriter.demo.process import free_port

WAIT_S = 30.0
NO_SERVERS: Mapping[str, Any] = {
    "nats": {"servers": ["nats://127.0.0.1:1"]},
    "postgres": {"dsn": "postgresql://u@127.0.0.1:1/x"},
    "streams": ["TELEMETRY"],
}


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class WebDaemon:
    """One daemon and the port of its web child."""

    run: Run
    config: dict[str, Any]
    port: int = field(default_factory=free_port)
    tls: ssl.SSLContext | None = None

    def start(self, **settings: Any) -> "WebDaemon":
        """Write the configuration with these keys of `http`, and start the daemon."""
        self.write(**settings)
        self.run.start()
        return self

    def write(self, **settings: Any) -> None:
        """Write the configuration with these keys of `http`."""
        http_settings = {"listen": f"127.0.0.1:{self.port}", **settings}
        config = {"enabled": True, "control": {"socket": self.run.socket}, **self.config, "http": http_settings}
        self.run.config.write_text(json.dumps(config))

    def get(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Response:
        """Send one request; header names are written with underscores."""
        if self.tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=10, context=self.tls
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Response(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def wait_until_served(self) -> "WebDaemon":
        """Wait until the web child responds."""

        def responds() -> bool:
            try:
                return self.get("/login").status > 0
            except OSError:
                return False

        until(responds, self.run.log)
        return self

    def web(self) -> dict[str, Any]:
        """Return the web child's part of the snapshot."""
        web: dict[str, Any] = (self.run.status() or {}).get("web") or {}
        return web

    def until_web(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until the web child's part of the snapshot meets a condition, and return it."""
        web: dict[str, Any] = until(lambda: (web := self.web()) and condition(web) and web, self.run.log)
        return web


def until(probe: Callable[[], Any], log: Callable[[], str]) -> Any:
    """Call `probe` until its result is true, and return the result."""
    deadline_s = time.monotonic() + WAIT_S
    while not (result := probe()):
        assert time.monotonic() < deadline_s, log()[-4000:]
        time.sleep(0.05)
    return result


@pytest.fixture
def web_daemon(tmp_path: Path) -> Iterator[WebDaemon]:
    """A daemon without servers that has not been started; it is killed after the test."""
    folder = tmp_path / "web_daemon"
    folder.mkdir()
    daemon = WebDaemon(Run(folder, {}), dict(NO_SERVERS))
    yield daemon
    if daemon.run.process is not None:
        daemon.run.process.kill()
        daemon.run.process.wait()
