"""Events of every shape on one subject."""

import asyncio
import json
import time
from typing import Any

import nats
import psycopg
from fix_daemon import WAIT_S, Daemon

OCSF = {"class_uid": 1008, "category_uid": 1, "activity_id": 1, "time": 1_704_067_200}
ENVELOPE = {"specversion": "1.0", "source": "core", "type": "x", "time": "2024-01-01T00:00:00Z"}
TRAP = {"source": "10.0.0.1:161", "community": "s3cret", "varbinds": [{"oid": "1.3", "value": "OCTET STRING: down"}]}


async def published(daemon: Daemon, payloads: list[bytes]) -> None:
    client = await nats.connect(daemon.servers.nats_url)
    jetstream = client.jetstream()
    for payload in payloads:
        await jetstream.publish("events.mixed", payload)
    await client.close()


async def make_stream(daemon: Daemon) -> None:
    client = await nats.connect(daemon.servers.nats_url)
    await client.jetstream().add_stream(name="happenings", subjects=["events.>"])
    await client.close()


def asked(daemon: Daemon, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        return conn.execute(query.encode()).fetchall()


def wait_for(daemon: Daemon, count: int) -> None:
    """Wait until so many messages of the stream are in the ledger."""
    until = time.monotonic() + WAIT_S
    while asked(daemon, "SELECT last_seq FROM eventwriter_ledger") != [(count,)]:
        assert time.monotonic() < until, daemon.log()
        time.sleep(0.05)


def test_each_event_is_in_the_table_of_its_shape_and_the_newest_wins(daemon: Daemon) -> None:
    """OCSF and traps, CloudEvents and GELF share a stream; repeated OCSF events stay, repeated CloudEvents replace."""
    daemon.write_config(daemon.servers.nats_url, daemon.servers.postgres_dsn(), name="EVENTS", stream_name="happenings")
    asyncio.run(make_stream(daemon))
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
    asyncio.run(published(daemon, [json.dumps(record).encode() for record in first]))
    wait_for(daemon, 8)
    again = [{**OCSF, "id": "o1", "message": "second"}, cloud("newest"), [TRAP, {**ENVELOPE, "id": "e2"}]]
    asyncio.run(published(daemon, [json.dumps(record).encode() for record in again] + [b"<34>Oct 11 no JSON"]))
    wait_for(daemon, 12)

    ocsf = asked(daemon, "SELECT message, count(*) FROM ocsf_events GROUP BY 1 ORDER BY 1")
    clouds = asked(daemon, "SELECT short_message FROM events WHERE id = 'e1'")
    dead = asked(daemon, "SELECT reason FROM eventwriter_dead_letters ORDER BY stream_seq")
    assert [("down", 2), ("first", 1)] == ocsf
    assert [("newest",)] == clouds
    assert [(5,)] == asked(daemon, "SELECT count(*) FROM events")
    assert [("unknown_shape",), ("malformed",)] == dead
    assert 0 == daemon.stop()
