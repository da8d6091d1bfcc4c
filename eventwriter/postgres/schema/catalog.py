"""
Comparison of a real table with our definition: which columns are written, and how.

A worker binds to its tables before it pulls messages. `read_columns` reads the real columns;
`bind` decides, without I/O. The daemon executes no DDL: if a table does not fit, the error names
the column and the ALTER TABLE that fixes it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from eventwriter.errors import Fatal
from eventwriter.model import Adjustments
from eventwriter.postgres.quoting import quote_ident, quote_idents
from eventwriter.postgres.schema.conversions import (
    CONVERSIONS,
    JSON_TYPES,
    JSONB_VERSION,
    Conversion,
    Converter,
    TargetColumn,
)
from eventwriter.tables.table import Column, RealColumn, Table
from eventwriter.tables.table import plain_type as plain_type

_SQL_TYPES: Mapping[str, str] = {
    "float8": "double precision",
    "int4": "integer",
    "int8": "bigint",
    "bool": "boolean",
    "int4[]": "integer[]",
    "json": "text",
}
"""Our type names whose usual SQL name differs."""

_LIST_COLUMNS = frozenset(
    {
        "observables",
        *("tcp_ports_scanned", "tcp_ports_open", "port_scan_results"),
        *("events", "links", "buckets", "quantiles"),
    }
)
"""JSON columns that hold a list: an absent value is `[]` in them and `{}` in all others."""

_OTHER_RELATIONS: Mapping[str, str] = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
"""Kinds of relations that are not tables, by `relkind`."""

CONSTANT = re.compile(
    r"""\(?(?:-?[0-9.]+(?:[eE][-+]?[0-9]+)?|true|false|'(?:[^']|'')*'|ARRAY\[\])\)?(?:::[\w ."(),\[\]]+)?"""
).fullmatch
"""Matches the SQL of a column default that is a constant, as the server prints it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """How rows of a table definition are written into the real table."""

    table: Table
    target: str
    """Qualified, quoted name of the real table."""
    copy_sql: str
    names: tuple[str, ...]
    """Real columns in COPY's order."""
    present: frozenset[str]
    """Our names of the columns that exist."""
    positions: tuple[int, ...]
    """Indexes into the builder's row, in COPY's order."""
    dumpers: tuple[str, ...]
    """psycopg's type name for each COPY column; "bytea" passes bytes unchanged."""
    converters: tuple[Converter | None, ...]
    """For each COPY column, the function applied to values that are not None."""
    null_as: tuple[bytes | None, ...]
    """For each COPY column, the value written for None."""
    warnings: tuple[str, ...]
    """Differences that do not prevent writing, each to be logged once."""


def bind(table: Table, real: Sequence[RealColumn], target: str, adjustments: Adjustments | None = None) -> Binding:
    """
    Decide how rows of `table` are written into the real table.

    Args:
        real: Columns of the real table.
        target: Its qualified, quoted name.
        adjustments: Counts values that are cut to the range of a narrower column.

    Raises:
        Fatal: A column cannot store our values, or requires a value and is unknown. The message
            lists all such columns, the hint the statements that fix them.
    """
    matches = match_columns(table.columns, real)
    written = [(at, ours, matches[ours.name]) for at, ours in enumerate(table.columns) if ours.name in matches]
    written = [(at, ours, column) for at, ours, column in written if not column.generated]
    _check(table, [(ours, column) for _, ours, column in written], real, target)
    conversions = [(CONVERSIONS[ours.type, column.plain], column) for _, ours, column in written]
    adjustments = adjustments or Adjustments()
    names = tuple(column.name for _, _, column in written)
    return Binding(
        table=table,
        target=target,
        copy_sql=f"COPY {target} ({quote_idents(names)}) FROM STDIN (FORMAT BINARY)",
        names=names,
        present=frozenset(ours.name for _, ours, _ in written),
        positions=tuple(at for at, _, _ in written),
        dumpers=tuple(conversion.dumper for conversion, _ in conversions),
        converters=tuple(_converter(conversion, column, adjustments) for conversion, column in conversions),
        null_as=tuple(null_as(ours, column) for _, ours, column in written),
        warnings=tuple(_warnings(table, matches, target)),
    )


def match_columns(columns: Sequence[Column], real: Sequence[RealColumn]) -> dict[str, RealColumn]:
    """
    Match our columns to real ones: by name, else by a former name that none of our other columns uses.

    Returns:
        Real columns by our name.
    """
    by_name = {column.name: column for column in real}
    matches = {column.name: by_name[column.name] for column in columns if column.name in by_name}
    taken = set(matches)
    for column in columns:
        if column.name in matches:
            continue
        former = next((name for name in column.former_names if name in by_name and name not in taken), None)
        if former is not None:
            matches[column.name] = by_name[former]
            taken.add(former)
    return matches


