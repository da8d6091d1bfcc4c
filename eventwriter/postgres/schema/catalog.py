"""
The real table against our definition: what is written, how, and what is refused.

A worker binds to its tables before it pulls a message. `read_columns` asks the
server what there is; `bind` decides, purely. The running writer issues no DDL: where
a table does not fit, the sentence says which column, and the ALTER that mends it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from eventwriter.errors import Fatal
from eventwriter.model import Adjustments
from eventwriter.postgres.schema.conversions import CONVERSIONS, JSON_TYPES, JSONB_VERSION, Converter, Fit, Site
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
"""Our type names that people write otherwise in an ALTER."""

_LISTS = frozenset(
    {
        "observables",
        *("tcp_ports_scanned", "tcp_ports_open", "port_scan_results"),
        *("events", "links", "buckets", "quantiles"),
    }
)
"""JSON columns that hold a list: absent means `[]` in them, and `{}` in all others."""

_KINDS: Mapping[str, str] = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}

CONSTANT = re.compile(
    r"""\(?(?:-?[0-9.]+(?:[eE][-+]?[0-9]+)?|true|false|'(?:[^']|'')*'|ARRAY\[\])\)?(?:::[\w ."(),\[\]]+)?"""
).fullmatch
"""Whether a default's SQL is a constant, as the server writes them."""


@dataclass(frozen=True, slots=True)
class Binding:
    """How rows of a table definition are written into the real table."""

    table: Table
    target: str
    """The real table's qualified, quoted name."""
    copy_sql: str
    names: tuple[str, ...]
    """The real columns, in COPY's order."""
    present: frozenset[str]
    """Our names of the columns that are there."""
    positions: tuple[int, ...]
    """Indexes into the builder's row, in COPY's order."""
    dumpers: tuple[str, ...]
    """psycopg's type name per COPY column; "bytea" passes bytes through as they are."""
    converters: tuple[Converter | None, ...]
    """Per COPY column, applied to values that are not None."""
    null_as: tuple[bytes | None, ...]
    """Per COPY column, what is written for None."""
    warnings: tuple[str, ...]
    """One sentence each, to be logged once."""


