"""Golden rows of traces and metrics, copied into real tables and read back."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from golden_rows import DATA, ORIGIN, delivery
from psycopg import sql
from table_rows import REDACT

from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments
from eventwriter.postgres.encode import SIGNATURE, TRAILER, encoder
from eventwriter.postgres.migrate.plan import MigrateOptions
from eventwriter.postgres.migrate.runner import migrate
from eventwriter.postgres.schema.catalog import RealColumn, bind
from eventwriter.tables.table import Build

Connection = psycopg.Connection[Any]

PAYLOADS = [
    path
    for kind in ("otel_metrics", "otel_traces")
    for path in sorted((DATA / kind).iterdir())
    if ".row." not in path.name and "rows" in json.loads(path.with_name(path.stem + ".row.json").read_text())
]
UPSTREAM_METRICS = """
CREATE TABLE otel_metrics (timestamp timestamptz NOT NULL, trace_id text, span_id text NOT NULL,
  service_name text NOT NULL, span_name text NOT NULL, span_kind text, duration_ms double precision,
  duration_seconds double precision, metric_type text, http_method text, http_route text, http_status_code text,
  grpc_service text, grpc_method text, grpc_status_code text, is_slow boolean, component text, level text, unit text,
  created_at timestamptz NOT NULL DEFAULT now(){key})
"""
COLUMNS_SQL = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull, atthasdef, false FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum
"""


@pytest.fixture
def conn(database: str) -> Iterator[Connection]:
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        connection.execute("SET timezone TO 'UTC'")
        yield connection


def copy_rows(conn: Connection, kind: str, payload: bytes) -> None:
    """Copy the rows of a message into the real table of its kind."""
    [table] = KINDS[kind].tables
    real = [RealColumn(*column) for column in conn.execute(COLUMNS_SQL, (table.name,)).fetchall()]
    binding = bind(table, real, table.name)
    build = table.builder(Build(ORIGIN, Adjustments(), binding.present, redact=REDACT))
    encode, out, message = encoder(binding), bytearray(), delivery(payload, kind)
    for index, record in enumerate(KINDS[kind].decode(message)):
        row = build(record, message, index)
        assert row is not None
        encode(row, out)
    with conn.cursor() as cursor, cursor.copy(binding.copy_sql) as copy:
        for part in (SIGNATURE, out, TRAILER):
            copy.write(part)


def read_back(conn: Connection, kind: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows in the order of insertion, without NULLs, with times as text."""
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    cursor = conn.execute(sql.SQL("SELECT {} FROM {} ORDER BY ctid").format(listed, sql.Identifier(kind)))
    return [
        {name: plain(value) for name, value in zip(columns, row, strict=True) if value is not None}
        for row in cursor.fetchall()
    ]


def plain(value: Any) -> Any:
    return value.replace(tzinfo=None).isoformat() + "Z" if isinstance(value, dt.datetime) else value


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_rows_are_read_back(conn: Connection, payload: Path) -> None:
    """The rows of each payload are read back unchanged from the table that migrate creates."""
    kind = payload.parent.name
    list(migrate(conn, "the test's server", MigrateOptions(plain=True)))
    [table] = KINDS[kind].tables

    copy_rows(conn, kind, payload.read_bytes())

    found = read_back(conn, kind, [column.name for column in table.columns])
    in_text = [column.name for column in table.columns if column.type == "json"]
    found = [row | {name: json.loads(row[name]) for name in in_text if name in row} for row in found]
    assert json.loads(payload.with_name(payload.stem + ".row.json").read_text())["rows"] == found


def test_upstream_table_keeps_values_in_duration_ms(conn: Connection) -> None:
    """In a table without `value`, the number of a point is in `duration_ms`, converted if its unit is a time."""
    conn.execute(UPSTREAM_METRICS.format(key=""))

    copy_rows(conn, "otel_metrics", (DATA / "otel_metrics" / "raw_otlp_all_types.bin").read_bytes())

    rows = read_back(conn, "otel_metrics", ["span_name", "duration_ms", "duration_seconds", "component"])
    assert [
        {"span_name": "cpu.usage", "duration_ms": 19.5, "duration_seconds": 0.0195, "component": "cpu0"},
        {"span_name": "cpu.usage", "duration_ms": 20.5, "duration_seconds": 0.0205, "component": "cpu1"},
        {"span_name": "falco.events", "duration_ms": 12.0, "duration_seconds": 0.012, "component": ""},
        {"span_name": "http.server.duration", "duration_ms": 400.0, "duration_seconds": 0.4, "component": ""},
        {"span_name": "exp", "component": ""},
        {"span_name": "summ", "duration_ms": 2.0, "duration_seconds": 0.002, "component": ""},
    ] == rows


def test_upstream_key_merges_points_with_other_attributes(conn: Connection) -> None:
    """The upstream key ignores attributes, so points that differ only in these are merged; this is documented."""
    conn.execute(UPSTREAM_METRICS.format(key=", PRIMARY KEY (timestamp, span_name, service_name, span_id)"))

    with pytest.raises(psycopg.errors.UniqueViolation):
        copy_rows(conn, "otel_metrics", (DATA / "otel_metrics" / "raw_otlp_all_types.bin").read_bytes())


def test_traces_are_written_to_jsonb_columns(conn: Connection) -> None:
    """If the real columns are `jsonb`, the JSON of a span is written as `jsonb`."""
    list(migrate(conn, "the test's server", MigrateOptions(plain=True)))
    conn.execute("ALTER TABLE otel_traces ALTER COLUMN attributes TYPE jsonb USING attributes::jsonb")

    copy_rows(conn, "otel_traces", (DATA / "otel_traces" / "otlp_two_spans.bin").read_bytes())

    attributes = [row["attributes"] for row in read_back(conn, "otel_traces", ["attributes"])]
    assert [{"http.method": "GET", "http.status_code": 200, "cached": False}, {}] == attributes
