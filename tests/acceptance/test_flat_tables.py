"""Flows in all their encodings, into the flat tables of an existing database."""

import asyncio
import time
from typing import Any

import nats
import psycopg
from fix_daemon import WAIT_S, Daemon
from generations import statements
from golden_rows import DATA

PAYLOADS = (
    "flows_raw_protobuf/netflow_v9_tcp.bin",
    "flows_raw_protobuf/ipfix_everything.bin",
    "flows_raw_protobuf/legacy_json.json",
    "flows_raw_protobuf/processed_ocsf_json.json",
    "netflow_json/full_snake.json",
    "netflow_json/empty_object.json",
)
TABLES = ("ocsf_network_activity", "netflow_metrics")


async def published(daemon: Daemon) -> None:
    client = await nats.connect(daemon.servers.nats_url)
    for name in PAYLOADS:
        await client.jetstream().publish("netflow.raw", (DATA / name).read_bytes())
    await client.close()


def asked(daemon: Daemon, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        return conn.execute(query.encode()).fetchall()


def test_flows_of_every_encoding_are_in_both_flat_tables(daemon: Daemon) -> None:
    """A message is in both tables or in none; where one of them refuses it, it is a dead letter."""
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        for table in TABLES:
            conn.execute(f"DROP TABLE {table}; {statements('platform')[table]}")
    daemon.write_config(
        daemon.servers.nats_url, daemon.servers.postgres_dsn(), name="NETFLOW", stream_name="events", tables=TABLES
    )
    daemon.start()

    asyncio.run(published(daemon))
    until = time.monotonic() + WAIT_S
    while asked(daemon, "SELECT last_seq FROM eventwriter_ledger") != [(len(PAYLOADS),)]:
        assert time.monotonic() < until, daemon.log()
        time.sleep(0.05)

    flat = asked(
        daemon,
        "SELECT host(src_endpoint_ip::inet), src_as_number, tcp_flags_labels FROM ocsf_network_activity ORDER BY 1",
    )
    inet = asked(daemon, "SELECT host(src_ip), dst_port FROM netflow_metrics ORDER BY 1")
    dead = asked(daemon, "SELECT reason FROM eventwriter_dead_letters ORDER BY stream_seq")
    assert [
        ("10.0.0.1", None, ["SYN"]),
        ("10.1.0.100", 64512, ["ACK", "SYN"]),
        ("192.168.1.100", None, None),
        ("2001:db8::1", 2147483647, None),
    ] == flat
    assert [("10.0.0.1", 80), ("10.1.0.100", 443), ("192.168.1.100", 443), ("2001:db8::1", 0)] == inet
    # The OCSF object is the same flow as the first: its key is taken in the second table, so it is in neither.
    assert [("rejected",), ("missing_field",)] == dead
    assert 0 == daemon.stop()
