"""
Cost of time partitions: COPY into a partitioned and an ordinary table, and the steps of maintenance.

Run with ``python -m benchmarks.stage_partitions``. Rows of real tables are encoded in advance and copied
over one connection, alternating between both tables; figures are medians.
"""

import asyncio
import datetime as dt
import statistics
import time
from typing import Any

import psycopg

from eventwriter.config.settings import PostgresSettings, StorageSettings
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.postgres.migrate.files import time_columns
from eventwriter.postgres.migrate.plan import MigrateOptions
from eventwriter.postgres.migrate.runner import migrate
from eventwriter.postgres.partitions.executor import Report, SessionExecutor
from eventwriter.postgres.partitions.maintain import Task, maintain
from eventwriter.postgres.session import PostgresSession

Connection = psycopg.Connection[Any]

BATCH_ROWS = 5000
BATCHES = 40
LATE_ROWS = 100_000
"""Default of `storage.move_max`."""

ROWS = {
    "timeseries_metrics": (
        "timestamp, gateway_id, metric_name, metric_type, device_id, value",
        "{at}, 'g', 'cpu', 'gauge', 'd' || n % 100, n::float8",
    ),
    "logs": (
        "timestamp, id, severity_text, body, service_name",
        "{at}, gen_random_uuid(), 'INFO', repeat('x', 120), 's'",
    ),
    "ocsf_network_activity": (
        "time, id, class_uid, category_uid, type_uid, activity_id, src_endpoint, dst_endpoint, traffic",
        '{at}, gen_random_uuid(), 4001, 4, 400106, 6, \'{{"ip": "10.0.0.1", "port": 443}}\'::jsonb,'
        ' \'{{"ip": "10.0.0.2", "port": 443}}\'::jsonb, \'{{"bytes": 1234, "packets": 12}}\'::jsonb',
    ),
}


def encoded(conn: Connection, table: str, age: str) -> bytes:
    """Return one batch of rows of this age in the binary format of COPY."""
    at = f"now() - interval '{age}' + n * interval '1 microsecond'"
    select = f"SELECT {ROWS[table][1].format(at=at)} FROM generate_series(1, {BATCH_ROWS}) n"
    with conn.cursor().copy(f"COPY ({select}) TO STDOUT (FORMAT BINARY)") as copy:
        return b"".join(bytes(part) for part in copy)


def copied_s(conn: Connection, schema: str, table: str, rows: bytes) -> float:
    """Copy a batch and return the duration."""
    began_s = time.perf_counter()
    with conn.cursor().copy(f"COPY {schema}.{table} ({ROWS[table][0]}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(rows)
    return time.perf_counter() - began_s


def compare(conn: Connection, table: str, age: str) -> str:
    """Compare both forms of a table and return a line with the result."""
    took: dict[str, list[float]] = {"ordinary": [], "partitioned": []}
    for turn in range(BATCHES):
        rows = encoded(conn, table, age)
        for schema in ("ordinary", "partitioned") if turn % 2 else ("partitioned", "ordinary"):
            took[schema].append(copied_s(conn, schema, table, rows))
    plain_s, partitioned_s = (statistics.median(took[schema]) for schema in ("ordinary", "partitioned"))
    rates = f"ordinary {BATCH_ROWS / plain_s:>9,.0f} rows/s   partitioned {BATCH_ROWS / partitioned_s:>9,.0f} rows/s"
    return f"{table:<24}{age:<10}{rates}   {100 * (partitioned_s / plain_s - 1):+.0f} % time"


def steps(conn: Connection, dsn: str) -> None:
    """Print the duration of single maintenance steps, during which writers may have to wait."""
    conn.execute("TRUNCATE partitioned.logs")
    at = "date_trunc('day', now()) - interval '1 day' + n * interval '0.1 second'"
    conn.execute(
        f"INSERT INTO partitioned.logs (timestamp, body) SELECT {at}, repeat('x', 120)"
        f" FROM generate_series(1, {LATE_ROWS}) n"
    )
    now = dt.datetime.now(dt.UTC)
    for later, section in ((0, {}), (1, {}), (9, {"keep": "3d"})):
        task = Task(
            "partitioned",
            {"logs": time_columns()["logs"]},
            StorageSettings.model_validate(section),
            now + dt.timedelta(later),
        )
        asyncio.run(print_steps(dsn, task))


async def print_steps(dsn: str, task: Task) -> None:
    """Maintain once and print the duration of each step."""
    began_s = time.perf_counter()

    def on_report(report: Report) -> None:
        nonlocal began_s
        took_s, began_s = time.perf_counter() - began_s, time.perf_counter()
        print(f"{took_s * 1000:8.1f} ms  {report.text}")

    session = PostgresSession(PostgresSettings.model_validate({"dsn": dsn}))
    await maintain(task, SessionExecutor(session, on_report))
    await session.close()


def main() -> None:
    """Measure on an embedded server."""
    with EmbeddedServers() as servers, psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        for schema, is_plain in (("ordinary", True), ("partitioned", False)):
            began_s = time.perf_counter()
            list(migrate(conn, "here", MigrateOptions(schema=schema, plain=is_plain)))
            print(f"migrate, {schema}: {time.perf_counter() - began_s:.2f} s")
        for table in ROWS:
            for age in ("0 days", "400 days"):
                print(compare(conn, table, age))
        steps(conn, servers.postgres_dsn())


if __name__ == "__main__":
    main()
