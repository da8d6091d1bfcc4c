"""
Finds all rows of a rejected batch that violate constraints of their table, in one query.

Splitting a batch costs three transactions for each bad message. If many rows are bad, that is too slow: the rows are
therefore copied into a temporary table, and PostgreSQL evaluates NOT NULL, CHECK and foreign key constraints of the
real table on all of them. Only rows that cannot be written are found: with a BEFORE trigger, which may correct a row,
nothing is. Bad rows that are not found, for example those that a trigger rejects, are found by splitting.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from eventwriter.postgres import staging
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.copy import copy_rows
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.quoting import quote_ident
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.session import PostgresSession

NOT_NULL, FOREIGN_KEY, CHECK = "23502", "23503", "23514"
SQLSTATES = frozenset({NOT_NULL, FOREIGN_KEY, CHECK})
"""Violations that this module finds."""

_TRIGGERS_SQL = """
SELECT EXISTS (
  SELECT FROM pg_catalog.pg_trigger t
  WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype::int & 7 = 7 AND (
    t.tgrelid = %(table)s::pg_catalog.regclass::pg_catalog.oid
    OR t.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(table)s::pg_catalog.regclass))))
"""
"""Row-level BEFORE INSERT triggers: bits 0 (row), 1 (before) and 2 (insert) of tgtype."""

_CONSTRAINTS_SQL = """
SELECT c.contype::text, c.conname::text, pg_catalog.pg_get_expr(c.conbin, c.conrelid),
       ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY k (attnum, at)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.at),
       ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY k (attnum, at)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum ORDER BY k.at),
       (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(r.relname)
        FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = c.confrelid)
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = %(table)s::pg_catalog.regclass::pg_catalog.oid
  AND coalesce((pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.->>) 'conenforced')::boolean, true)
  AND (c.contype = 'c' OR c.contype = 'f' AND c.confmatchtype = 's'
       AND NOT coalesce((pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.->>) 'conperiod')::boolean, false)
       AND NOT EXISTS (SELECT FROM pg_catalog.unnest(c.conpfeqop) e (oid)
                       JOIN pg_catalog.pg_operator o ON o.oid = e.oid
                       WHERE o.oprnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
       AND pg_catalog.has_table_privilege(c.confrelid, 'SELECT')
       AND NOT c.confrelid = ANY (%(written)s::pg_catalog.regclass[]))
ORDER BY c.contype, c.conname
"""
"""CHECK and foreign key constraints. A foreign key to a table of the same batch is left out, because the batch may
bring the referenced row; so is one to a table that the role may not read, and one that compares by an operator of an
extension, such as citext's."""

_NOT_NULL_SQL = """
SELECT a.attname::text FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %(table)s::pg_catalog.regclass::pg_catalog.oid AND a.attnum > 0 AND a.attnotnull ORDER BY a.attnum
"""

_NAME_SQL = (
    "SELECT c.relname::text FROM pg_catalog.pg_class c WHERE c.oid = %(table)s::pg_catalog.regclass::pg_catalog.oid"
)


@dataclass(frozen=True, slots=True)
class Violation:
    """
    A row that cannot be written.

    Attributes:
        sqlstate: The SQLSTATE that PostgreSQL reports for it.
        detail: PostgreSQL's message for it, without values.
    """

    sqlstate: str
    detail: str


class _Constraint(NamedTuple):
    """
    A CHECK or foreign key constraint in the catalog.

    Attributes:
        kind: `c` for CHECK, `f` for a foreign key.
        expression: Expression of a CHECK constraint.
        referenced: Referenced columns of a foreign key, in the order of `columns`.
        parent: Qualified, quoted name of the referenced table.
    """

    kind: str
    name: str
    expression: str | None
    columns: list[str]
    referenced: list[str]
    parent: str


@dataclass(frozen=True, slots=True)
class _Condition:
    """SQL condition that is true for bad rows of the staging table, called `s`."""

    sql: str
    violation: Violation


