"""
The SQL of time partitions; text only, the same whether it is run or printed.

Who waits. A partition is made beside the table and then attached; those who write wait
until it is attached, a few milliseconds where no rows move. (ATTACH alone would let them
write on, and then fail those that are about to put a row of that time into the default
partition.) Those who read wait as well where there is a default partition to move rows
from: a query that was planned before the ATTACH and runs after it would see the rows
in neither place. Detaching stops readers too. `DETACH ... CONCURRENTLY` is not to be
had where there is a default partition. Source: PostgreSQL documentation, ALTER TABLE.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.migrate.files import Migration
from eventwriter.postgres.partitions.plan import ORIGIN, Making, default_of
from eventwriter.postgres.quoting import quote_ident, quote_literal, timestamp_literal

LOCK = int.from_bytes(b"eventwr", "big")
"""The advisory lock's number, migrate's and ours; any constant would do, this one is recognisable in pg_locks."""

MARK = "made by eventwriter; dropped when storage.keep is over"
"""The comment by which our partitions are known. Who removes it keeps the partition."""

DEFAULT_MARK = "made by eventwriter; takes rows that no partition takes"

LOCK_S_MAX = 1.0
"""How long a step waits for those who use the table, because others queue behind it: then it is put off."""
STATEMENT_S_MAX = 15.0
"""How long a statement may hold writers up: below `postgres.statement_timeout`, which their waiting counts against."""

DELETE_MAX = 10_000
"""Rows deleted at once from the default partition; some 50 ms."""

_LIKE = "INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY EXCLUDING STATISTICS EXCLUDING COMMENTS"
"""What a partition takes over; ATTACH makes the indexes."""


@dataclass(frozen=True, slots=True)
class Root:
    """A table of ours that is cut by time."""

    schema: str
    table: str
    time_column: str
    owner: str | None = None
    """Who is to own its partitions; None where that is whoever makes them."""
    columns: tuple[str, ...] = ()
    """Those that can be written, for moving rows."""
    default: str | None = None
    """Its default partition, None where there is none."""

    @property
    def name(self) -> str:
        """The qualified, quoted name."""
        return self.of(self.table)

    def of(self, table: str) -> str:
        """Return the qualified, quoted name of another table of its schema."""
        return f"{quote_ident(self.schema)}.{quote_ident(table)}"


def prologue() -> str:
    """Return what each step's transaction begins with: bounds for waiting and holding, and one step at a time."""
    return (
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;\n"
        f"SET LOCAL lock_timeout = '{LOCK_S_MAX * 1000:.0f}ms';\n"
        f"SET LOCAL statement_timeout = '{STATEMENT_S_MAX * 1000:.0f}ms';\n"
        f"SELECT pg_advisory_xact_lock({LOCK});"
    )


def make(root: Root, making: Making) -> str:
    """Return the step that makes a partition and moves its rows out of the default partition."""
    part, column = root.of(making.name), quote_ident(root.time_column)
    low, high = timestamp_literal(making.stretch.low), timestamp_literal(making.stretch.high)
    mode = "SHARE ROW EXCLUSIVE" if root.default is None else "ACCESS EXCLUSIVE"
    lines = [
        prologue(),
        f"LOCK TABLE ONLY {root.name} IN {mode} MODE;",
        *_table(root, part, MARK),
    ]
    if root.default is not None:
        default, columns = root.of(root.default), ", ".join(map(quote_ident, root.columns))
        lines += [
            f"LOCK TABLE ONLY {default} IN ACCESS EXCLUSIVE MODE;",
            f"WITH moved AS (DELETE FROM ONLY {default} WHERE {column} >= {low} AND {column} < {high}"  # noqa: S608
            f" RETURNING {columns})\n  INSERT INTO {part} ({columns}) OVERRIDING SYSTEM VALUE"
            f" SELECT {columns} FROM moved;",
        ]
    lines.append(f"ALTER TABLE {root.name} ATTACH PARTITION {part} FOR VALUES FROM ({low}) TO ({high});")
    return "\n".join(lines)


def make_default(root: Root) -> str:
    """Return the step that makes the default partition of a table that has none."""
    part = root.of(default_of(root.table))
    return "\n".join(
        [prologue(), *_table(root, part, DEFAULT_MARK), f"ALTER TABLE {root.name} ATTACH PARTITION {part} DEFAULT;"]
    )


def _table(root: Root, part: str, mark: str) -> list[str]:
    owner = [f"ALTER TABLE {part} OWNER TO {quote_ident(root.owner)};"] if root.owner else []
    return [
        f"CREATE TABLE {part} (LIKE {root.name} {_LIKE});",
        *owner,
        f"COMMENT ON TABLE {part} IS {quote_literal(mark)};",
    ]


def drop(root: Root, name: str) -> str:
    """Return the step that drops a partition; detached first, so that one that is none any more stays."""
    part = root.of(name)
    return "\n".join([prologue(), f"ALTER TABLE {root.name} DETACH PARTITION {part};", f"DROP TABLE {part};"])


def delete_old(root: Root, kept_since: str) -> str:
    """Return the step that deletes some rows of the default partition that are kept no longer."""
    assert root.default is not None
    default = root.of(root.default)
    return (
        f"{prologue()}\nDELETE FROM ONLY {default} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY {default}"  # noqa: S608
        f" WHERE {quote_ident(root.time_column)} < {kept_since} LIMIT {DELETE_MAX}));"
    )


