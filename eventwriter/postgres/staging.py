"""
SQL of the staging table through which a batch with duplicate keys is written.

COPY has no ON CONFLICT, and INSERT for every batch would slow down all batches for the sake of
a few. A batch is therefore copied directly first. If PostgreSQL reports a unique violation
(23505), the batch is written again: copied into a temporary table and inserted from there. The
next batch is copied directly again. The temporary table lives within the batch's transaction,
so this works behind a proxy that pools by transaction.

Conflict rule `nothing` keeps the row that came first, in the table or within the batch. Rule
`replace` keeps the last one: all columns that are written take the new value, the others (such
as `created_at`) stay.
"""

from collections.abc import Sequence

from eventwriter.postgres.quoting import quote_ident, quote_idents
from eventwriter.postgres.schema.catalog import Binding
from eventwriter.postgres.schema.unique_keys import Key

STAGING = "pg_temp.eventwriter_staging"
"""The staging table."""
ORDER = "eventwriter_order"
"""Additional column of the staging table: the row's position in the batch."""

DROP = f"DROP TABLE {STAGING}"


def create_sql(binding: Binding) -> str:
    """Return the statements that create a staging table with the columns that are written."""
    # AS SELECT instead of LIKE: only these columns, and none of the table's constraints.
    return (
        f"CREATE TEMPORARY TABLE eventwriter_staging ON COMMIT DROP"  # noqa: S608
        f" AS SELECT {quote_idents(binding.names)} FROM {binding.target} WITH NO DATA;"
        # A large cache: the sequence is written once for a whole batch.
        f"ALTER TABLE {STAGING} ADD COLUMN {ORDER} bigint GENERATED ALWAYS AS IDENTITY (CACHE 100000)"
    )


def copy_sql(binding: Binding) -> str:
    """Return the COPY statement for the staging table."""
    return f"COPY {STAGING} ({quote_idents(binding.names)}) FROM STDIN (FORMAT BINARY)"


def merge_sql(binding: Binding, keys: Sequence[Key]) -> str:
    """
    Return the INSERT from the staging table into the table, by the table's conflict rule.

    Args:
        keys: Unique keys of the real table, the violated one first.
    """
    names = quote_idents(binding.names)
    usable = [key for key in keys if key.decides and key.needs <= set(binding.names)]
    insert = f"INSERT INTO {binding.target} ({names}) SELECT {names} FROM"
    if binding.table.conflict == "nothing" and all(key.decides for key in keys):
        # Without a conflict target PostgreSQL checks every key; it raises an error for deferrable ones.
        return f"{insert} {STAGING} ORDER BY {ORDER} ON CONFLICT DO NOTHING"
    if not usable:
        # The duplicate is reported again, and its messages become dead letters.
        return f"{insert} {STAGING}"
    key = usable[0]
    if binding.table.conflict == "nothing":
        return f"{insert} {STAGING} ORDER BY {ORDER} ON CONFLICT {_conflict_target(key)} DO NOTHING"
    same = ", ".join([*key.expressions, *_always_distinct(key)])
    latest = f"(SELECT DISTINCT ON ({same}) * FROM {STAGING} ORDER BY {same}, {ORDER} DESC) latest"  # noqa: S608
    changed = [quote_ident(name) for name in binding.names if name not in key.columns]
    action = f"UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in changed)}" if changed else "NOTHING"
    return f"{insert} {latest} ON CONFLICT {_conflict_target(key)} DO {action}"


def _conflict_target(key: Key) -> str:
    """Return the conflict target from which PostgreSQL infers the index: its expressions and its predicate."""
    where = f" WHERE {key.predicate}" if key.predicate else ""
    return f"({', '.join(f'({expression})' for expression in key.expressions)}){where}"


def _always_distinct(key: Key) -> list[str]:
    """Return an expression that is unique for rows outside the key: with NULL in it, or outside its predicate."""
    conditions = []
    if not key.nulls_equal and not key.never_null:
        conditions.append(f"pg_catalog.num_nulls({', '.join(key.expressions)}) > 0")
    if key.predicate:
        conditions.append(f"({key.predicate}) IS NOT TRUE")
    return [f"CASE WHEN {' OR '.join(conditions)} THEN {ORDER} END"] if conditions else []
