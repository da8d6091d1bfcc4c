"""Dead letters of a running daemon that are kept no longer."""

import asyncio
import json
import os
import signal
import time
from typing import Any

import psycopg
import pytest
from fix_daemon import WAIT_S, Daemon

LETTERS = "SELECT stream_seq FROM eventwriter_dead_letters ORDER BY stream_seq"


def letters(daemon: Daemon) -> list[int]:
    """Return the stream sequences of the letters that are there."""
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        return [seq for (seq,) in conn.execute(LETTERS).fetchall()]


def reload(daemon: Daemon, **dead_letters: Any) -> None:
    """Say how long letters are kept, while it runs."""
    config = json.loads(daemon.config.read_text())
    daemon.config.write_text(json.dumps({**config, "dead_letters": dead_letters}))
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGHUP)


def expired(daemon: Daemon) -> int:
    """Return how many letters the daemon says that it has deleted."""
    status = daemon.status()
    return int(status["slots"][0]["dead_letters_expired_total"]) if status else 0


@pytest.mark.parametrize(
    ("settings_", "left"),
    [
        pytest.param({"keep": "1s"}, [], id="by age"),
        pytest.param({"keep_max": 3}, [71, 81, 91], id="by number"),
        pytest.param({"keep": "1h", "keep_max": 100}, list(range(1, 100, 10)), id="not yet"),
    ],
)
def test_running_daemon_deletes_what_is_kept_no_longer(
    daemon: Daemon, settings_: dict[str, Any], left: list[int]
) -> None:
    """Letters above the wished age or number go while the daemon runs, and are counted; rows and the others stay."""
    daemon.start()
    asyncio.run(daemon.publish(100, garbage_every=10))
    assert (90, 90, 10) == daemon.balance()
    time.sleep(1.0)

    reload(daemon, **settings_)
    until = time.monotonic() + (WAIT_S if len(left) < 10 else 10.0)
    while time.monotonic() < until and (letters(daemon) == list(range(1, 100, 10)) or not expired(daemon)):
        time.sleep(0.2)

    assert (left, 10 - len(left)) == (letters(daemon), expired(daemon))
    assert (90, 90, len(left)) == daemon.books()