def quoted(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def bind(table: Table, real: Sequence[RealColumn], target: str, tally: Adjustments | None = None) -> Binding:
    """
    Decide how `table`'s rows are written into the real table.

    Args:
        real: The real table's columns.
        target: Its qualified, quoted name.
        tally: Where values that are cut to a narrower column are counted.

    Raises:
        Fatal: A column cannot take our values, or must be filled and is not known to us. All of
            them in one sentence each, with what mends them.
    """
    found = matched(table.columns, real)
    written = [(at, ours, found[ours.name]) for at, ours in enumerate(table.columns) if ours.name in found]
    written = [(at, ours, there) for at, ours, there in written if not there.generated]
    problems = _problems(table, written, real, target)
    if problems:
        raise Fatal("; ".join(problems))
    fits = [(CONVERSIONS[ours.type, there.plain], there) for _, ours, there in written]
    tally = tally or Adjustments()
    names = tuple(there.name for _, _, there in written)
    return Binding(
        table=table,
        target=target,
        copy_sql=f"COPY {target} ({', '.join(map(quoted, names))}) FROM STDIN (FORMAT BINARY)",
        names=names,
        present=frozenset(ours.name for _, ours, _ in written),
        positions=tuple(at for at, _, _ in written),
        dumpers=tuple(fit.dumper for fit, _ in fits),
        converters=tuple(_converter(fit, there, tally) for fit, there in fits),
        null_as=tuple(null_as(ours, there) for _, ours, there in written),
        warnings=tuple(_warnings(table, found, target)),
    )


def matched(columns: Sequence[Column], real: Sequence[RealColumn]) -> dict[str, RealColumn]:
    """
    Match our columns to real ones: by name, else by an older name that no other column of ours has.

    Returns:
        By our name.
    """
    there = {column.name: column for column in real}
    found = {column.name: there[column.name] for column in columns if column.name in there}
    taken = set(found)
    for column in columns:
        if column.name in found:
            continue
        older = next((name for name in column.former_names if name in there and name not in taken), None)
        if older is not None:
            found[column.name] = there[older]
            taken.add(older)
    return found


def null_as(ours: Column, there: RealColumn) -> bytes | None:
    """Return what is written for None: an empty object or list where a JSON column may not be NULL."""
    real_type = there.plain
    is_json = ours.type in JSON_TYPES or real_type in JSON_TYPES
    if not is_json or not there.not_null or ours.not_null:
        return None
    empty = b"[]" if ours.name in _LISTS or ours.type.endswith("[]") else b"{}"
    return JSONB_VERSION + empty if real_type == "jsonb" else empty


def _converter(fit: Fit, there: RealColumn, tally: Adjustments) -> Converter | None:
    return fit.make(Site(there.name, tally)) if fit.make else None


def _problems(
    table: Table, written: Sequence[tuple[int, Column, RealColumn]], real: Sequence[RealColumn], target: str
) -> list[str]:
    if not written:
        names = ", ".join(column.name for column in table.columns)
        another = f"table {target} has none of eventwriter's columns ({names}), so it is another table of that name"
        return [f'{another}; rename it and run "eventwriter migrate", or set "schema" to where the right one is']
    problems = []
    for _, ours, there in written:
        if (ours.type, there.plain) not in CONVERSIONS:
            wanted, name = _SQL_TYPES.get(ours.type, ours.type), quoted(there.name)
            cast = f"{name}::text" if wanted == "text" else f"{name}::text::{wanted}"
            problems.append(
                f"table {target}: column {there.name} is {there.type} and cannot take eventwriter's {wanted};"
                f" mend it with ALTER TABLE {target} ALTER COLUMN {name} TYPE {wanted} USING {cast}"
            )
    filled = {there.name for _, _, there in written}
    unknown = [c for c in real if c.not_null and not c.has_default and not c.generated and c.name not in filled]
    problems.extend(
        f"table {target}: column {column.name} ({column.type}) is NOT NULL without a default and unknown to"
        f" eventwriter; mend it with ALTER TABLE {target} ALTER COLUMN {quoted(column.name)} SET DEFAULT ...,"
        " or DROP NOT NULL"
        for column in unknown
    )
    return problems


def _warnings(table: Table, found: Mapping[str, RealColumn], target: str) -> list[str]:
    """Say what differs and is lived with."""
    warnings = []
    lacking = [column.name for column in table.columns if column.name not in found and not column.derived]
    if lacking:
        warnings.append(f"table {target} lacks {', '.join(lacking)}: these values are not stored")
    pairs = [(ours, found[ours.name]) for ours in table.columns if ours.name in found]
    refused = [
        there.name
        for ours, there in pairs
        if there.not_null and not (ours.not_null or ours.derived or there.generated) and null_as(ours, there) is None
    ]
    if refused:
        warnings.append(
            f"table {target}: NOT NULL on {', '.join(refused)}: a message without a value for it becomes a dead letter"
        )
    narrow = [f"{there.name} ({there.type})" for ours, there in pairs if _narrower(ours, there)]
    if narrow:
        warnings.append(f"table {target}: {', '.join(narrow)} narrower than eventwriter's: larger values are cut")
    zoneless = [there.name for _, there in pairs if there.plain == "timestamp without time zone"]
    if zoneless:
        warnings.append(f"table {target}: {', '.join(zoneless)} without time zone: times are written in UTC")
    return warnings


def _narrower(ours: Column, there: RealColumn) -> bool:
    return (ours.type, there.plain) in (("int4", "smallint"), ("int8", "smallint"), ("int8", "integer"))


async def read_columns(
    conn: psycopg.AsyncConnection[Any], schema: str | None, name: str
) -> tuple[str, list[RealColumn]]:
    """
    Ask the server for a table's columns.

    Args:
        schema: Where to look; None for the connection's search path.

    Returns:
        The table's qualified, quoted name, and its columns in their order.

    Raises:
        Fatal: It is not there, is no table, or may not be written by this role.
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(TABLE, {"name": name, "schema": schema})
    row = await cursor.fetchone()
    if row is None:
        raise Fatal(await _missing(conn, schema, name))
    oid, found_schema, kind, role, writable, row_security = row
    target = f"{quoted(found_schema)}.{quoted(name)}"
    if kind in _KINDS:
        raise Fatal(
            f"{target} is {_KINDS[kind]}, and eventwriter writes ordinary tables only; name the table behind it"
        )
    if not writable:
        raise Fatal(
            f"role {role} may not write {target}; run GRANT USAGE ON SCHEMA {quoted(found_schema)} TO {quoted(role)}"
            f" and GRANT SELECT, INSERT, UPDATE ON {target} TO {quoted(role)}"
        )
    if row_security:
        raise Fatal(
            f"row-level security of {target} applies to role {role}, and COPY does not work under it;"
            f" run ALTER ROLE {quoted(role)} BYPASSRLS, or connect as the table's owner"
        )
    cursor = await conn.execute(COLUMNS, (oid,))
    facts = await cursor.fetchall()
    return target, [RealColumn(*fact[:-1], tuple(fact[-1])) for fact in facts]  # type: ignore[call-arg]


async def read_defaults(conn: psycopg.AsyncConnection[Any], target: str) -> dict[str, Any]:
    """
    Ask the server for the values of the defaults that are constants (`'{}'::jsonb`, `1`, `true`).

    COPY writes every column that it names, so whoever names one must know what its default would have been.

    Args:
        target: The table's qualified, quoted name.

    Returns:
        By column, as JSON; defaults that are computed for each row (`now()`) are not there.

    Raises:
        psycopg.Error: As the server says.
    """
    cursor = await conn.execute(DEFAULTS, {"table": target})
    constant = [(name, f"({sql})::{type_name}") for name, type_name, sql in await cursor.fetchall() if CONSTANT(sql)]
    if not constant:
        return {}
    cursor = await conn.execute("SELECT " + ", ".join(f"to_jsonb({sql})" for _, sql in constant))
    values = await cursor.fetchone()
    assert values is not None
    return {name: value for (name, _), value in zip(constant, values, strict=True) if value is not None}


async def _missing(conn: psycopg.AsyncConnection[Any], schema: str | None, name: str) -> str:
    """Say where a table was looked for, and where there is one of that name."""
    cursor = await conn.execute(ELSEWHERE, (name,))
    row = await cursor.fetchone()
    path, elsewhere = row if row is not None else ([], [])
    place = f"schema {schema}" if schema is not None else f"the search path ({', '.join(path) or 'empty'})"
    migrate = f'"eventwriter migrate --schema {schema}"' if schema is not None else '"eventwriter migrate"'
    hint = f'set "schema" (one is in {", ".join(elsewhere)}), or ' if elsewhere else ""
    return f"table {name} does not exist in {place}; {hint}run {migrate} to make it"


TABLE = """
SELECT c.oid, n.nspname, c.relkind::text, current_user::text,
       has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'INSERT'),
       row_security_active(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
"""

# A domain is written as the type that it stands on; its own NOT NULL and default count.
# What is GENERATED ALWAYS must be left out, be it computed or an identity: INSERT refuses a value for either.
COLUMNS = """
SELECT a.attname,
       CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
            ELSE format_type(a.atttypid, a.atttypmod) END,
       a.attnotnull OR t.typnotnull,
       a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
       a.attgenerated <> '' OR a.attidentity = 'a',
       ARRAY(SELECT e.enumlabel FROM pg_catalog.pg_enum e
             WHERE e.enumtypid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
             ORDER BY e.enumsortorder)::text[]
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

DEFAULTS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), COALESCE(pg_get_expr(d.adbin, d.adrelid), t.typdefault)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  AND (d.oid IS NOT NULL OR t.typdefault IS NOT NULL)
"""

ELSEWHERE = """
SELECT current_schemas(false)::text[],
       ARRAY(SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname = %s AND c.relkind IN ('r', 'p') ORDER BY 1)::text[]
"""
