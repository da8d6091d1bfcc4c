"""Rows of logs, copied into real tables of every generation and read back."""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest
from golden_rows import DATA, ORIGIN, delivery, parsed, readable

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments, Message
from eventwriter.postgres.encode import SIGNATURE, TRAILER, encoder
from eventwriter.postgres.migrate.files import shipped_migrations
from eventwriter.postgres.schema.catalog import Binding, bind, read_columns
from eventwriter.tables.ocsf.events_from_logs import OCSF_EVENTS_FROM_LOGS
from eventwriter.tables.otel.logs import LOGS
from eventwriter.tables.table import Build, Row, Table

Connection = psycopg.AsyncConnection[Any]

FOLDERS = ("logs_processed_json", "logs_otlp_protobuf", "logs_otlp_json", "logs_internal", "logs_raw_inputs")
PAYLOADS = sorted(p for folder in FOLDERS for p in (DATA / folder).iterdir() if ".row." not in p.name)

OF_2025 = """
CREATE TABLE logs (timestamp timestamptz NOT NULL, trace_id text, span_id text, severity_text text,
  severity_number integer, body text, service_name text, service_version text, service_instance text, scope_name text,
  scope_version text, attributes text, resource_attributes text, created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (timestamp, trace_id, span_id))
"""
OF_JANUARY = """
CREATE TABLE logs (timestamp timestamptz NOT NULL, id uuid NOT NULL DEFAULT gen_random_uuid(), trace_id text,
  span_id text, severity_text text, severity_number integer, body text, service_name text, service_version text,
  service_instance text, scope_name text, scope_version text, attributes jsonb DEFAULT '{}',
  resource_attributes jsonb DEFAULT '{}', created_at timestamptz NOT NULL DEFAULT now(),
  tenant_id uuid NOT NULL DEFAULT '11111111-1111-1111-1111-111111111111', PRIMARY KEY (timestamp, id))
"""
OURS = {m.table: m.sql for m in shipped_migrations() if m.table in ("logs", "ocsf_events")}


def rows_of(binding: Binding, message: Message) -> list[Row]:
    make = binding.table.builder(Build(ORIGIN, Adjustments(), binding.present, redact=frozenset({"community"})))
    return [make(record, message, at) or () for at, record in enumerate(KINDS["logs"].decode(message))]


def golden(binding: Binding) -> list[Row]:
    """Return the rows of all golden payloads; every message has its own sequence, so every row has its own id."""
    rows: list[Row] = []
    for seq, path in enumerate(PAYLOADS, 1):
        try:
            rows += rows_of(binding, delivery(path.read_bytes(), "logs.app")._replace(stream_seq=seq))
        except Poison:
            continue
    return rows


async def bound(conn: Connection, table: Table, ddl: str) -> Binding:
    await conn.execute(ddl.encode())
    target, real = await read_columns(conn, None, table.name)
    return bind(table, real, target)


async def copied(conn: Connection, binding: Binding, rows: Sequence[Row]) -> None:
    out, encode = bytearray(), encoder(binding)
    for row in rows:
        encode(row, out)
    async with conn.cursor() as cursor, cursor.copy(binding.copy_sql) as copy:
        await copy.write(SIGNATURE + bytes(out) + TRAILER)


async def read_back(conn: Connection, binding: Binding) -> list[dict[str, Any]]:
    columns = [column for column in binding.table.columns if column.name in binding.present]
    cursor = await conn.execute(f"SELECT {', '.join(column.name for column in columns)} FROM {binding.target}")
    return [
        {column.name: shown(column.type, value) for column, value in zip(columns, row, strict=True)}
        for row in await cursor.fetchall()
    ]


def shown(column_type: str, value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"
    if column_type == "json" and isinstance(value, str):
        return parsed(value)
    return str(value) if isinstance(value, UUID) else value


@pytest.mark.parametrize(
    ("table", "ddl"),
    [
        pytest.param(LOGS, OURS["logs"], id="logs, ours"),
        pytest.param(LOGS, OF_JANUARY, id="logs, January 2026"),
        pytest.param(LOGS, OF_2025, id="logs, 2025"),
        pytest.param(OCSF_EVENTS_FROM_LOGS, OURS["ocsf_events"], id="ocsf_events, ours"),
    ],
)
async def test_golden_rows_are_read_back(database: str, table: Table, ddl: str) -> None:
    """Every golden row is read back unchanged in the columns of the table."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        binding = await bound(conn, table, ddl)
        if "id" not in binding.present:
            # Its key takes two records of one instant without a trace for the same.
            await conn.execute("ALTER TABLE logs DROP CONSTRAINT logs_pkey")
        rows = golden(binding)
        await copied(conn, binding, rows)
        found = await read_back(conn, binding)

    expected = [readable(table, row) for row in rows]
    assert len(rows) > 30
    assert [{name: row[name] for name in row if name in binding.present} for row in expected] == found
