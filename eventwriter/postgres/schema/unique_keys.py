"""
The unique keys that a real table has, and what a duplicate can be decided by.

Existing databases have other keys than the tables that `eventwriter migrate` makes,
so the server is asked: once when a worker binds, for warnings, and again by each
batch that met a duplicate, because an index may have been made since.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

# Columns of expressions and predicates are known to pg_depend only, those of constraints to the index only.
# The violated index may be a partition's (a child of ours) or a chunk's (named after ours): those sort first as well.
_KEYS_SQL = """
SELECT i.relname,
       ARRAY(SELECT pg_get_indexdef(x.indexrelid, k, true) FROM generate_series(1, x.indnkeyatts) k ORDER BY k)::text[],
       ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = x.indrelid AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]))::text[],
       ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = x.indrelid AND a.attnum > 0 AND (
               a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]) OR EXISTS (
                 SELECT FROM pg_catalog.pg_depend d
                 WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.indexrelid
                   AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = x.indrelid
                   AND d.refobjsubid = a.attnum)))::text[],
       pg_get_expr(x.indpred, x.indrelid, true),
       x.indimmediate AND NOT x.indisexclusion,
       COALESCE((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false),
       0 NOT IN (SELECT k FROM unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) k) AND NOT EXISTS (
         SELECT FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = x.indrelid AND NOT a.attnotnull
           AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]))
FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = %(table)s::regclass AND (x.indisunique OR x.indisexclusion) AND x.indisvalid
ORDER BY (i.relname = %(violated)s
          OR right(%(violated)s, length(i.relname) + 1) = '_' || i.relname
          OR (i.relkind = 'I' AND EXISTS (
                SELECT FROM pg_partition_tree(i.oid) p JOIN pg_catalog.pg_class c ON c.oid = p.relid
                WHERE c.relname = %(violated)s))) IS TRUE DESC,
         x.indisprimary DESC, i.relname
"""

_RIGHTS_SQL = """
SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'TEMPORARY'),
       has_table_privilege(%(table)s::regclass, 'SELECT'), has_table_privilege(%(table)s::regclass, 'UPDATE')
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A unique index (or an exclusion constraint) of a real table."""

    name: str
    expressions: tuple[str, ...]
    """What is unique, as SQL over the table's columns; quoted where it needs to be."""
    columns: frozenset[str]
    """Those of the expressions that are plain columns, by name."""
    needs: frozenset[str]
    """Every column that expressions and predicate use."""
    predicate: str | None
    """Of a partial index, as SQL."""
    decides: bool
    """Whether ON CONFLICT may name it: it is neither deferrable nor an exclusion constraint."""
    nulls_equal: bool
    """NULLS NOT DISTINCT: two NULLs are the same key."""
    never_null: bool
    """All its expressions are columns that are NOT NULL."""

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.expressions)})"


@dataclass(frozen=True, slots=True)
class Rights:
    """What the role may do that a duplicate key would need."""

    role: str
    database: str
    temporary: bool
    select: bool
    update: bool


async def read_keys(conn: psycopg.AsyncConnection[Any], target: str, violated: str | None = None) -> list[Key]:
    """
    Ask the server for a table's unique keys.

    Args:
        target: The table's qualified, quoted name.
        violated: The index that an error named, which may be a partition's.

    Returns:
        The violated one first, then the primary key, then the others by name.
    """
    cursor = await conn.execute(_KEYS_SQL, {"table": target, "violated": violated})
    return [
        Key(name, tuple(expressions), frozenset(columns), frozenset(needs), *rest)
        for name, expressions, columns, needs, *rest in await cursor.fetchall()
    ]


async def read_rights(conn: psycopg.AsyncConnection[Any], target: str) -> Rights:
    """Ask the server what our role may do."""
    cursor = await conn.execute(_RIGHTS_SQL, {"table": target})
    row = await cursor.fetchone()
    assert row is not None
    return Rights(*row)


def warnings(target: str, rule: str, keys: Sequence[Key], written: Collection[str], rights: Rights) -> list[str]:
    """
    Say what a duplicate key would meet, before it comes.

    Args:
        rule: The conflict rule in force: `append`, `nothing` or `replace`.
        written: The real columns that are written.
    """
    ours = [key for key in keys if key.needs <= set(written)]
    if rule == "append":
        return [
            f"table {target} has the unique key {key} and on_conflict is append: a message whose key is there already"
            ' becomes a dead letter; set "on_conflict" to "nothing" or "replace" to skip it or to replace the row'
            for key in ours
        ]
    deciding = [key for key in ours if key.decides]
    found = [
        f"table {target}: {key} is deferrable or an exclusion constraint, by which PostgreSQL decides no conflict:"
        " a message that violates it becomes a dead letter"
        for key in ours
        if not key.decides
    ]
    if rule == "replace" and not deciding:
        found.append(f"table {target} has no unique key over the columns that are written: no row is ever replaced")
    needed = ("SELECT", "UPDATE") if rule == "replace" else ("SELECT",)
    lacking = [name for name in needed if not (rights.select if name == "SELECT" else rights.update)]
    if deciding and lacking:
        found.append(
            f"table {target}: a duplicate key would park the slot, because role {rights.role} lacks"
            f' {" and ".join(lacking)}; run GRANT {", ".join(lacking)} ON {target} TO "{rights.role}"'
        )
    if deciding and not rights.temporary:
        found.append(f"table {target}: a duplicate key would park the slot: {no_temporary(rights)}")
    return found


def narrower(target: str, rule: str, keys: Sequence[Key], told_apart: Sequence[str]) -> list[str]:
    """
    Say of which unique keys different rows may be alike.

    Args:
        rule: The conflict rule in force.
        told_apart: The columns, by their real names, by which we tell rows apart; none where we do not.
    """
    if rule == "append":
        return []
    kept = "last" if rule == "replace" else "first"
    found = [(key, [name for name in told_apart if name not in key.needs]) for key in keys if key.decides]
    return [
        f"table {target}: the unique key {key} lacks {', '.join(lacking)}, by which eventwriter tells rows apart: of"
        f' different rows with one key only the {kept} is kept; set "on_conflict" to "append" to keep the messages'
        " of the others as dead letters"
        for key, lacking in found
        if lacking
    ]


def no_temporary(rights: Rights) -> str:
    """Say why duplicates cannot be sorted out, and what mends it."""
    return (
        f"role {rights.role} may not make temporary tables in database {rights.database}, and batches with duplicate"
        f' keys go through one; run GRANT TEMPORARY ON DATABASE "{rights.database}" TO "{rights.role}"'
    )
