"""
Tables that the fuzz test writes to, and the bindings of each kind to them.

One schema per family: `migrated` (as `eventwriter migrate` creates them), ServiceRadar's three generations, two with
other column types that accept the same values, and `of_any_type` with a column of every type for kind `json`.
Unique keys are replaced by plain indexes, because fuzzed rows collide; values that an index rejects are still found.
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

MIGRATED, ANY = "migrated", "of_any_type"
RETYPED_SCHEMAS = 2
_NARROW = ("inet", "cidr", "enum", "citext", "character")
"""Types that accept hardly any text: nearly all rows would be rejected, which would hide other findings."""

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
class TableWriter:
    """One table of a target, with its own row builder."""

    binding: Binding
    build: RowBuilder
    encode: Encode


@dataclass(frozen=True, slots=True)
class Target:
    """One kind, bound to the tables that a slot of this kind would fill in one schema."""

    kind: Kind
    schema: str
    bindings: tuple[Binding, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind.name} → {self.schema}.{self.bindings[0].table.name}"

    def writers(self) -> tuple[TableWriter, ...]:
        """Return new row builders with empty caches."""

        def writer(binding: Binding) -> TableWriter:
            build = Build(
                ORIGIN, Adjustments(), binding.present, redact=frozenset({"community"}), options={**self.options}
            )  # fmt: skip
            return TableWriter(binding, binding.table.builder(build), encoder(binding))

        return tuple(writer(binding) for binding in self.bindings)


def create_tables(dsn: str) -> None:
    """Create all schemas and their tables."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        list(migrate(conn, "the fuzz server", MigrateOptions(schema=MIGRATED, plain=True)))
        for generation in GENERATIONS:
            _schema(conn, generation)
            for ddl in statements(generation).values():
                conn.execute(ddl.replace(TENANT, f"{TENANT} DEFAULT '00000000-0000-0000-0000-000000000001'").encode())
        _create_any_type_tables(conn)
    asyncio.run(_create_retyped_tables(dsn))
    with psycopg.connect(dsn, autocommit=True) as conn:
        for schema in _schemas():
            _relax(conn, schema)


def _schemas() -> list[str]:
    return [MIGRATED, *GENERATIONS, *(f"retyped{n}" for n in range(RETYPED_SCHEMAS)), ANY]


def _schema(conn: psycopg.Connection[Any], name: str) -> None:
    conn.execute(f"CREATE SCHEMA {name}".encode())
    conn.execute(f"SET search_path TO {name}".encode())


def _create_any_type_tables(conn: psycopg.Connection[Any]) -> None:
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


async def _create_retyped_tables(dsn: str) -> None:
    """Create eventwriter's tables with another accepted type for each column."""
    alternatives: dict[str, list[str]] = {}
    for declared, real in CONVERSIONS:
        if real not in _NARROW:
            alternatives.setdefault(declared, []).append(real)
    tables = {t.name: t for kind in KINDS.values() for t in (*kind.tables, *kind.also)}
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        for n in range(RETYPED_SCHEMAS):
            await conn.execute(f"CREATE SCHEMA retyped{n}".encode())
            for table in tables.values():
                columns = [
                    f'"{column.name}" {alternatives[column.type][(at + n) % len(alternatives[column.type])]}'
                    + " NOT NULL" * column.not_null
                    for at, column in enumerate(table.columns)
                ]
                await conn.execute(f"CREATE TABLE retyped{n}.{table.name} ({', '.join(columns)})".encode())


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


async def load_targets(dsn: str) -> tuple[list[Target], Target]:
    """Bind every kind to every table that it can fill; return these targets, and the one of dead letters."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        found: list[Target] = []
        for kind in KINDS.values():
            if kind.any_table:
                found += [await _any_bind_table(conn, kind, name) for name in ("things", "kept")]
                continue
            for schema in _schemas():
                for table in (*kind.tables, *kind.also):
                    found += await _bind_table(conn, kind, schema, table)
        target, real = await read_columns(conn, MIGRATED, DEAD_LETTERS.name)
        dead_letters = Target(
            KINDS["telemetry"], MIGRATED, (bind(DEAD_LETTERS, real, target),), {"consumer": "c", "kind": "k"}
        )
        return found, dead_letters


async def _bind_table(conn: psycopg.AsyncConnection[Any], kind: Kind, schema: str, table: Table) -> Sequence[Target]:
    try:
        target, real = await read_columns(conn, schema, table.name)
    except Fatal:
        return ()  # this generation does not have the table
    binding = bind(table.for_columns(column.name for column in real), real, target)
    return [Target(kind, schema, (binding,), {"keep_raw": schema == MIGRATED})]


async def _any_bind_table(conn: psycopg.AsyncConnection[Any], kind: Kind, name: str) -> Target:
    entry = {"name": "X", "stream_name": "events", "subjects": ("x.>",), "kind": "json", "tables": (f"{ANY}.{name}",)}
    stream = StreamSettings.model_validate({**entry, "rest": "rest", **({"map": _MAP} if name == "kept" else {})})
    tables = await find_tables(conn, stream, kind)
    return Target(kind, ANY, tuple(table.bind() for table in tables), stream.options)
