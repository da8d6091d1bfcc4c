"""A publisher that goes wrong."""

import asyncio
import time

from fix_daemon import Daemon


def test_stream_whose_messages_die_is_degraded(daemon: Daemon) -> None:
    """Where every fourth message is garbage, status is degraded with figures; what is well is written all the same."""
    daemon.start()
    asyncio.run(daemon.publish(400, garbage_every=4))
    assert (300, 300, 100) == daemon.balance()

    until = time.monotonic() + 10
    while (status := daemon.status()) is None or status["status"] != "degraded":
        assert time.monotonic() < until, status
        time.sleep(0.1)

    assert "25.0% of the messages of the last 60 s (100 of 400) became dead letters" in status["reason"]
    assert "running" == status["slots"][0]["worker_state"]
    assert 0 == daemon.stop()
