"""Rows of events, copied into real tables and read back."""

import datetime as dt
from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

import psycopg
import pytest
from golden_rows import DATA, delivery, readable, rows_of

from eventwriter.errors import Poison
from eventwriter.postgres.encode import SIGNATURE, TRAILER, encoder
from eventwriter.postgres.migrate.files import shipped_migrations
from eventwriter.postgres.schema.catalog import bind, read_columns
from eventwriter.tables.events import EVENTS
from eventwriter.tables.ocsf.events import OCSF_EVENTS
from eventwriter.tables.table import Row, Table

Connection = psycopg.AsyncConnection[Any]

FOLDERS = ("events_ocsf", "events_cloudevents_gelf", "logs_raw_inputs")

OCSF_OF_JANUARY = """
CREATE TABLE ocsf_events (id uuid NOT NULL, time timestamptz NOT NULL, class_uid integer NOT NULL,
  category_uid integer NOT NULL, type_uid integer NOT NULL, activity_id integer NOT NULL, activity_name text,
  severity_id integer NOT NULL DEFAULT 1, severity text, message text, status_id integer, status text,
  status_code text, status_detail text, metadata jsonb, observables jsonb, trace_id text, span_id text, actor jsonb,
  device jsonb, src_endpoint jsonb, dst_endpoint jsonb, log_name text, log_provider text, log_level text,
  log_version text, unmapped jsonb, raw_data text, created_at timestamptz NOT NULL DEFAULT now(),
  tenant_id uuid NOT NULL DEFAULT '11111111-1111-1111-1111-111111111111', PRIMARY KEY (id, time))
"""
EVENTS_OF_GO = """
CREATE TABLE events (event_timestamp timestamptz NOT NULL, specversion text, id text NOT NULL, source text, type text,
  datacontenttype text, subject text, remote_addr text, host text, level integer, severity text, short_message text,
  version text, raw_data text, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (event_timestamp, id),
  CONSTRAINT events_id_event_timestamp_key UNIQUE (id, event_timestamp))
"""
GENERATIONS = {
    "ours": [m.sql for m in shipped_migrations() if m.table in ("events", "ocsf_events")],
    "the predecessors'": [OCSF_OF_JANUARY, EVENTS_OF_GO],
}


def golden(table: Table) -> list[Row]:
    """Return the rows of all golden payloads in one table."""
    rows: list[Row] = []
    for payload in sorted(p for folder in FOLDERS for p in (DATA / folder).iterdir() if ".row." not in p.name):
        try:
            made = rows_of("events", delivery(payload.read_bytes(), "events.x"))
        except Poison:
            continue
        rows += [row for found, row in made if found is table and row not in rows]
    return rows


async def copied(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    target, real = await read_columns(conn, None, table.name)
    binding = bind(table, real, target)
    out, encode = bytearray(), encoder(binding)
    for row in rows:
        encode(row, out)
    async with conn.cursor() as cursor, cursor.copy(binding.copy_sql) as copy:
        await copy.write(SIGNATURE + bytes(out) + TRAILER)


async def read_back(conn: Connection, table: Table) -> list[dict[str, Any]]:
    names = [column.name for column in table.columns]
    cursor = await conn.execute(f"SELECT {', '.join(names)} FROM {table.name} ORDER BY id")
    return [dict(zip(names, map(shown, row), strict=True)) for row in await cursor.fetchall()]


def shown(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"
    return str(value) if isinstance(value, UUID) else value


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("table", [OCSF_EVENTS, EVENTS], ids=lambda table: table.name)
async def test_golden_rows_are_read_back(database: str, table: Table, generation: str) -> None:
    """Every golden row is read back unchanged from every generation of the table."""
    rows = golden(table)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        for ddl in GENERATIONS[generation]:
            await conn.execute(ddl.encode())
        await copied(conn, table, rows)
        found = await read_back(conn, table)

    assert len(rows) >= 3
    assert sorted((readable(table, row) for row in rows), key=itemgetter("id")) == found
