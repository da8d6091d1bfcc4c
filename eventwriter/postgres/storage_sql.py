"""What the server is asked before tables are looked after."""

import datetime as dt

from eventwriter.postgres.catalog import quoted

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
    records = f"{quoted(schema)}.eventwriter_migrations"
    return f"SELECT 1 FROM {records} WHERE table_name = %(table)s AND outcome = 'applied' LIMIT 1"  # noqa: S608


def moment(since_1970_s: float | None) -> dt.datetime | None:
    """Read an instant; one beyond the calendar is as good as none."""
    if since_1970_s is None:
        return None
    try:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=since_1970_s)
    except (OverflowError, ValueError):
        return None
