"""A PostgreSQL server that can be stopped by SIGSTOP, and a function that waits for a slot's report about it."""

from collections.abc import Callable
from typing import Any

import psutil
import psycopg
from fix_daemon import Daemon
from fix_web import until


class StoppablePostgres:
    """The processes of the daemon's PostgreSQL server."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._stopped: list[psutil.Process] = []

    def stop(self) -> None:
        """Stop all processes of the server by SIGSTOP."""
        with psycopg.connect(self._dsn) as conn:
            row = conn.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
        assert row is not None
        postmaster = psutil.Process(int(row[0].split()[0]))
        self._stopped = [postmaster, *postmaster.children()]
        for process in self._stopped:
            process.suspend()

    def resume(self) -> None:
        """Let the stopped processes continue."""
        for process in self._stopped:
            if process.is_running():
                process.resume()
        self._stopped = []


def slot_when(daemon: Daemon, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Wait until the slot meets a condition, and return it."""
    slot: dict[str, Any] = until(
        lambda: (status := daemon.status()) and condition(status["slots"][0]) and status["slots"][0], daemon.log
    )
    return slot