def cut(migration: Migration, schema: str, ahead: Sequence[Making]) -> str:
    """
    Return the SQL of a migration that makes a table with a time column, with the table cut by it.

    The file itself is as released; only what is run differs. Nobody else sees the table yet,
    so its partitions are made in place.

    Raises:
        ValueError: It makes no table of that name, so it has no business with a time column.
    """
    table, column = migration.table, str(migration.time_column)
    making = re.compile(rf"(^CREATE TABLE {re.escape(table)} \(\n.*?^\));", re.MULTILINE | re.DOTALL)
    sql, found = making.subn(rf"\1 PARTITION BY RANGE ({column});", migration.sql.strip(), count=1)
    if not found:
        raise ValueError(f"{migration}: a migration with a time column makes its table with 'CREATE TABLE {table} ('")
    root = Root(schema, table, column)
    lines = [sql, f"CREATE TABLE {root.of(default_of(table))} PARTITION OF {root.name} DEFAULT;"]
    lines.append(f"COMMENT ON TABLE {root.of(default_of(table))} IS {quote_literal(DEFAULT_MARK)};")
    for one in ahead:
        low, high = timestamp_literal(one.stretch.low), timestamp_literal(one.stretch.high)
        lines.append(f"CREATE TABLE {root.of(one.name)} PARTITION OF {root.name} FOR VALUES FROM ({low}) TO ({high});")
        lines.append(f"COMMENT ON TABLE {root.of(one.name)} IS {quote_literal(MARK)};")
    return "\n".join(lines)


def strays(root: Root, wish: StorageSettings) -> str:
    """Return the query for rows of the default partition by period, between two instants."""
    assert root.default is not None
    width, origin = f"INTERVAL '{wish.partition_s:.0f} seconds'", timestamp_literal(ORIGIN)
    column = quote_ident(root.time_column)
    return (
        f"SELECT extract(epoch FROM date_bin({width}, {column}, {origin}::timestamptz))::float8, count(*)"  # noqa: S608
        f" FROM ONLY {root.of(root.default)} WHERE {column} >= %(low)s AND {column} < %(high)s GROUP BY 1"
    )


def left_over(root: Root) -> str:
    """Return the query for how many rows the default partition holds, and from when to when."""
    assert root.default is not None
    first, last = (f"{act}({quote_ident(root.time_column)}) AT TIME ZONE 'UTC'" for act in ("min", "max"))
    shape = "'YYYY-MM-DD HH24:MI'"
    return f"SELECT count(*), to_char({first}, {shape}), to_char({last}, {shape}) FROM ONLY {root.of(root.default)}"  # noqa: S608


def older(root: Root) -> str:
    """Return the query that has a row where the default partition holds one that is older than an instant."""
    assert root.default is not None
    return f"SELECT 1 FROM ONLY {root.of(root.default)} WHERE {quote_ident(root.time_column)} < %(since)s LIMIT 1"  # noqa: S608


TABLES = """
SELECT n.nspname, c.relname,
       coalesce(p.partstrat = 'r' AND p.partnatts = 1 AND EXISTS (
         SELECT FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum = (p.partattrs::int2[])[0] AND a.attname = w.time_column), false),
       c.relkind = 'p', pg_get_userbyid(c.relowner)::text, pg_get_userbyid(c.relowner) = current_user,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum)
FROM unnest(%(names)s::text[], %(columns)s::text[]) WITH ORDINALITY w (name, time_column, place)
JOIN pg_catalog.pg_class c ON c.relname = w.name AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = c.oid
WHERE CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
ORDER BY w.place
"""
"""Schema, name, whether it is cut by its time, whether by anything, owner, whether we are it, columns to write."""

# The bound is written in the session's own form, so that the same session reads it; epoch, because years may be any.
PARTITIONS = r"""
SELECT c.relname::text, b.bound = 'DEFAULT',
       extract(epoch FROM substring(b.bound FROM $re$FROM \('([^']*)'\)$re$)::timestamptz)::float8,
       extract(epoch FROM substring(b.bound FROM $re$TO \('([^']*)'\)$re$)::timestamptz)::float8,
       obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) b
WHERE i.inhparent = %(root)s::regclass
ORDER BY 3 NULLS FIRST
"""
"""Name, whether it is the default, from when, until when (seconds since 1970, NULL without end), comment."""

TIMESCALE = """
SELECT n.nspname::text FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'timescaledb'
"""

HYPERTABLE = """
SELECT h.compression_enabled,
       (SELECT extract(epoch FROM (j.config ->> 'drop_after')::interval)::float8 FROM timescaledb_information.jobs j
        WHERE j.proc_name = 'policy_retention' AND j.hypertable_schema = h.hypertable_schema
          AND j.hypertable_name = h.hypertable_name LIMIT 1),
       (SELECT extract(epoch FROM (j.config ->> 'compress_after')::interval)::float8 FROM timescaledb_information.jobs j
        WHERE j.proc_name = 'policy_compression' AND j.hypertable_schema = h.hypertable_schema
          AND j.hypertable_name = h.hypertable_name LIMIT 1)
FROM timescaledb_information.hypertables h
WHERE h.hypertable_schema = %(schema)s AND h.hypertable_name = %(table)s
"""
"""Whether it can be compressed, after how many seconds chunks are dropped, and compressed; NULL for never."""

KEY = """
SELECT a.attname::text FROM pg_catalog.pg_index x
       CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY k (attnum, place)
       JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
WHERE x.indrelid = %(root)s::regclass AND x.indisprimary
ORDER BY k.place
"""


def ours(schema: str) -> str:
    """Return the query that has a row where migrate made the table."""
    records = f"{quote_ident(schema)}.eventwriter_migrations"
    return f"SELECT 1 FROM {records} WHERE table_name = %(table)s AND outcome = 'applied' LIMIT 1"  # noqa: S608


def moment(since_1970_s: float | None) -> dt.datetime | None:
    """Read an instant; one beyond the calendar is as good as none."""
    if since_1970_s is None:
        return None
    try:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=since_1970_s)
    except (OverflowError, ValueError):
        return None
