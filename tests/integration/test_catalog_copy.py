"""Every conversion between types, written by binary COPY into a real column and read back."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from eventwriter.errors import Fatal
from eventwriter.model import Adjustments
from eventwriter.postgres.encode import SIGNATURE, TRAILER, encoder
from eventwriter.postgres.schema.catalog import Binding, RealColumn, bind, read_columns
from eventwriter.postgres.schema.conversions import CONVERSIONS
from eventwriter.tables.table import Build, Column, RowBuilder, Table

Connection = psycopg.AsyncConnection[Any]

INT4_ARRAY = struct.pack("!iiI ii", 1, 0, 23, 2, 1) + struct.pack("!ii ii", 4, 22, 4, -443)
TEXT_ARRAY = struct.pack("!iiI ii", 1, 0, 25, 2, 1) + struct.pack("!i 3s i 2s", 3, b"SYN", 2, "é".encode())
NIL_UUID_BUT_ONE = bytes(15) + b"\x01"
NOON_US = (26 * 365 + 7) * 86_400_000_000 + 43_200_000_001
"""2026-01-01 12:00:00.000001 UTC, in microseconds since 2000."""


@dataclass(frozen=True)
class Sample:
    """A value of a definition's type, and its text and JSON forms as read back from the server."""

    value: Any
    text: str
    json: str | None = None
    """Where it differs from the text."""


SAMPLES = {
    "text": Sample("grüße", "grüße", '"grüße"'),
    "float8": Sample(-0.1, "-0.1"),
    "int4": Sample(-(2**31), "-2147483648"),
    "int8": Sample(2**63 - 1, "9223372036854775807"),
    "bool": Sample(True, "true"),
    "timestamptz": Sample(NOON_US, "2026-01-01T12:00:00.000001+00:00", '"2026-01-01T12:00:00.000001+00:00"'),
    "uuid": Sample(NIL_UUID_BUT_ONE, "00000000-0000-0000-0000-000000000001", '"00000000-0000-0000-0000-000000000001"'),
    "json": Sample(b'{"a": [1, null]}', '{"a": [1, null]}'),
    "jsonb": Sample(b'\x01{"a": [1, null]}', '{"a": [1, null]}'),
    "int4[]": Sample(INT4_ARRAY, "[22,-443]"),
    "text[]": Sample(TEXT_ARRAY, '["SYN","é"]'),
    "bytea": Sample(b"\x00\xff", ""),
}

READ_BACK = {
    ("float8", "double precision"): "-0.1",
    ("float8", "real"): "-0.1",
    ("float8", "numeric"): "-0.1",
    ("int4", "integer"): "-2147483648",
    ("int4", "bigint"): "-2147483648",
    ("int4", "smallint"): "-32768",
    ("int4", "numeric"): "-2147483648",
    ("int8", "bigint"): "9223372036854775807",
    ("int8", "integer"): "2147483647",
    ("int8", "smallint"): "32767",
    ("int8", "numeric"): "9223372036854775807",
    ("bool", "boolean"): "true",
    ("timestamptz", "timestamp with time zone"): "2026-01-01 12:00:00.000001+00",
    ("timestamptz", "timestamp without time zone"): "2026-01-01 12:00:00.000001",
    ("uuid", "uuid"): "00000000-0000-0000-0000-000000000001",
    ("int4[]", "integer[]"): "{22,-443}",
    ("text[]", "text[]"): "{SYN,é}",
    ("bytea", "bytea"): "\\x00ff",
}
"""What the server shows, for pairs that are neither text nor JSON there."""

SPELLED = {"character": "character(60)", "character varying": "character varying(60)"}


def expected(ours: str, real: str) -> str:
    if (ours, real) in READ_BACK:
        return READ_BACK[ours, real]
    sample = SAMPLES[ours]
    if real == "jsonb":
        return (sample.json or sample.text).replace(",", ", ").replace(",  ", ", ")
    return (sample.json or sample.text) if real == "json" else sample.text


def table_of(*columns: Column) -> Table:
    def builder(_: Build) -> RowBuilder:
        return lambda record, message, index: ()

    return Table("things", columns, builder, time_column="time")


@pytest.fixture
async def conn(database: str) -> Any:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("SET timezone TO 'UTC'")
        yield connection


async def copy_rows(
    conn: Connection, table: Table, rows: Sequence[Sequence[Any]], tally: Adjustments | None = None
) -> Binding:
    """Bind `table` to the real one of its name, and copy rows into it."""
    target, real = await read_columns(conn, None, table.name)
    binding = bind(table, real, target, tally)
    out = bytearray()
    encode = encoder(binding)
    for row in rows:
        encode(row, out)
    async with conn.cursor() as cursor, cursor.copy(binding.copy_sql) as copy:
        await copy.write(SIGNATURE)
        await copy.write(out)
        await copy.write(TRAILER)
    return binding


