"""The tables of existing ServiceRadar databases, of all their generations, as they are: each is written or refused."""

from typing import Any

import psycopg
import pytest

from eventwriter.errors import Fatal
from eventwriter.kinds import KINDS
from eventwriter.postgres.catalog import bind, read_columns
from eventwriter.postgres.encode import SIGNATURE, TRAILER, encoder

TABLES = {table.name: table for kind in KINDS.values() for table in (*kind.tables, *kind.also)}

VALUES = {
    "text": "10.0.0.1",
    "float8": 1.5,
    "int4": 7,
    "int8": 8,
    "bool": False,
    "timestamptz": 0,
    "uuid": bytes(16),
    "jsonb": b'\x01{"a": 1}',
    "int4[]": bytes.fromhex("00000000 00000000 00000017"),
}
"""One value of each of our types, in the form that row builders give; the text is an address for `inet`."""

METRICS = """
CREATE TABLE timeseries_metrics (timestamp timestamptz NOT NULL, {gateway} text NOT NULL, agent_id text,
  metric_name text NOT NULL, metric_type text NOT NULL, device_id text, value double precision NOT NULL, unit text,
  tags jsonb, partition text, scale double precision, is_delta boolean, target_device_ip text, if_index integer,
  metadata jsonb, created_at timestamptz NOT NULL DEFAULT now(){more})
"""

FLOWS = """
CREATE TABLE netflow_metrics (timestamp timestamptz NOT NULL, gateway_id text, agent_id text, device_id text,
  flow_direction text, src_addr text, dst_addr text, src_port integer, dst_port integer, protocol integer,
  packets bigint, octets bigint, sampler_address text, input_snmp integer, output_snmp integer, metadata jsonb,
  created_at timestamptz NOT NULL DEFAULT now())
"""

FLOWS_INET = """
CREATE TABLE netflow_metrics (timestamp timestamptz NOT NULL, src_ip inet, dst_ip inet, sampler_address inet,
  src_port integer, dst_port integer, protocol integer, bytes_total bigint, packets_total bigint, as_path integer[],
  bgp_communities integer[], partition text NOT NULL DEFAULT 'default', metadata jsonb, bgp_observation_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (timestamp, src_ip, dst_ip, protocol, src_port, dst_port))
"""

ACTIVITY_FLAT = """
CREATE TABLE ocsf_network_activity (time timestamptz NOT NULL, class_uid integer NOT NULL DEFAULT 4001,
  category_uid integer NOT NULL DEFAULT 4, activity_id integer NOT NULL DEFAULT 6,
  type_uid integer NOT NULL DEFAULT 400106, severity_id integer NOT NULL DEFAULT 1, src_endpoint_ip text,
  src_endpoint_port integer, bytes_total bigint, ocsf_payload jsonb NOT NULL, partition text DEFAULT 'default',
  created_at timestamptz NOT NULL DEFAULT now())
"""


@pytest.mark.parametrize(
    ("table", "ddl", "warned_of"),
    [
        pytest.param("timeseries_metrics", METRICS.format(gateway="poller_id", more=""), [], id="metrics, Go, 2025"),
        pytest.param("timeseries_metrics", METRICS.format(gateway="gateway_id", more=""), [], id="metrics, Go, 2026"),
        pytest.param(
            "timeseries_metrics",
            METRICS.format(
                gateway="gateway_id",
                more=", series_key text NOT NULL, PRIMARY KEY (timestamp, gateway_id, series_key)",
            ),
            [],
            id="metrics, with their series key",
        ),
        pytest.param("netflow_metrics", FLOWS, [], id="flows, text"),
        pytest.param(
            "netflow_metrics",
            FLOWS_INET,
            ["lacks gateway_id, agent_id, device_id", "NOT NULL on src_ip, dst_ip, src_port, dst_port, protocol"],
            id="flows, inet",
        ),
    ],
)
async def test_table_is_written(database: str, table: str, ddl: str, warned_of: list[str]) -> None:
    """A row of every column goes into the table, and what is lost by its shape is said beforehand."""
    definition = TABLES[table]
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        await conn.execute(ddl)
        target, real = await read_columns(conn, None, table)
        binding = bind(definition, real, target)
        out = bytearray()
        encoder(binding)([VALUES[column.type] for column in definition.columns], out)
        async with conn.cursor() as cursor, cursor.copy(binding.copy_sql) as copy:
            await copy.write(SIGNATURE + bytes(out) + TRAILER)
        row: Any = await (await conn.execute(f"SELECT to_jsonb(t) FROM {table} t")).fetchone()

    assert len(warned_of) == len(binding.warnings)
    assert [] == [words for words, warning in zip(warned_of, binding.warnings, strict=True) if words not in warning]
    defaults = {"created_at", "partition", "as_path", "bgp_communities", "bgp_observation_id"}
    assert {name for name, value in row[0].items() if value is None} <= defaults
    assert {"a": 1} == row[0]["metadata"]


async def test_flat_network_activity_is_refused(database: str) -> None:
    """The flat table insists on a payload column that is not ours; the sentence names it and its mending."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        await conn.execute(ACTIVITY_FLAT)
        target, real = await read_columns(conn, None, "ocsf_network_activity")

    with pytest.raises(Fatal) as caught:
        bind(TABLES["ocsf_network_activity"], real, target)

    assert (
        'table "public"."ocsf_network_activity": column ocsf_payload (jsonb) is NOT NULL without a default and unknown'
        ' to eventwriter; mend it with ALTER TABLE "public"."ocsf_network_activity" ALTER COLUMN "ocsf_payload"'
        " SET DEFAULT ..., or DROP NOT NULL"
    ) == str(caught.value)
