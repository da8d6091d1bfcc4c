"""Tables of existing ServiceRadar databases of all generations: each is filled, or refused with a reason."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from fix_servers import Addresses
from generations import GENERATIONS, TENANT, Sample, as_stored, definitions, samples, statements
from golden_rows import ORIGIN

from eventwriter.errors import Fatal, Poison
from eventwriter.model import Adjustments
from eventwriter.postgres.encode import SIGNATURE, TRAILER, encoder
from eventwriter.postgres.migrate.files import shipped_migrations
from eventwriter.postgres.schema.catalog import Binding, bind, read_columns
from eventwriter.tables.table import Build, Row
from eventwriter.worker.table_binding import find_table

DDL = {generation: statements(generation) for generation in GENERATIONS}
TENANT_DEFAULTED = f"{TENANT} DEFAULT '00000000-0000-0000-0000-000000000001'"
RENAMED = ("timeseries_metrics", "sweep_host_states", "netflow_metrics")
FLAT_AT_FIRST = DDL["platform"]["ocsf_network_activity"].partition(";")[0]

CASES = {
    **{f"go/{table}": ddl for table, ddl in DDL["go"].items()},
    **{f"go with poller_id/{table}": DDL["go"][table].replace("gateway_id", "poller_id") for table in RENAMED},
    **{f"tenants, defaulted/{t}": ddl.replace(TENANT, TENANT_DEFAULTED) for t, ddl in DDL["tenants"].items()},
    **{f"tenants, without/{t}": re.sub(f"{TENANT},\\s*", "", ddl) for t, ddl in DDL["tenants"].items()},
    **{f"platform/{table}": ddl for table, ddl in DDL["platform"].items()},
    "platform, 1 February/ocsf_network_activity": FLAT_AT_FIRST,
    **{f"ours/{each.table}": each.sql for each in shipped_migrations() if definitions(each.table)},
}
"""Generation and table → the statements that make it; those of `eventwriter migrate` are the last."""

FILLED = [
    pytest.param(name.partition("/")[2], ddl, kind, id=f"{name}, {kind}")
    for name, ddl in CASES.items()
    for kind, _ in definitions(name.partition("/")[2])
]

LOST_OTEL = (
    'table "public"."otel_metrics": has no column value, count, sum, min, max, buckets, quantiles, attributes,'
    " resource_attributes, scope_name, scope_version, temporality, is_monotonic, start_timestamp, series_key:"
    " these values are not stored"
)
WARNINGS: dict[str, list[str]] = {
    **{f"{name}/otel_metrics": [LOST_OTEL] for name in ("go", "tenants, without", "platform")},
    "go/logs": [
        'table "public"."logs": has no column id, observed_timestamp, trace_flags, event_name, source,'
        " scope_attributes: these values are not stored",
        'table "public"."logs": NOT NULL on trace_id, span_id: a message without a value for it becomes a dead letter',
    ],
    "tenants, without/logs": [
        'table "public"."logs": has no column observed_timestamp, trace_flags, event_name, source, scope_attributes:'
        " these values are not stored"
    ],
    "tenants, without/ocsf_events": [
        'table "public"."ocsf_events": NOT NULL on severity_id: a message without a value for it becomes a dead letter'
    ],
    "platform/netflow_metrics": [
        'table "public"."netflow_metrics": NOT NULL on src_ip, dst_ip: a message without a value for it becomes a'
        " dead letter"
    ],
}
NARROW = (
    ", which eventwriter needs to tell rows apart: of different rows with the same key only the first is kept; set"
    ' "on_conflict" to "append" to store the messages of the others as dead letters'
)
APPEND = (
    " and on_conflict is append: a message whose key exists already becomes a dead letter; set"
    ' "on_conflict" to "nothing" to keep the existing row, or to "replace"'
)
OTEL_KEY = (
    'table "public"."otel_metrics": the unique key otel_metrics_pkey ("timestamp", span_name, service_name, span_id)'
    f" lacks metric_type, series_key{NARROW}"
)
KEY_WARNINGS = {
    **{f"{name}/otel_metrics": [OTEL_KEY] for name in ("go", "tenants, without", "platform")},
    "go/logs": [f'table "public"."logs": the unique key logs_pkey ("timestamp", trace_id, span_id) lacks id{NARROW}'],
    "platform/timeseries_metrics": [
        'table "public"."timeseries_metrics" has the unique key timeseries_metrics_pkey ("timestamp", gateway_id,'
        f" series_key){APPEND}"
    ],
    "platform/netflow_metrics": [
        'table "public"."netflow_metrics" has the unique key netflow_metrics_pkey ("timestamp", src_ip, dst_ip,'
        f" protocol, src_port, dst_port){APPEND}"
    ],
}
"""What is said once of a table before it is filled; nothing of all the others."""

NARROW_KEYS = {"otel_metrics", "logs", "netflow_metrics", "sweep_host_states", "otel_traces"}
"""Tables whose keys in these generations let some of the samples collide; the conflict rule decides there."""


@pytest.fixture(scope="module")
def shared_database(servers: Addresses) -> Iterator[str]:
    """One database for all tables, one after another."""
    name = f"generations_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    yield servers.database_url(name)
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(shared_database: str) -> str:
    """The shared database without tables."""
    with psycopg.connect(shared_database, autocommit=True) as conn:
        conn.execute("DROP SCHEMA public CASCADE")
        conn.execute("CREATE SCHEMA public")
    return shared_database


async def bind_table(conn: psycopg.AsyncConnection[Any], table: str, ddl: str, kind: str) -> Binding:
    """Create the real table and bind a kind's definition to it, as a worker does."""
    await conn.execute(ddl)
    target, real = await read_columns(conn, None, table)
    definition = dict(definitions(table))[kind].for_columns(column.name for column in real)
    return bind(definition, real, target)


