"""Retention of dead letters by a running daemon."""

import asyncio
import json
import os
import signal
import time
from typing import Any

import pytest
from fix_daemon import Daemon

ALL = list(range(1, 100, 10))
MAINTENANCE_S = 10.0
"""Longer than the interval at which dead letters are checked after a reload."""


def dead_letters(daemon: Daemon) -> list[int]:
    """Return the stream sequences of the stored dead letters."""
    return [seq for (seq,) in daemon.sql("SELECT stream_seq FROM eventwriter_dead_letters ORDER BY stream_seq")]


def reload(daemon: Daemon, **dead_letters: Any) -> None:
    """Change and reload the configuration of dead letters."""
    config = json.loads(daemon.config.read_text())
    daemon.config.write_text(json.dumps({**config, "dead_letters": dead_letters}))
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGHUP)


@pytest.mark.parametrize(
    ("settings_", "left"),
    [
        pytest.param({"keep": "1s"}, [], id="by age"),
        pytest.param({"keep_max": 3}, [71, 81, 91], id="by number"),
        pytest.param({"keep": "1h", "keep_max": 100}, ALL, id="within both limits"),
    ],
)
def test_running_daemon_deletes_expired_dead_letters(
    daemon: Daemon, settings_: dict[str, Any], left: list[int]
) -> None:
    """Dead letters beyond the configured age or number are deleted and counted; rows and other dead letters stay."""
    daemon.start()
    asyncio.run(daemon.publish(100, garbage_every=10))
    assert (90, 90, 10) == daemon.settled_counts()
    time.sleep(1.0)  # the age by which the dead letters expire

    reload(daemon, **settings_)
    if left == ALL:
        time.sleep(MAINTENANCE_S)
    daemon.until(
        "deleted and counted",
        lambda: (left, 10 - len(left)) == (dead_letters(daemon), daemon.slot().get("dead_letters_expired_total")),
    )

    assert (90, 90, len(left)) == daemon.counts()