def null_as(ours: Column, real: RealColumn) -> bytes | None:
    """Return the value written for None: an empty object or list if a JSON column is NOT NULL."""
    is_json = ours.type in JSON_TYPES or real.plain in JSON_TYPES
    if not is_json or not real.not_null or ours.not_null:
        return None
    empty = b"[]" if ours.name in _LIST_COLUMNS or ours.type.endswith("[]") else b"{}"
    return JSONB_VERSION + empty if real.plain == "jsonb" else empty


def _converter(conversion: Conversion, column: RealColumn, adjustments: Adjustments) -> Converter | None:
    return conversion.make(TargetColumn(column.name, adjustments)) if conversion.make else None


def _check(table: Table, written: Sequence[tuple[Column, RealColumn]], real: Sequence[RealColumn], target: str) -> None:
    """Raise Fatal if the real table cannot store the rows."""
    if not written:
        expected = ", ".join(column.name for column in table.columns)
        raise Fatal(
            f"table {target} has none of eventwriter's columns ({expected}), so it is another table of that name",
            code="column_missing",
            hint='rename it and run "eventwriter migrate", or set "schema" to the schema of the right table',
        )
    names = {column.name for _, column in written}
    unknown = [column for column in real if _is_required(column) and column.name not in names]
    problems = [_wrong_type(ours, column, target) for ours, column in written if not _is_convertible(ours, column)]
    problems += [_requires_value(column, target) for column in unknown]
    if problems:
        messages, hints = zip(*problems, strict=True)
        raise Fatal(f"table {target}: {'; '.join(messages)}", code="column_mismatch", hint=f"run {'; '.join(hints)}")


def _is_convertible(ours: Column, real: RealColumn) -> bool:
    return (ours.type, real.plain) in CONVERSIONS


def _is_required(column: RealColumn) -> bool:
    return column.not_null and not column.has_default and not column.generated


def _wrong_type(ours: Column, real: RealColumn, target: str) -> tuple[str, str]:
    """Return the message and the statement for a column of a type that cannot store our values."""
    needed, name = _SQL_TYPES.get(ours.type, ours.type), quote_ident(real.name)
    cast = f"{name}::text" if needed == "text" else f"{name}::text::{needed}"
    return (
        f"column {real.name} is {real.type} and cannot store {needed}",
        f"ALTER TABLE {target} ALTER COLUMN {name} TYPE {needed} USING {cast}",
    )


def _requires_value(column: RealColumn, target: str) -> tuple[str, str]:
    """Return the message and the statement for an unknown column that requires a value."""
    return (
        f"column {column.name} ({column.type}) is NOT NULL without a default and unknown to eventwriter",
        f"ALTER TABLE {target} ALTER COLUMN {quote_ident(column.name)} SET DEFAULT ... (or DROP NOT NULL)",
    )


def _warnings(table: Table, matches: Mapping[str, RealColumn], target: str) -> list[str]:
    """Return the differences that do not prevent writing."""
    pairs = [(ours, matches[ours.name]) for ours in table.columns if ours.name in matches]
    missing = [ours.name for ours in table.columns if ours.name not in matches and not ours.derived]
    required = [real.name for ours, real in pairs if _rejects_null(ours, real)]
    narrow = [f"{real.name} ({real.type})" for ours, real in pairs if (ours.type, real.plain) in _NARROWER]
    zoneless = [real.name for _, real in pairs if real.plain == "timestamp without time zone"]
    texts = (
        (missing, "has no column {}: these values are not stored"),
        (required, "NOT NULL on {}: a message without a value for it becomes a dead letter"),
        (narrow, "{} is narrower than eventwriter's type: larger values are cut to its range"),
        (zoneless, "{} has no time zone: times are written in UTC"),
    )
    return [f"table {target}: {text.format(', '.join(names))}" for names, text in texts if names]


def _rejects_null(ours: Column, real: RealColumn) -> bool:
    return real.not_null and not (ours.not_null or ours.derived or real.generated) and null_as(ours, real) is None


_NARROWER = frozenset({("int4", "smallint"), ("int8", "smallint"), ("int8", "integer")})


