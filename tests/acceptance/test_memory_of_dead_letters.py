"""The memory of a worker whose messages are all dead letters."""

import asyncio
import json
from pathlib import Path

import nats
from fix_daemon import Daemon

MESSAGES, PAYLOAD_BYTES = 3_000, 100_000
RATIO_MAX = 1.5
SETTLED_S_MAX = 300.0


async def publish(daemon: Daemon, subject: str, payload: bytes) -> None:
    client = await nats.connect(daemon.servers.nats_url)
    jetstream = client.jetstream(publish_async_max_pending=50)
    for ack in [await jetstream.publish_async(subject, payload) for _ in range(MESSAGES)]:
        await ack
    await client.close()


def peak_bytes(daemon: Daemon, payload: bytes) -> int:
    """Publish `MESSAGES` copies of a payload, then start the daemon; return the peak memory of its worker."""
    before = daemon.sql("SELECT (SELECT count(*) FROM timeseries_metrics) + count(*) FROM eventwriter_dead_letters")
    asyncio.run(publish(daemon, "telemetry.test", payload))
    daemon.start()

    def settled() -> bool:
        slot = daemon.slot()
        return bool(slot) and slot["messages_total"] >= MESSAGES

    daemon.until("settled", settled, SETTLED_S_MAX)
    after = daemon.sql("SELECT (SELECT count(*) FROM timeseries_metrics) + count(*) FROM eventwriter_dead_letters")
    assert MESSAGES == after[0][0] - before[0][0]
    assert 0 == daemon.slot()["restarts"]
    status = Path(f"/proc/{daemon.worker_pid()}/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    daemon.stop()
    return peak


def test_invalid_messages_take_little_more_memory_than_valid_ones(daemon: Daemon) -> None:
    """At 100 % invalid messages of 100 kB, a worker's peak memory is at most 1.5 times that at 100 % valid ones."""
    valid = json.dumps({"value": 1, "metadata": {"text": "x" * PAYLOAD_BYTES}}).encode()

    of_valid = peak_bytes(daemon, valid)
    of_invalid = peak_bytes(daemon, valid[:-1])

    print(f"{of_valid / 2**20:.0f} MiB valid, {of_invalid / 2**20:.0f} MiB invalid")
    assert of_invalid <= RATIO_MAX * of_valid
