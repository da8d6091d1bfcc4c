"""A publisher that sends many invalid messages."""

import asyncio

from fix_daemon import Daemon


def test_many_dead_letters_degrade_the_status(daemon: Daemon) -> None:
    """If every fourth message is invalid, the status is degraded and shows the ratio; valid messages are written."""
    daemon.start()
    asyncio.run(daemon.publish(400, garbage_every=4))
    assert (300, 300, 100) == daemon.settled_counts()

    slot = daemon.until("degraded", lambda: (slot := daemon.slot()) and slot["health"] == "degraded" and slot)

    assert "25.0%" in slot["reason"]
    assert "100 of 400" in slot["reason"]
    assert "running" == slot["worker_state"]
    assert 0 == daemon.stop()
