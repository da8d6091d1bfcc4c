"""
The real tables that payloads are thrown at, and how each kind is bound to them.

One schema for each family: `ours` (as migrate makes them), ServiceRadar's three generations, two with the
types of all columns twisted to others that they fit, and `of_any_type` with a column of every type for kind `json`.
Unique keys are replaced by plain indexes there: rows of a fuzz collide, and what an index refuses still shows.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from generations import GENERATIONS, TENANT, statements
from golden_rows import ORIGIN

from eventwriter.config.settings import StreamSettings
from eventwriter.errors import Fatal
from eventwriter.kinds.registry import KINDS, Kind
from eventwriter.model import Adjustments
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.encode import Encode, encoder
from eventwriter.postgres.migrate.plan import MigrateOptions
from eventwriter.postgres.migrate.runner import migrate
from eventwriter.postgres.schema.catalog import Binding, bind, read_columns
from eventwriter.postgres.schema.conversions import CONVERSIONS
from eventwriter.tables.generic.values import COLUMN_TYPES, ELEMENT_OIDS
from eventwriter.tables.table import Build, RowBuilder, Table
from eventwriter.worker.table_binding import find_tables

OURS, ANY = "ours", "of_any_type"
TWISTS = 2
_NARROW = ("inet", "cidr", "enum", "citext", "character")
"""Types that hardly any text fits: nearly all rows would be refused, and nothing else be seen."""

_RELAX_SQL = """
SELECT c.conrelid::regclass::text, c.conname, array_agg(quote_ident(a.attname) ORDER BY k.n)::text[]
FROM pg_constraint c JOIN pg_namespace s ON s.oid = c.connamespace
     CROSS JOIN unnest(c.conkey) WITH ORDINALITY AS k(attnum, n)
     JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
WHERE c.contype IN ('p', 'u') AND s.nspname = %s AND c.conrelid::regclass::text NOT LIKE '%%eventwriter%%'
GROUP BY 1, 2
"""
_MAP = {"c1": "a.b[0].c", "c2": "$payload", "c3": "$header.X", "c4": "$subject", "c5": "a.b"}


@dataclass(frozen=True, slots=True)
class Made:
    """One table of a lane, with a builder of its own."""

    binding: Binding
    build: RowBuilder
    encode: Encode


@dataclass(frozen=True, slots=True)
class Lane:
    """One kind, bound to what a slot of it would fill in one schema."""

    kind: Kind
    schema: str
    bindings: tuple[Binding, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind.name} → {self.schema}.{self.bindings[0].table.name}"

    def made(self) -> tuple[Made, ...]:
        """Return new builders, which remember nothing yet."""

        def one(binding: Binding) -> Made:
            build = Build(
                ORIGIN, Adjustments(), binding.present, redact=frozenset({"community"}), options={**self.options}
            )  # fmt: skip
            return Made(binding, binding.table.builder(build), encoder(binding))

        return tuple(one(binding) for binding in self.bindings)


def make_tables(dsn: str) -> None:
    """Make all schemas with their tables."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        list(migrate(conn, "the fuzz's server", MigrateOptions(schema=OURS, plain=True)))
        for generation in GENERATIONS:
            _schema(conn, generation)
            for ddl in statements(generation).values():
                conn.execute(ddl.replace(TENANT, f"{TENANT} DEFAULT '00000000-0000-0000-0000-000000000001'").encode())
        _make_any(conn)
    asyncio.run(_make_twisted(dsn))
    with psycopg.connect(dsn, autocommit=True) as conn:
        for schema in _schemas():
            _relax(conn, schema)


def _schemas() -> list[str]:
    return [OURS, *GENERATIONS, *(f"twisted{n}" for n in range(TWISTS)), ANY]


def _schema(conn: psycopg.Connection[Any], name: str) -> None:
    conn.execute(f"CREATE SCHEMA {name}".encode())
    conn.execute(f"SET search_path TO {name}".encode())