def rows_of(binding: Binding, sample: Sample) -> list[Row]:
    build = Build(ORIGIN, Adjustments(), binding.present, redact=frozenset({"community"}))
    make = binding.table.builder(build)
    try:
        rows = [make(record, sample.message, index) for index, record in enumerate(sample.records)]
    except Poison:
        return []
    return [row for row in rows if row is not None]


async def copy_row(conn: psycopg.AsyncConnection[Any], binding: Binding, row: Row) -> bool:
    """Copy one row; return whether its key was new."""
    out = bytearray()
    encoder(binding)(row, out)
    try:
        async with conn.transaction(), conn.cursor() as cursor, cursor.copy(binding.copy_sql) as copy:
            await copy.write(SIGNATURE + bytes(out) + TRAILER)
    except psycopg.errors.UniqueViolation:
        return False
    return True


@pytest.mark.parametrize(("table", "ddl", "kind"), FILLED)
async def test_table_is_filled(database: str, table: str, ddl: str, kind: str) -> None:
    """Every valid message of a kind is in the real table, each value in its column."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        await conn.execute("SET timezone TO 'UTC'")
        binding = await bind_table(conn, table, f"{ddl}; ALTER TABLE {table} ADD arrival bigserial", kind)
        rows = [row for sample in samples(kind) for row in rows_of(binding, sample)]
        written = [row for row in rows if await copy_row(conn, binding, row)]
        stored: Any = await (await conn.execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY arrival")).fetchall()

    assert len(written) >= 3
    assert table in NARROW_KEYS or len(rows) == len(written)
    columns = [binding.table.columns[at] for at in binding.positions]
    for row, (found,) in zip(written, stored, strict=True):
        values = [row[at] for at in binding.positions]
        for column, name, value in zip(columns, binding.names, values, strict=True):
            assert (name, as_stored(column, value, found[name])) == (name, found[name])


@pytest.mark.parametrize("name", [name for name in CASES if "defaulted" not in name])
async def test_values_that_a_table_cannot_hold_are_warnings(database: str, name: str) -> None:
    """The bind warns of exactly the values that a table cannot store."""
    table = name.partition("/")[2]
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        binding = await bind_table(conn, table, CASES[name], definitions(table)[0][0])
        found = await find_table(conn, None, dict(definitions(table))[definitions(table)[0][0]])

    assert WARNINGS.get(name, []) == list(binding.warnings)
    assert KEY_WARNINGS.get(name, []) == found.warnings(binding)


@pytest.mark.parametrize("table", DDL["tenants"])
async def test_table_with_an_unset_tenant_is_fatal(database: str, table: str) -> None:
    """A required tenant that is not configured is fatal, and the error says how to set it."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        with pytest.raises(Fatal) as caught:
            await bind_table(conn, table, DDL["tenants"][table], definitions(table)[0][0])

    assert (
        f'table "public"."{table}": column tenant_id (uuid) is NOT NULL without a default and unknown to eventwriter;'
        f' run ALTER TABLE "public"."{table}" ALTER COLUMN "tenant_id" SET DEFAULT ... (or DROP NOT NULL)'
    ) == str(caught.value)


async def test_flat_table_with_an_unknown_required_column_is_fatal(database: str) -> None:
    """A flat table with an unknown NOT NULL column without a default is fatal."""
    ddl = FLAT_AT_FIRST + "; ALTER TABLE ocsf_network_activity ADD site text NOT NULL"
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        with pytest.raises(Fatal, match=r"column site \(text\) is NOT NULL without a default and unknown"):
            await bind_table(conn, "ocsf_network_activity", ddl, "netflow")