async def read_back(conn: Connection, *columns: str) -> list[tuple[Any, ...]]:
    shown = ", ".join(f"{column}::text" for column in columns)
    return await (await conn.execute(f"SELECT {shown} FROM things")).fetchall()


PAIRS = sorted(pair for pair in CONVERSIONS if pair[0] in SAMPLES and pair[1] not in ("citext", "inet", "cidr", "enum"))
"""All but those with tests of their own, here and in test_json_types.py."""


async def test_every_pair_is_copied_and_read_back(conn: Connection) -> None:
    """Each type arrives unchanged in each real type that its conversions list."""
    shown = {}
    for ours, real in PAIRS:
        await conn.execute(f"DROP TABLE IF EXISTS things; CREATE TABLE things (x {SPELLED.get(real, real)})")
        await copy_rows(conn, table_of(Column("x", ours)), [[SAMPLES[ours].value], [None]])
        shown[ours, real] = await read_back(conn, "x")

    assert {(ours, real): [(expected(ours, real),), (None,)] for ours, real in PAIRS} == shown


async def test_text_is_written_to_citext(conn: Connection) -> None:
    """A column of type citext accepts text, whatever schema contains the extension."""
    try:
        await conn.execute("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server has no citext")
    await conn.execute("CREATE TABLE things (x ext.citext, y ext.citext)")

    await copy_rows(conn, table_of(Column("x", "text"), Column("y", "jsonb")), [["Grüße", b"\x01[]"]])

    assert [("Grüße", "[]")] == await read_back(conn, "x", "y")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.3/8", "10.1.2.3/8"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1/128"),
        ("fe80::1/64", "fe80::1/64"),
    ],
)
async def test_text_is_written_to_inet(conn: Connection, address: str, shown: str) -> None:
    """An address in text arrives as the same address in an inet column."""
    await conn.execute("CREATE TABLE things (x inet)")

    await copy_rows(conn, table_of(Column("x", "text")), [[address]])

    assert [(shown,)] == await read_back(conn, "x")


@pytest.mark.parametrize(
    ("value", "real", "shown"),
    [
        (1e300, "numeric", "1" + "0" * 300),
        (1.5e-7, "numeric(20,10)", "0.0000001500"),
        (float("nan"), "numeric", "NaN"),
        (float("-inf"), "numeric", "-Infinity"),
        (float("nan"), "real", "NaN"),
        (float("inf"), "real", "Infinity"),
        (float("nan"), "text", "NaN"),
        (float("-inf"), "text", "-Infinity"),
        (float("inf"), "jsonb", "null"),
        (3.0, "text", "3.0"),
    ],
)
async def test_extreme_floats_are_kept(conn: Connection, value: float, real: str, shown: str) -> None:
    """Large, small, infinite and NaN floats are kept, and are null in JSON."""
    await conn.execute(f"CREATE TABLE things (x {real})")

    await copy_rows(conn, table_of(Column("x", "float8")), [[value]])

    assert [(shown,)] == await read_back(conn, "x")


async def test_clamped_integers_are_counted(conn: Connection) -> None:
    """A value too large for a narrower column arrives as the column's limit, and is counted."""
    await conn.execute("CREATE TABLE things (x smallint)")
    tally = Adjustments()

    await copy_rows(conn, table_of(Column("x", "int4")), [[32767], [32768], [-32769]], tally)

    assert [("32767",), ("32767",), ("-32768",)] == await read_back(conn, "x")
    assert {"x": 2} == tally.clamped_by_column


async def test_absent_json_is_empty_in_a_not_null_column(conn: Connection) -> None:
    """Absent JSON becomes `{}` or `[]` in a NOT NULL column of any type."""
    await conn.execute(
        "CREATE TABLE things (metadata jsonb NOT NULL DEFAULT '{}', observables jsonb NOT NULL,"
        " events text NOT NULL, ports jsonb NOT NULL, device json NOT NULL)"
    )
    table = table_of(
        Column("metadata", "jsonb"),
        Column("observables", "jsonb"),
        Column("events", "jsonb"),
        Column("ports", "int4[]"),
        Column("device", "jsonb"),
    )

    await copy_rows(conn, table, [[None] * 5])

    assert [("{}", "[]", "[]", "[]", "{}")] == await read_back(
        conn, "metadata", "observables", "events", "ports", "device"
    )