async def read_columns(
    conn: psycopg.AsyncConnection[Any], schema: str | None, name: str
) -> tuple[str, list[RealColumn]]:
    """
    Read a table's columns.

    Args:
        schema: The table's schema; None for the connection's search path.

    Returns:
        The table's qualified, quoted name, and its columns in their order.

    Raises:
        Fatal: The table does not exist, is not an ordinary or partitioned table, or may not be written.
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_TABLE_SQL, {"name": name, "schema": schema})
    row = await cursor.fetchone()
    if row is None:
        raise await _missing(conn, schema, name)
    oid, found_schema, kind, role, writable, row_security = row
    target = f"{quote_ident(found_schema)}.{quote_ident(name)}"
    if kind in _OTHER_RELATIONS:
        raise Fatal(
            f"{target} is {_OTHER_RELATIONS[kind]}, and eventwriter writes only tables",
            code="not_a_table",
            hint="name the table behind it",
        )
    if not writable:
        grantee = quote_ident(role)
        raise Fatal(
            f"role {role} may not write {target}",
            code="privilege_missing",
            hint=f"run GRANT USAGE ON SCHEMA {quote_ident(found_schema)} TO {grantee}"
            f" and GRANT SELECT, INSERT, UPDATE ON {target} TO {grantee}",
        )
    if row_security:
        raise Fatal(
            f"row-level security of {target} applies to role {role}, and COPY does not support it",
            code="row_level_security",
            hint=f"run ALTER ROLE {quote_ident(role)} BYPASSRLS, or connect as the table's owner",
        )
    cursor = await conn.execute(_COLUMNS_SQL, (oid,))
    return target, [RealColumn(*row[:-1], tuple(row[-1])) for row in await cursor.fetchall()]  # type: ignore[call-arg]


async def read_defaults(conn: psycopg.AsyncConnection[Any], target: str) -> dict[str, Any]:
    """
    Read the values of column defaults that are constants, such as `'{}'::jsonb` or `true`.

    COPY writes every column that it names, so a row that lacks a value needs the default's value.

    Args:
        target: The table's qualified, quoted name.

    Returns:
        Default values as JSON, by column, without defaults that are computed for each row, such as `now()`.

    Raises:
        psycopg.Error: Raised by the server.
    """
    cursor = await conn.execute(_DEFAULTS_SQL, {"table": target})
    constants = [(name, f"({sql})::{type_name}") for name, type_name, sql in await cursor.fetchall() if CONSTANT(sql)]
    if not constants:
        return {}
    cursor = await conn.execute("SELECT " + ", ".join(f"pg_catalog.to_jsonb({sql})" for _, sql in constants))
    values = await cursor.fetchone()
    assert values is not None
    return {name: value for (name, _), value in zip(constants, values, strict=True) if value is not None}


async def _missing(conn: psycopg.AsyncConnection[Any], schema: str | None, name: str) -> Fatal:
    """Return the error for a missing table, with the schemas that have a table of that name."""
    cursor = await conn.execute(_ELSEWHERE_SQL, (name,))
    row = await cursor.fetchone()
    path, schemas = row if row is not None else ([], [])
    place = f"schema {schema}" if schema is not None else f"the search path ({', '.join(path) or 'empty'})"
    migrate = f'"eventwriter migrate --schema {schema}"' if schema is not None else '"eventwriter migrate"'
    other = f'set "schema" (schema {", ".join(schemas)} has one), or ' if schemas else ""
    return Fatal(
        f"table {name} does not exist in {place}", code="table_missing", hint=f"{other}run {migrate} to create it"
    )


_TABLE_SQL = """
SELECT c.oid, n.nspname, c.relkind::text, current_user::text,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_any_column_privilege(c.oid, 'INSERT'),
       pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE WHEN %(schema)s::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
"""

# A domain is written as its base type, but its own NOT NULL and default apply.
# Columns that are GENERATED ALWAYS, computed or identity, are left out, because COPY may not write them.
_COLUMNS_SQL = """
SELECT a.attname,
       CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod)
            ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END,
       a.attnotnull OR t.typnotnull,
       a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
       a.attgenerated <> '' OR a.attidentity = 'a',
       ARRAY(SELECT e.enumlabel FROM pg_catalog.pg_enum e
             WHERE e.enumtypid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
             ORDER BY e.enumsortorder)::text[]
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_DEFAULTS_SQL = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), t.typdefault)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(table)s::pg_catalog.regclass::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attgenerated = ''
  AND (d.oid IS NOT NULL OR t.typdefault IS NOT NULL)
"""

_ELSEWHERE_SQL = """
SELECT pg_catalog.current_schemas(false)::text[],
       ARRAY(SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname = %s AND c.relkind IN ('r', 'p') ORDER BY 1)::text[]
"""