async def find_violations(
    session: PostgresSession, binding: Binding, rows: bytes | bytearray, written: Collection[str]
) -> dict[int, Violation]:
    """
    Return the violations among the rows of one table, by the row's number from 1.

    Args:
        rows: Rows in COPY's binary format, without signature and trailer.
        written: Qualified, quoted names of all tables that the batch writes.

    Returns:
        An empty dict if nothing was found, or if the search itself was rejected.

    Raises:
        Retryable: The server is unavailable.
        Fatal: The server refuses the login.
    """
    try:
        async with session.transaction() as conn:
            conditions = await _conditions(conn, binding, written)
            return await _search(conn, binding, rows, conditions) if conditions else {}
    except Rejected:
        # The role may create no temporary tables, a value is rejected by its type, or a condition cannot be evaluated.
        return {}


async def _search(
    conn: Connection, binding: Binding, rows: bytes | bytearray, conditions: list[_Condition]
) -> dict[int, Violation]:
    await conn.execute(staging.create_sql(binding))
    await copy_rows(conn, staging.copy_sql(binding), rows)
    cases = " ".join(f"WHEN {condition.sql} THEN {at}" for at, condition in enumerate(conditions))
    query = (
        f"SELECT line, at FROM (SELECT s.{staging.ORDER} AS line, CASE {cases} END AS at FROM {staging.STAGING} s) f"  # noqa: S608
    )
    cursor = await conn.execute(f"{query} WHERE at IS NOT NULL")
    found = {line: conditions[at].violation for line, at in await cursor.fetchall()}
    await conn.execute(staging.DROP)
    return found


async def _conditions(conn: Connection, binding: Binding, written: Collection[str]) -> list[_Condition]:
    """Return the conditions for the columns that are written, in the order in which PostgreSQL checks them."""
    parameters: dict[str, Any] = {"table": binding.target, "written": list(written)}
    if (await (await conn.execute(_TRIGGERS_SQL, parameters)).fetchone()) != (False,):
        return []
    ((table,),) = await (await conn.execute(_NAME_SQL, parameters)).fetchall()
    names = set(binding.names)
    conditions = [
        _not_null(table, column)
        for (column,) in await (await conn.execute(_NOT_NULL_SQL, parameters)).fetchall()
        if column in names
    ]
    for row in await (await conn.execute(_CONSTRAINTS_SQL, parameters)).fetchall():
        constraint = _Constraint(*row)
        if constraint.columns and names.issuperset(constraint.columns):
            conditions.append(_violated(table, constraint))
    return conditions


def _not_null(table: str, column: str) -> _Condition:
    detail = f'null value in column "{column}" of relation "{table}" violates not-null constraint'
    return _Condition(
        f"s.{quote_ident(column)} IS NULL", Violation(NOT_NULL, f"{detail} (table {table}, column {column})")
    )


def _violated(table: str, constraint: _Constraint) -> _Condition:
    if constraint.kind == "c":
        # NULL satisfies a CHECK constraint. Its columns are unqualified, which the query allows.
        detail = f'new row for relation "{table}" violates check constraint "{constraint.name}" (table {table})'
        return _Condition(f"NOT coalesce(({constraint.expression}), true)", Violation(CHECK, detail))
    detail = f'insert or update on table "{table}" violates foreign key constraint "{constraint.name}" (table {table})'
    columns = list(map(quote_ident, constraint.columns))
    present = " AND ".join(f"s.{column} IS NOT NULL" for column in columns)
    equal = " AND ".join(
        f"r.{quote_ident(theirs)} OPERATOR(pg_catalog.=) s.{ours}"
        for theirs, ours in zip(constraint.referenced, columns, strict=True)
    )
    missing = f"{present} AND NOT EXISTS (SELECT FROM {constraint.parent} r WHERE {equal})"
    return _Condition(missing, Violation(FOREIGN_KEY, detail))
