"""
SQL of time partitions, as text that is either executed or printed.

Locks: a partition is created beside the table and then attached. Writers wait while it is
attached, a few milliseconds if no rows move. (ATTACH alone would let them continue, and then fail
those that are about to write a row of that period into the default partition.) Readers wait as
well if there is a default partition to move rows from: a query that was planned before the ATTACH
and runs after it would find the rows in neither place. Detaching blocks readers too; DETACH
CONCURRENTLY is not supported for tables with a default partition. Source: PostgreSQL
documentation, ALTER TABLE.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.migrate.files import Migration
from eventwriter.postgres.partitions.plan import ORIGIN, NewPartition, Period, default_name
from eventwriter.postgres.quoting import quote_ident, quote_idents, quote_literal, timestamp_literal

LOCK = int.from_bytes(b"eventwr", "big")
"""Number of the advisory lock of migrations and maintenance; an arbitrary constant, recognisable in pg_locks."""

MARK = "made by eventwriter; dropped when storage.keep is over"
"""Comment that identifies managed partitions. A partition without it is never dropped."""

DEFAULT_MARK = "made by eventwriter; takes rows that no partition takes"

LOCK_S_MAX = 1.0
"""Limit for waiting for other sessions, because further sessions queue behind the statement."""
STATEMENT_S_MAX = 15.0
"""Limit for blocking writers; below `postgres.statement_timeout`, which limits how long they wait."""

DELETE_MAX = 10_000
"""Rows of the default partition that one statement deletes; takes about 50 ms."""

_LIKE = "INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY EXCLUDING STATISTICS EXCLUDING COMMENTS"
"""What a partition copies from its table; ATTACH creates the indexes."""


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """
    A table that is partitioned by time.

    Attributes:
        owner: Owner of new partitions; None if that is the current role.
        columns: Columns that can be written, for moving rows.
        default: Default partition; None if there is none.
    """

    schema: str
    table: str
    time_column: str
    owner: str | None = None
    columns: tuple[str, ...] = ()
    default: str | None = None

    @property
    def name(self) -> str:
        """Qualified, quoted name."""
        return self.sibling(self.table)

    @property
    def default_partition(self) -> str:
        """Qualified, quoted name of the default partition, which must exist."""
        assert self.default is not None
        return self.sibling(self.default)

    def sibling(self, table: str) -> str:
        """Return the qualified, quoted name of another table in the same schema."""
        return f"{quote_ident(self.schema)}.{quote_ident(table)}"


def prologue() -> str:
    """Return the start of every transaction: time limits, and a lock against concurrent maintenance."""
    return (
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;\n"
        f"SET LOCAL lock_timeout = '{LOCK_S_MAX * 1000:.0f}ms';\n"
        f"SET LOCAL statement_timeout = '{STATEMENT_S_MAX * 1000:.0f}ms';\n"
        f"SELECT pg_advisory_xact_lock({LOCK});"
    )


def create_partition_sql(table: PartitionedTable, new: NewPartition) -> str:
    """Return the statements that create a partition and move its rows out of the default partition."""
    partition, column = table.sibling(new.name), quote_ident(table.time_column)
    low, high = timestamp_literal(new.period.low), timestamp_literal(new.period.high)
    mode = "SHARE ROW EXCLUSIVE" if table.default is None else "ACCESS EXCLUSIVE"
    lines = [
        prologue(),
        f"LOCK TABLE ONLY {table.name} IN {mode} MODE;",
        *_create_table(table, partition, MARK),
    ]
    if table.default is not None:
        default, columns = table.default_partition, quote_idents(table.columns)
        lines += [
            f"LOCK TABLE ONLY {default} IN ACCESS EXCLUSIVE MODE;",
            f"WITH moved AS (DELETE FROM ONLY {default} WHERE {column} >= {low} AND {column} < {high}"  # noqa: S608
            f" RETURNING {columns})\n  INSERT INTO {partition} ({columns}) OVERRIDING SYSTEM VALUE"
            f" SELECT {columns} FROM moved;",
        ]
    lines.append(f"ALTER TABLE {table.name} ATTACH PARTITION {partition} {_values(new.period)};")
    return "\n".join(lines)


def create_default_sql(table: PartitionedTable) -> str:
    """Return the statements that create a missing default partition."""
    partition = table.sibling(default_name(table.table))
    attach = f"ALTER TABLE {table.name} ATTACH PARTITION {partition} DEFAULT;"
    return "\n".join([prologue(), *_create_table(table, partition, DEFAULT_MARK), attach])


def _create_table(table: PartitionedTable, partition: str, mark: str) -> list[str]:
    owner = [f"ALTER TABLE {partition} OWNER TO {quote_ident(table.owner)};"] if table.owner else []
    create = f"CREATE TABLE {partition} (LIKE {table.name} {_LIKE});"
    return [create, *owner, f"COMMENT ON TABLE {partition} IS {quote_literal(mark)};"]


def _values(period: Period) -> str:
    return f"FOR VALUES FROM ({timestamp_literal(period.low)}) TO ({timestamp_literal(period.high)})"


def drop_partition_sql(table: PartitionedTable, name: str) -> str:
    """Return the statements that drop a partition; DETACH fails if the table is no longer a partition."""
    partition = table.sibling(name)
    return f"{prologue()}\nALTER TABLE {table.name} DETACH PARTITION {partition};\nDROP TABLE {partition};"


def delete_expired_sql(table: PartitionedTable, limit: str) -> str:
    """Return the statement that deletes up to `DELETE_MAX` rows of the default partition from before `limit`."""
    default = table.default_partition
    return (
        f"{prologue()}\nDELETE FROM ONLY {default} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY {default}"  # noqa: S608
        f" WHERE {quote_ident(table.time_column)} < {limit} LIMIT {DELETE_MAX}));"
    )


def partitioned_migration_sql(migration: Migration, schema: str, ahead: Sequence[NewPartition]) -> str:
    """
    Return the SQL of a migration that creates a table, with the table partitioned by its time column.

    The file itself stays as released. No other session sees the table yet, so its partitions are
    created in place.

    Raises:
        ValueError: The migration has a time column but does not create its table.
    """
    table, column = migration.table, str(migration.time_column)
    create_table = re.compile(rf"(^CREATE TABLE {re.escape(table)} \(\n.*?^\));", re.MULTILINE | re.DOTALL)
    sql, count = create_table.subn(rf"\1 PARTITION BY RANGE ({column});", migration.sql.strip(), count=1)
    if not count:
        raise ValueError(f"{migration}: a migration with a time column must contain 'CREATE TABLE {table} ('")
    parent = PartitionedTable(schema, table, column, default=default_name(table))
    lines = [sql, f"CREATE TABLE {parent.default_partition} PARTITION OF {parent.name} DEFAULT;"]
    lines.append(f"COMMENT ON TABLE {parent.default_partition} IS {quote_literal(DEFAULT_MARK)};")
    for new in ahead:
        partition = parent.sibling(new.name)
        lines.append(f"CREATE TABLE {partition} PARTITION OF {parent.name} {_values(new.period)};")
        lines.append(f"COMMENT ON TABLE {partition} IS {quote_literal(MARK)};")
    return "\n".join(lines)


def default_rows_by_period_sql(table: PartitionedTable, storage: StorageSettings) -> str:
    """Return the query that counts the rows of the default partition by period, between two instants."""
    width, origin = f"INTERVAL '{storage.partition_s:.0f} seconds'", timestamp_literal(ORIGIN)
    column = quote_ident(table.time_column)
    return (
        f"SELECT extract(epoch FROM pg_catalog.date_bin({width}, {column}, {origin}::timestamptz))::float8,"  # noqa: S608
        " pg_catalog.count(*)"
        f" FROM ONLY {table.default_partition} WHERE {column} >= %(low)s AND {column} < %(high)s GROUP BY 1"
    )


def default_rows_sql(table: PartitionedTable) -> str:
    """Return the query for the number of rows in the default partition and their first and last time."""
    column, form = quote_ident(table.time_column), "'YYYY-MM-DD HH24:MI'"
    first, last = (
        f"pg_catalog.to_char(pg_catalog.{limit}({column}) AT TIME ZONE 'UTC', {form})" for limit in ("min", "max")
    )
    return f"SELECT pg_catalog.count(*), {first}, {last} FROM ONLY {table.default_partition}"  # noqa: S608


def has_older_rows_sql(table: PartitionedTable) -> str:
    """Return the query that returns a row if the default partition contains rows older than an instant."""
    column = quote_ident(table.time_column)
    return f"SELECT 1 FROM ONLY {table.default_partition} WHERE {column} < %(since)s LIMIT 1"  # noqa: S608


TABLES = """
SELECT n.nspname, c.relname,
       coalesce(p.partstrat = 'r' AND p.partnatts = 1 AND EXISTS (
         SELECT FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum = (p.partattrs::int2[])[0] AND a.attname = w.time_column), false),
       c.relkind = 'p', pg_catalog.pg_get_userbyid(c.relowner)::text,
       pg_catalog.pg_get_userbyid(c.relowner) = current_user,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum)