def _make_any(conn: psycopg.Connection[Any]) -> None:
    _schema(conn, ANY)
    conn.execute("CREATE TYPE word AS ENUM ('ok', 'bad', '5')")
    names = [*COLUMN_TYPES, *(f"{element}[]" for element in ELEMENT_OIDS)]
    names.remove("citext")
    columns = ", ".join(f'"{name}" {"word" if name == "enum" else name}' for name in names if name != "character")
    conn.execute(f'CREATE TABLE things ({columns}, "character" char(20), rest jsonb)'.encode())
    conn.execute(
        "CREATE TABLE kept (made_at timestamptz NOT NULL DEFAULT now(), made_id uuid DEFAULT gen_random_uuid(),"
        ' counted bigserial, text varchar(40) NOT NULL, "integer" int NOT NULL DEFAULT 7, c1 text, c2 text, c3 text,'
        " c4 varchar, c5 jsonb, rest json NOT NULL)"
    )


async def _make_twisted(dsn: str) -> None:
    """Make our tables with each column's type exchanged for another one that it fits."""
    alternatives: dict[str, list[str]] = {}
    for ours, real in CONVERSIONS:
        if real not in _NARROW:
            alternatives.setdefault(ours, []).append(real)
    tables = {t.name: t for kind in KINDS.values() for t in (*kind.tables, *kind.also)}
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        for n in range(TWISTS):
            await conn.execute(f"CREATE SCHEMA twisted{n}".encode())
            for table in tables.values():
                columns = [
                    f'"{column.name}" {alternatives[column.type][(at + n) % len(alternatives[column.type])]}'
                    + " NOT NULL" * column.not_null
                    for at, column in enumerate(table.columns)
                ]
                await conn.execute(f"CREATE TABLE twisted{n}.{table.name} ({', '.join(columns)})".encode())


def _relax(conn: psycopg.Connection[Any], schema: str) -> None:
    conn.execute(f"SET search_path TO {schema}".encode())
    for table, name, columns in conn.execute(_RELAX_SQL, (schema,)).fetchall():
        required = conn.execute(
            "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnotnull AND attnum > 0",
            (table,),
        ).fetchall()
        conn.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'.encode())
        for (column,) in required:
            conn.execute(f"ALTER TABLE {table} ALTER {column} SET NOT NULL".encode())
        conn.execute(f"CREATE INDEX ON {table} ({', '.join(columns)})".encode())


async def lanes(dsn: str) -> tuple[list[Lane], Lane]:
    """Bind every kind to every table that it can fill; return the lanes, and that of dead letters."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        found: list[Lane] = []
        for kind in KINDS.values():
            if kind.any_table:
                found += [await _any_lane(conn, kind, name) for name in ("things", "kept")]
                continue
            for schema in _schemas():
                for table in (*kind.tables, *kind.also):
                    found += await _lane(conn, kind, schema, table)
        target, real = await read_columns(conn, OURS, DEAD_LETTERS.name)
        letters = Lane(KINDS["telemetry"], OURS, (bind(DEAD_LETTERS, real, target),), {"consumer": "c", "kind": "k"})
        return found, letters


async def _lane(conn: psycopg.AsyncConnection[Any], kind: Kind, schema: str, table: Table) -> Sequence[Lane]:
    try:
        target, real = await read_columns(conn, schema, table.name)
    except Fatal:
        return ()  # a generation without this table
    binding = bind(table.for_columns(column.name for column in real), real, target)
    return [Lane(kind, schema, (binding,), {"keep_raw": schema == OURS})]


async def _any_lane(conn: psycopg.AsyncConnection[Any], kind: Kind, name: str) -> Lane:
    entry = {"name": "X", "stream_name": "events", "subjects": ("x.>",), "kind": "json", "tables": (f"{ANY}.{name}",)}
    stream = StreamSettings.model_validate({**entry, "rest": "rest", **({"map": _MAP} if name == "kept" else {})})
    tables = await find_tables(conn, stream, kind)
    return Lane(kind, ANY, tuple(table.bind() for table in tables), stream.options)