async def test_catalog_reads_all_properties_of_columns(conn: Connection) -> None:
    """Types, NOT NULL, defaults, identities, generated columns, domains and enums are read; dropped columns are not."""
    await conn.execute(
        "CREATE DOMAIN label AS varchar(9) NOT NULL DEFAULT 'none'; CREATE TYPE mood AS ENUM ('sad', 'ok');"
        "CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY, gone int, a numeric(5,1) NOT NULL,"
        " b timestamptz DEFAULT now(), c int GENERATED ALWAYS AS (1 + 1) STORED, d label, e int[], f mood);"
        "ALTER TABLE things DROP COLUMN gone"
    )

    assert (
        '"public"."things"',
        [
            RealColumn("id", "bigint", True, True, True),
            RealColumn("a", "numeric(5,1)", True, False, False),
            RealColumn("b", "timestamp with time zone", False, True, False),
            RealColumn("c", "integer", False, True, True),
            RealColumn("d", "character varying(9)", True, True, False),
            RealColumn("e", "integer[]", False, False, False),
            RealColumn("f", "mood", False, False, False, ("sad", "ok")),
        ],
    ) == await read_columns(conn, None, "things")


async def test_table_with_unusual_columns_is_written(conn: Connection) -> None:
    """Generated, identity and domain columns, renamed, reordered and quoted columns do not change a row."""
    await conn.execute(
        'CREATE DOMAIN label AS text; CREATE SCHEMA "a ""b"; SET search_path TO "a ""b", public;'
        'CREATE TABLE "a ""b".things (id bigint GENERATED ALWAYS AS IDENTITY,'
        ' twice int GENERATED ALWAYS AS (n * 2) STORED, poller_id label, n int, "select" int)'
    )
    table = table_of(
        Column("select", "int4"),
        Column("twice", "int4"),
        Column("n", "int4"),
        Column("gateway_id", "text", former_names=("poller_id",)),
    )

    await copy_rows(conn, table, [[1, 99, 3, "gw"]])

    assert [("1", "6", "gw", "3", "1")] == await read_back(conn, "id", "twice", "poller_id", "n", '"select"')


async def test_partitioned_table_is_written(conn: Connection) -> None:
    """A partitioned table is written like any other table."""
    await conn.execute(
        "CREATE TABLE things (x int) PARTITION BY RANGE (x);"
        "CREATE TABLE things_low PARTITION OF things FOR VALUES FROM (0) TO (10)"
    )

    await copy_rows(conn, table_of(Column("x", "int4")), [[7]])

    assert [("7",)] == await (await conn.execute("SELECT x::text FROM things_low")).fetchall()


@pytest.mark.parametrize(
    ("ddl", "schema", "sentence"),
    [
        pytest.param(
            "",
            None,
            'table things does not exist in the search path (public); run "eventwriter migrate" to create it',
            id="nowhere",
        ),
        pytest.param(
            "CREATE SCHEMA platform; CREATE TABLE platform.things (x int)",
            None,
            'table things does not exist in the search path (public); set "schema" (schema platform has one),'
            ' or run "eventwriter migrate" to create it',
            id="elsewhere",
        ),
        pytest.param(
            "",
            "platform",
            'table things does not exist in schema platform; run "eventwriter migrate --schema platform" to create it',
            id="not in the schema",
        ),
        pytest.param(
            "CREATE VIEW things AS SELECT 1 AS x",
            None,
            '"public"."things" is a view, and eventwriter writes only tables; name the table behind it',
            id="view",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW things AS SELECT 1 AS x",
            None,
            '"public"."things" is a materialized view, and eventwriter writes only tables; name the table behind it',
            id="materialized view",
        ),
        pytest.param(
            "CREATE TABLE things (x int); CREATE ROLE reader; GRANT SELECT ON things TO reader; SET ROLE reader",
            None,
            'role reader may not write "public"."things"; run GRANT USAGE ON SCHEMA "public" TO "reader"'
            ' and GRANT SELECT, INSERT, UPDATE ON "public"."things" TO "reader"',
            id="no privilege",
        ),
        pytest.param(
            "CREATE SCHEMA locked; CREATE TABLE locked.things (x int); CREATE ROLE outsider;"
            "GRANT INSERT ON locked.things TO outsider; SET ROLE outsider",
            "locked",
            'role outsider may not write "locked"."things"; run GRANT USAGE ON SCHEMA "locked" TO "outsider"'
            ' and GRANT SELECT, INSERT, UPDATE ON "locked"."things" TO "outsider"',
            id="no privilege on the schema",
        ),
        pytest.param(
            "CREATE TABLE things (x int); ALTER TABLE things ENABLE ROW LEVEL SECURITY; CREATE ROLE writer;"
            "GRANT INSERT ON things TO writer; SET ROLE writer",
            None,
            'row-level security of "public"."things" applies to role writer, and COPY does not support it;'
            ' run ALTER ROLE "writer" BYPASSRLS, or connect as the table\'s owner',
            id="row-level security",
        ),
    ],
)
async def test_table_that_cannot_be_written_is_an_error(
    conn: Connection, ddl: str, schema: str | None, sentence: str
) -> None:
    """A missing table, an object of another type and a missing privilege are errors with a hint."""
    async with conn.transaction(force_rollback=True):
        if ddl:
            await conn.execute(ddl)

        with pytest.raises(Fatal) as caught:
            await read_columns(conn, schema, "things")

    assert sentence == str(caught.value)
