"""Flows in every encoding, written to the flat tables of an existing database."""

import asyncio

import nats
from fix_daemon import Daemon
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


async def publish(daemon: Daemon) -> None:
    """Publish all payloads."""
    client = await nats.connect(daemon.servers.nats_url)
    for name in PAYLOADS:
        await client.jetstream().publish("netflow.raw", (DATA / name).read_bytes())
    await client.close()


def test_flows_are_written_to_both_tables_or_none(daemon: Daemon) -> None:
    """A flow is written to both tables; if one of them rejects it, it becomes a dead letter."""
    for table in TABLES:
        daemon.sql(f"DROP TABLE {table}; {statements('platform')[table]}")
    daemon.write_config(
        daemon.servers.nats_url, daemon.servers.postgres_dsn(), name="NETFLOW", stream_name="events", tables=TABLES
    )
    daemon.start()

    asyncio.run(publish(daemon))
    daemon.until("written", lambda: daemon.sql("SELECT last_seq FROM eventwriter_ledger") == [(len(PAYLOADS),)])

    flat = daemon.sql(
        "SELECT host(src_endpoint_ip::inet), src_as_number, tcp_flags_labels FROM ocsf_network_activity ORDER BY 1"
    )
    inet = daemon.sql("SELECT host(src_ip), dst_port FROM netflow_metrics ORDER BY 1")
    dead = daemon.sql("SELECT reason FROM eventwriter_dead_letters ORDER BY stream_seq")
    assert [
        ("10.0.0.1", None, ["SYN"]),
        ("10.1.0.100", 64512, ["ACK", "SYN"]),
        ("192.168.1.100", None, None),
        ("2001:db8::1", 2147483647, None),
    ] == flat
    assert [("10.0.0.1", 80), ("10.1.0.100", 443), ("192.168.1.100", 443), ("2001:db8::1", 0)] == inet
    # The OCSF object is the same flow as the first one: the second table rejects its key, so neither has a row.
    assert [("rejected",), ("missing_field",)] == dead
    assert 0 == daemon.stop()
