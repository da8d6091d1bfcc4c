"""A daemon with a web child, and what its reader does. It needs no servers: it waits for them, and says so."""

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
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class Site:
    """One daemon, and the address of its web child."""

    run: Run
    config: dict[str, Any]
    port: int = field(default_factory=free_port)
    tls: ssl.SSLContext | None = None

    def start(self, **settings: Any) -> "Site":
        """Write the configuration, with these keys of `http`, and start the daemon."""
        self.write(**settings)
        self.run.start()
        return self

    def write(self, **settings: Any) -> None:
        """Write the configuration."""
        http_settings = {"listen": f"127.0.0.1:{self.port}", **settings}
        whole = {"enabled": True, "control": {"socket": self.run.socket}, **self.config, "http": http_settings}
        self.run.config.write_text(json.dumps(whole))

    def get(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        """Ask once; header names are written with underscores."""
        if self.tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=10, context=self.tls
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()

    def served(self) -> "Site":
        """Wait until somebody answers."""

        def answers() -> bool:
            try:
                return self.get("/login").status > 0
            except OSError:
                return False

        until(answers, self.run.log)
        return self

    def web(self) -> dict[str, Any]:
        """Return what the supervisor says of its web child."""
        found: dict[str, Any] = (self.run.status() or {}).get("web") or {}
        return found

    def until_web(self, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until the supervisor says so of its web child, and return that."""
        found: dict[str, Any] = until(lambda: (web := self.web()) and wanted(web) and web, self.run.log)
        return found


def until(probe: Callable[[], Any], log: Callable[[], str]) -> Any:
    """Ask again and again until the answer is true, and return it."""
    deadline_s = time.monotonic() + WAIT_S
    while not (found := probe()):
        assert time.monotonic() < deadline_s, log()[-4000:]
        time.sleep(0.05)
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A daemon without servers, not started yet; it is gone afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    made = Site(Run(folder, {}), dict(NO_SERVERS))
    yield made
    if made.run.process is not None:
        made.run.process.kill()
        made.run.process.wait()
