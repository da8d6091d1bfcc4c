"""
The detour of a batch that met a duplicate key: through a temporary twin of its table.

COPY has no ON CONFLICT, and an INSERT of every batch would cost all of them what only
some need. So a batch is copied plainly first; PostgreSQL's 23505 sends it here, once,
and the next batch is copied plainly again. All of it is in the batch's own transaction,
and nothing of it outlives that: a transaction-pooling proxy sees no difference.

What the rules mean. `nothing`: the row that is there first stays, in the table and within
the batch. `replace`: the last one wins; every column that we write takes the new value,
the others (`created_at`) stay.
"""

from collections.abc import Sequence

import psycopg

from eventwriter.errors import Fatal
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.encode import SIGNATURE, TRAILER
from eventwriter.postgres.schema.catalog import Binding, quoted
from eventwriter.postgres.schema.unique_keys import Key, no_temporary, read_keys, read_rights

_STAGING = "pg_temp.eventwriter_staging"
_ORDER = "eventwriter_order"
"""The twin's extra column: the place in the batch."""


async def copy_rows(conn: Connection, copy_sql: str, rows: bytes | bytearray) -> int:
    """Copy rows, given without signature and trailer; return how many they were."""
    async with conn.cursor() as cursor:
        async with cursor.copy(copy_sql) as copy:
            await copy.write(SIGNATURE)
            await copy.write(rows)
            await copy.write(TRAILER)
        return cursor.rowcount


async def copy_staged(conn: Connection, binding: Binding, rows: bytes | bytearray, violated: str | None) -> int:
    """
    Write rows by their table's conflict rule.

    Args:
        violated: The index that the plain COPY ran into.

    Returns:
        How many rows were left out: their key was there, or a later row of the batch has it.

    Raises:
        Fatal: The role may not make temporary tables.
        psycopg.Error: As the server says.
    """
    keys = await read_keys(conn, binding.target, violated)
    merge = merge_sql(binding, keys)
    await _make_twin(conn, binding)
    staged = await copy_rows(conn, f"COPY {_STAGING} ({_listed(binding.names)}) FROM STDIN (FORMAT BINARY)", rows)
    written = (await conn.execute(merge)).rowcount
    # Another table of the same transaction may take this way too.
    await conn.execute(f"DROP TABLE {_STAGING}")
    return staged - written


async def _make_twin(conn: Connection, binding: Binding) -> None:
    # AS SELECT, not LIKE: the twin has just these columns, and none of the table's constraints.
    try:
        await conn.execute(
            f"CREATE TEMPORARY TABLE eventwriter_staging ON COMMIT DROP"  # noqa: S608
            f" AS SELECT {_listed(binding.names)} FROM {binding.target} WITH NO DATA;"
            # A big cache: one write to the sequence for a whole batch.
            f"ALTER TABLE {_STAGING} ADD COLUMN {_ORDER} bigint GENERATED ALWAYS AS IDENTITY (CACHE 100000)"
        )
    except psycopg.errors.InsufficientPrivilege as error:
        await conn.execute("ROLLBACK")
        rights = await read_rights(conn, binding.target)
        if rights.temporary:
            raise
        raise Fatal(no_temporary(rights)) from error


def merge_sql(binding: Binding, keys: Sequence[Key]) -> str:
    """
    Return the INSERT from the twin into the table, by the table's rule.

    Args:
        keys: The real table's, the violated one first.
    """
    names = _listed(binding.names)
    usable = [key for key in keys if key.decides and key.needs <= set(binding.names)]
    insert = f"INSERT INTO {binding.target} ({names}) SELECT {names} FROM"
    if binding.table.conflict == "nothing" and all(key.decides for key in keys):
        # Without a key named, PostgreSQL looks at all of them; it refuses where it may not decide by one.
        return f"{insert} {_STAGING} ORDER BY {_ORDER} ON CONFLICT DO NOTHING"
    if not usable:
        # The duplicate comes again, and its messages become dead letters.
        return f"{insert} {_STAGING}"
    if binding.table.conflict == "nothing":
        return f"{insert} {_STAGING} ORDER BY {_ORDER} ON CONFLICT {_arbiter(usable[0])} DO NOTHING"
    key = usable[0]
    same = ", ".join([*key.expressions, *_alone(key)])
    latest = f"(SELECT DISTINCT ON ({same}) * FROM {_STAGING} ORDER BY {same}, {_ORDER} DESC) latest"  # noqa: S608
    changed = [quoted(name) for name in binding.names if name not in key.columns]
    act = f"UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in changed)}" if changed else "NOTHING"
    return f"{insert} {latest} ON CONFLICT {_arbiter(key)} DO {act}"


def _arbiter(key: Key) -> str:
    """Return what makes PostgreSQL find this index: its expressions, and its predicate where it is partial."""
    where = f" WHERE {key.predicate}" if key.predicate else ""
    return f"({', '.join(f'({expression})' for expression in key.expressions)}){where}"


def _alone(key: Key) -> list[str]:
    """Return what tells rows apart that the key does not make the same: with a NULL in it, or outside its predicate."""
    apart = []
    if not key.nulls_equal and not key.never_null:
        apart.append(f"num_nulls({', '.join(key.expressions)}) > 0")
    if key.predicate:
        apart.append(f"({key.predicate}) IS NOT TRUE")
    return [f"CASE WHEN {' OR '.join(apart)} THEN {_ORDER} END"] if apart else []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))
