"""Events of every format on one subject, and the tables that they are written to."""

import asyncio
import json
from typing import Any

import nats
from fix_daemon import Daemon

OCSF = {"class_uid": 1008, "category_uid": 1, "activity_id": 1, "time": 1_704_067_200}
ENVELOPE = {"specversion": "1.0", "source": "core", "type": "x", "time": "2024-01-01T00:00:00Z"}
TRAP = {"source": "10.0.0.1:161", "community": "s3cret", "varbinds": [{"oid": "1.3", "value": "OCTET STRING: down"}]}


async def publish(daemon: Daemon, payloads: list[bytes]) -> None:
    """Publish these payloads to the subject of the events."""
    client = await nats.connect(daemon.servers.nats_url)
    jetstream = client.jetstream()
    for payload in payloads:
        await jetstream.publish("events.mixed", payload)
    await client.close()


def wait_for(daemon: Daemon, seq: int) -> None:
    """Wait until the ledger has reached this sequence."""
    daemon.until("written", lambda: daemon.sql("SELECT last_seq FROM eventwriter_ledger") == [(seq,)])


def test_events_are_written_to_the_table_of_their_format(daemon: Daemon) -> None:
    """Of repeated OCSF events and traps the first one stays; repeated CloudEvents and GELF are replaced."""
    daemon.write_config(daemon.servers.nats_url, daemon.servers.postgres_dsn(), name="EVENTS", stream_name="mixed")
    daemon.api("STREAM.CREATE.mixed", name="mixed", subjects=["events.>"])
    daemon.start()

    def cloud(text: str) -> dict[str, Any]:
        return {**ENVELOPE, "id": "e1", "data": {"host": "h", "short_message": text}}

    first = [
        {**OCSF, "id": "o1", "message": "first"},
        cloud("old"),
        cloud("newer"),
        TRAP,
        {"version": "1.1", "host": "h", "short_message": "gelf"},
        {"specversion": "1.0"},
        {"specversion": "1.0"},
        {"a": 1},
    ]
    asyncio.run(publish(daemon, [json.dumps(record).encode() for record in first]))
    wait_for(daemon, 8)
    repeated = [{**OCSF, "id": "o1", "message": "second"}, cloud("newest"), [TRAP, {**ENVELOPE, "id": "e2"}]]
    asyncio.run(publish(daemon, [json.dumps(record).encode() for record in repeated] + [b"<34>Oct 11 no JSON"]))
    wait_for(daemon, 12)

    ocsf = daemon.sql("SELECT message, count(*) FROM ocsf_events GROUP BY 1 ORDER BY 1")
    cloud_events = daemon.sql("SELECT short_message FROM events WHERE id = 'e1'")
    dead = daemon.sql("SELECT reason FROM eventwriter_dead_letters ORDER BY stream_seq")
    assert [("down", 2), ("first", 1)] == ocsf
    assert [("newest",)] == cloud_events
    assert [(5,)] == daemon.sql("SELECT count(*) FROM events")
    assert [("unknown_shape",), ("malformed",)] == dead
    assert 0 == daemon.stop()
