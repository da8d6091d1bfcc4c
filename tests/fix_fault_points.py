"""
Kills a worker at a point in the life of a batch, seen from the network.

A proxy stands before each server, so production code needs no hook. PostgreSQL's proxy recognizes the transaction of a
batch by its COPY, and NATS's proxy the acknowledgements of a batch by two of them in a row.
"""

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fix_daemon import WAIT_S, Daemon
from fix_proxy import Proxy

FAULT_POINTS = ("before_copy", "before_commit", "after_commit", "after_ack")
"""In the order in which a batch passes them; `after_commit` is before the ack."""

_COPY, _COMMIT = b"COPY ", b"COMMIT\0"
_ACKS = b" 0\r\n\r\nPUB $JS.ACK."


class FaultPoints:
    """A daemon behind two proxies that can kill its worker."""

    def __init__(self, daemon: Daemon) -> None:
        dsn = daemon.servers.postgres_dsn()
        postgres, nats = urlsplit(dsn).port, urlsplit(daemon.servers.nats_url).port
        assert postgres
        assert nats
        self.daemon = daemon
        self.postgres, self.nats = Proxy(postgres), Proxy(nats)
        self._killed = threading.Event()
        nats_url = daemon.servers.nats_url.replace(f":{nats}", f":{self.nats.port}")
        daemon.write_config(nats_url, dsn.replace(f":{postgres}/", f":{self.postgres.port}/"))

    def kill_at(self, point: str) -> None:
        """Kill the worker the next time that a batch reaches `point`."""
        self._killed.clear()
        match point:
            case "before_copy":
                self.postgres.before(_COPY, self._kill_and_cut)
            case "before_commit":
                self.postgres.before(_COPY, lambda: self.postgres.before(_COMMIT, self._kill_and_cut))
            case "after_commit":
                # The worker is dead when the COMMIT goes on to the server.
                self.postgres.before(_COPY, lambda: self.postgres.before(_COMMIT, self._kill))
            case "after_ack":
                self.nats.after(_ACKS, self._kill)
            case _:
                raise ValueError(point)

    def wait_for_kill(self) -> None:
        """Wait until the worker was killed."""
        assert self._killed.wait(WAIT_S), "no batch reached the fault point"

    def _kill(self) -> None:
        if self.daemon.kill_worker():
            self._killed.set()

    def _kill_and_cut(self) -> None:
        """Kill the worker, and keep what it has just sent from the server."""
        self._kill()
        self.postgres.cut()

    def close(self) -> None:
        """Close both proxies."""
        self.postgres.close()
        self.nats.close()


@pytest.fixture
def fault_points(daemon: Daemon) -> Iterator[FaultPoints]:
    """A configured daemon, not started, behind proxies that can kill its worker."""
    points = FaultPoints(daemon)
    yield points
    daemon.kill()
    points.close()