FROM unnest(%(names)s::text[], %(columns)s::text[]) WITH ORDINALITY w (name, time_column, place)
JOIN pg_catalog.pg_class c ON c.relname = w.name AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = c.oid
WHERE CASE WHEN %(schema)s::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
ORDER BY w.place
"""
"""The columns of `maintain.RealTable`."""

# The bound is printed in the session's format, so the same session parses it; epoch, because any year may occur.
PARTITIONS = r"""
SELECT c.relname::text, b.bound = 'DEFAULT',
       extract(epoch FROM substring(b.bound FROM $re$FROM \('([^']*)'\)$re$)::timestamptz)::float8,
       extract(epoch FROM substring(b.bound FROM $re$TO \('([^']*)'\)$re$)::timestamptz)::float8,
       pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound) b
WHERE i.inhparent = %(root)s::pg_catalog.regclass::pg_catalog.oid
ORDER BY 3 NULLS FIRST
"""
"""Name, whether it is the default partition, start and end (seconds since 1970, NULL if unbounded), comment."""

TIMESCALE = """
SELECT n.nspname::text FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'timescaledb'
"""

HYPERTABLE = """
SELECT h.compression_enabled,
       (SELECT extract(epoch FROM (j.config OPERATOR(pg_catalog.->>) 'drop_after')::interval)::float8
        FROM timescaledb_information.jobs j
        WHERE j.proc_name = 'policy_retention' AND j.hypertable_schema = h.hypertable_schema
          AND j.hypertable_name = h.hypertable_name LIMIT 1),
       (SELECT extract(epoch FROM (j.config OPERATOR(pg_catalog.->>) 'compress_after')::interval)::float8
        FROM timescaledb_information.jobs j
        WHERE j.proc_name = 'policy_compression' AND j.hypertable_schema = h.hypertable_schema
          AND j.hypertable_name = h.hypertable_name LIMIT 1)
FROM timescaledb_information.hypertables h
WHERE h.hypertable_schema = %(schema)s AND h.hypertable_name = %(table)s
"""
"""Whether compression is enabled, seconds until chunks are dropped, and until they are compressed; NULL for never."""

PRIMARY_KEY = """
SELECT a.attname::text FROM pg_catalog.pg_index x
       CROSS JOIN LATERAL pg_catalog.unnest(x.indkey::int2[]) WITH ORDINALITY k (attnum, place)
       JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
WHERE x.indrelid = %(root)s::pg_catalog.regclass::pg_catalog.oid AND x.indisprimary
ORDER BY k.place
"""


def was_migrated_sql(schema: str) -> str:
    """Return the query that returns a row if migrate created the table."""
    records = f"{quote_ident(schema)}.eventwriter_migrations"
    return f"SELECT 1 FROM {records} WHERE table_name = %(table)s AND outcome = 'applied' LIMIT 1"  # noqa: S608


def parse_instant(since_1970_s: float | None) -> dt.datetime | None:
    """Return seconds since 1970 as a datetime; None if it is unbounded or outside the calendar."""
    if since_1970_s is None:
        return None
    try:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=since_1970_s)
    except (OverflowError, ValueError):
        return None
