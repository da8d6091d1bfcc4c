"""
Unique keys of a real table, and whether PostgreSQL can decide a duplicate by them.

Existing databases may have other keys than the tables that `eventwriter migrate` creates, so the
server is asked: when a worker binds, for warnings, and again for each batch with a duplicate
key, because an index may have been created since.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from eventwriter.postgres.quoting import quote_ident

# Columns of expressions and predicates are recorded only in pg_depend, columns of constraints only in the index.
# The violated index may belong to a partition (a child of ours) or a chunk (named after ours); these sort first too.
_KEYS_SQL = """
SELECT i.relname,
       ARRAY(SELECT pg_catalog.pg_get_indexdef(x.indexrelid, k, true)
             FROM pg_catalog.generate_series(1, x.indnkeyatts) k ORDER BY k)::text[],
       ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = x.indrelid AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]))::text[],
       ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = x.indrelid AND a.attnum > 0 AND (
               a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]) OR EXISTS (
                 SELECT FROM pg_catalog.pg_depend d
                 WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AND d.objid = x.indexrelid
                   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
                   AND d.refobjid = x.indrelid
                   AND d.refobjsubid = a.attnum)))::text[],
       pg_catalog.pg_get_expr(x.indpred, x.indrelid, true),
       x.indimmediate AND NOT x.indisexclusion,
       COALESCE((pg_catalog.to_jsonb(x) OPERATOR(pg_catalog.->>) 'indnullsnotdistinct')::boolean, false),
       0 NOT IN (SELECT k FROM pg_catalog.unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) k)
       AND NOT EXISTS (
         SELECT FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = x.indrelid AND NOT a.attnotnull
           AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]))
FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = %(table)s::pg_catalog.regclass::pg_catalog.oid AND (x.indisunique OR x.indisexclusion)
  AND x.indisvalid
ORDER BY (i.relname = %(violated)s
          OR pg_catalog.right(%(violated)s, pg_catalog.length(i.relname) + 1) = '_' || i.relname::text
          OR (i.relkind = 'I' AND EXISTS (
                SELECT FROM pg_catalog.pg_partition_tree(i.oid) p JOIN pg_catalog.pg_class c ON c.oid = p.relid
                WHERE c.relname = %(violated)s))) IS TRUE DESC,
         x.indisprimary DESC, i.relname
"""

_RIGHTS_SQL = """
SELECT current_user::text, pg_catalog.current_database()::text,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),
       pg_catalog.has_table_privilege(%(table)s::regclass, 'SELECT'),
       pg_catalog.has_table_privilege(%(table)s::regclass, 'UPDATE')
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A unique index or an exclusion constraint of a real table."""

    name: str
    expressions: tuple[str, ...]
    """SQL expressions over the table's columns that are unique together."""
    columns: frozenset[str]
    """Names of the expressions that are plain columns."""
    needs: frozenset[str]
    """All columns that the expressions and the predicate use."""
    predicate: str | None
    """SQL predicate of a partial index."""
    decides: bool
    """Whether ON CONFLICT can use it: it is neither deferrable nor an exclusion constraint."""
    nulls_equal: bool
    """Whether two NULLs are equal (NULLS NOT DISTINCT)."""
    never_null: bool
    """Whether all expressions are columns that are NOT NULL."""

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.expressions)})"


@dataclass(frozen=True, slots=True)
class Rights:
    """Privileges of the role that handling a duplicate key requires."""

    role: str
    database: str
    temporary: bool
    select: bool
    update: bool


async def read_keys(conn: psycopg.AsyncConnection[Any], target: str, violated: str | None = None) -> list[Key]:
    """
    Read a table's unique keys.

    Args:
        target: The table's qualified, quoted name.
        violated: The index that an error named; may belong to a partition.

    Returns:
        The violated key first, then the primary key, then the others by name.
    """
    cursor = await conn.execute(_KEYS_SQL, {"table": target, "violated": violated})
    return [
        Key(name, tuple(expressions), frozenset(columns), frozenset(needs), *rest)
        for name, expressions, columns, needs, *rest in await cursor.fetchall()
    ]


async def read_rights(conn: psycopg.AsyncConnection[Any], target: str) -> Rights:
    """Read the privileges of the current role."""
    cursor = await conn.execute(_RIGHTS_SQL, {"table": target})
    row = await cursor.fetchone()
    assert row is not None
    return Rights(*row)


def warnings(target: str, rule: str, keys: Sequence[Key], written: Collection[str], rights: Rights) -> list[str]:
    """
    Return warnings about the effect of duplicate keys.

    Args:
        rule: The conflict rule in force: `append`, `nothing` or `replace`.
        written: The real columns that are written.
    """
    ours = [key for key in keys if key.needs <= set(written)]
    if rule == "append":
        return [
            f"table {target} has the unique key {key} and on_conflict is append: a message whose key exists already"
            ' becomes a dead letter; set "on_conflict" to "nothing" to keep the existing row, or to "replace"'
            for key in ours
        ]
    deciding = [key for key in ours if key.decides]
    found = [
        f"table {target}: {key} is deferrable or an exclusion constraint, which ON CONFLICT does not support:"
        " a message that violates it becomes a dead letter"
        for key in ours
        if not key.decides
    ]
    if rule == "replace" and not deciding:
        found.append(f"table {target} has no unique key over the columns that are written: no row is ever replaced")
    return found + (_missing_rights(target, rule, rights) if deciding else [])


def _missing_rights(target: str, rule: str, rights: Rights) -> list[str]:
    found = []
    needed = {"SELECT": rights.select, "UPDATE": rights.update or rule != "replace"}
    if missing := [name for name, granted in needed.items() if not granted]:
        found.append(
            f"table {target}: a duplicate key would park the slot, because role {rights.role} lacks"
            f" {' and '.join(missing)}; run GRANT {', '.join(missing)} ON {target} TO {quote_ident(rights.role)}"
        )
    if not rights.temporary:
        message, hint = no_temporary(rights)
        found.append(f"table {target}: a duplicate key would park the slot: {message}; {hint}")
    return found


def coarser_keys(target: str, rule: str, keys: Sequence[Key], identity: Sequence[str]) -> list[str]:
    """
    Return warnings about unique keys that are the same for different rows.

    Args:
        rule: The conflict rule in force.
        identity: Real names of the columns that identify a row for eventwriter; may be empty.
    """
    if rule == "append":
        return []
    kept = "last" if rule == "replace" else "first"
    missing = [(key, [name for name in identity if name not in key.needs]) for key in keys if key.decides]
    return [
        f"table {target}: the unique key {key} lacks {', '.join(columns)}, which eventwriter needs to tell rows apart:"
        f' of different rows with the same key only the {kept} is kept; set "on_conflict" to "append" to store the'
        " messages of the others as dead letters"
        for key, columns in missing
        if columns
    ]


def no_temporary(rights: Rights) -> tuple[str, str]:
    """Return the message and the hint for a role that may not create temporary tables."""
    message = (
        f"role {rights.role} may not create temporary tables in database {rights.database}, and batches with duplicate"
        " keys are written through one"
    )
    return message, f"run GRANT TEMPORARY ON DATABASE {quote_ident(rights.database)} TO {quote_ident(rights.role)}"
