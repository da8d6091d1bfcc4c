"""The daemon with the configuration file and the environment of the Go writer."""

import asyncio
import json
from pathlib import Path
from typing import Any

import nats
import psycopg
from fix_run import Run, command

from eventwriter.demo.servers import EmbeddedServers

FILE = Path(__file__).parents[1] / "data" / "go_config" / "packaged.json"
CHART = Path(__file__).parents[1] / "data" / "go_config" / "helm.json"

EVENT = {
    "id": "0190a4a2-0000-7000-8000-000000000001", "time": "2026-01-15T12:00:00Z",
    "class_uid": 1008, "category_uid": 1, "activity_id": 1, "severity_id": 2, "message": "gateway is back",
}  # fmt: skip
LOG = {"version": "1.1", "host": "sw1", "short_message": "link is up", "timestamp": 1768478400.5, "level": 5}
SPAN = {
    "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174", "name": "GET /",
    "start_time_unix_nano": 1768478400000000000, "end_time_unix_nano": 1768478401000000000,
}  # fmt: skip
METRIC = {
    "timestamp": "2026-01-15T12:00:00Z", "trace_id": SPAN["trace_id"], "span_id": SPAN["span_id"],
    "service_name": "web", "span_name": "GET /", "metric_type": "span", "duration_ms": 12.5,
}  # fmt: skip

MESSAGES: list[tuple[str, Any]] = [
    ("events.ocsf.processed", EVENT),
    ("logs.syslog.processed", LOG),
    ("falco.logs.processed", {**LOG, "host": "node1"}),
    ("otel.traces.raw", SPAN),
    ("otel.metrics", [METRIC]),
    ("otel.metrics.raw", [{**METRIC, "span_id": "eee19b7ec3c1b175"}]),
]
ROWS = {"ocsf_events": 1, "logs": 2, "otel_traces": 1, "otel_metrics": 2}


async def publish(url: str) -> None:
    """Create the stream as ServiceRadar does, and publish one message of each kind."""
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="events", subjects=["events.>", "logs.>", "falco.>", "otel.>"])
    for subject, payload in MESSAGES:
        await jetstream.publish(subject, json.dumps(payload).encode())
    await client.close()


def test_go_writers_file_and_environment_run_unchanged(tmp_path: Path, own_servers: EmbeddedServers) -> None:
    """With the packaged file, the chart's streams and the container's variables, each message is written once."""
    dsn = own_servers.postgres_dsn()
    assert 0 == command("eventwriter", "migrate", "--dsn", dsn).returncode
    asyncio.run(publish(own_servers.nats_url))
    environ = {
        "EVENT_WRITER_ENABLED": "true",
        "CONFIG_PATH": str(FILE),
        "CONFIG_SOURCE": "file",
        "DB_EVENT_WRITER_NATS_URL": own_servers.nats_url,
        "DB_EVENT_WRITER_STREAMS_JSON": json.dumps(json.loads(CHART.read_text())["streams"]),
        "CNPG_HOST": "127.0.0.1",
        "CNPG_PORT": dsn.rpartition(":")[2].partition("/")[0],
        "CNPG_DATABASE": "postgres",
        "CNPG_USERNAME": "postgres",
    }
    run = Run(tmp_path, environ=environ).start()
    try:
        status = run.until(lambda s: s["totals"]["messages_total"] >= len(MESSAGES), "written")
        assert (sum(ROWS.values()), 0) == (status["totals"]["rows_total"], status["totals"]["dead_letters_total"])
        with psycopg.connect(dsn, autocommit=True) as conn:
            counted = {table: conn.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ROWS}
        assert {table: (count,) for table, count in ROWS.items()} == counted
        assert [f"db-event-writer-{table}" for table in ROWS] == [s["durable"] for s in status["slots"]]
        assert "listen_addr" in run.log()  # the warning of an unused key names it
        assert 0 == run.stop()
    finally:
        run.stop()
