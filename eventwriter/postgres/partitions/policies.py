"""
Retention and compression of hypertables: TimescaleDB's own policies, set as wished.

What is not wished is left alone: a policy that somebody set by hand stays where
`storage` says nothing about it. A wish that has changed replaces the policy, because
`if_not_exists` would keep the old one and only warn. Source: TimescaleDB documentation,
add_retention_policy, add_compression_policy, ALTER TABLE (compression).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eventwriter.config.durations import format_duration
from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.partitions import sql as storage_sql
from eventwriter.postgres.partitions.sql import Root, prologue
from eventwriter.postgres.partitions.steps import Act, Ask, Note, Refusal, Steps
from eventwriter.postgres.quoting import interval_literal, quote_ident, quote_literal

SEGMENT_BY: Mapping[str, str] = {
    "timeseries_metrics": "device_id",
    "otel_metrics": "service_name",
    "otel_traces": "service_name",
    "logs": "service_name",
}
"""What rows that are compressed together have in common: queries ask for it, and many rows of a chunk share it."""


def policies(root: Root, wish: StorageSettings, functions: str, facts: Sequence[Any]) -> Steps:
    """
    Set one hypertable's policies.

    Args:
        functions: The schema of TimescaleDB's functions.
        facts: A row of `storage_sql.HYPERTABLE`.
    """
    is_compressed, drop_after_s, compress_after_s = facts
    if wish.keep_s != math.inf and wish.keep_s != drop_after_s:
        sql = retention(root, wish.keep_s, functions, replaces=drop_after_s is not None)
        yield from _set(root, sql, f"chunks older than {format_duration(wish.keep_s)} are dropped")
    if wish.compress_after_s is not None and wish.compress_after_s != compress_after_s:
        key = () if is_compressed else (yield Ask(storage_sql.KEY, {"root": root.name}))
        names = [] if isinstance(key, Refusal) else [row[0] for row in key]
        first = "" if is_compressed else compressible(root, names) + "\n"
        sql = first + compression(root, wish.compress_after_s, functions, replaces=compress_after_s is not None)
        yield from _set(root, sql, f"chunks older than {format_duration(wish.compress_after_s)} are compressed")
    yield Note(f"{root.table}: hypertable, looked after by TimescaleDB")


def _set(root: Root, sql: str, what: str) -> Steps:
    done = yield Act(f"{prologue()}\n{sql}", f"{root.table}: from now on {what}")
    if isinstance(done, Refusal):
        yield Note(f"{root.table}: the policy by which {what} is not set: {done.text}", warns=True, undone=True)


def retention(root: Root, keep_s: float, functions: str, replaces: bool) -> str:
    """Return the SQL that has chunks dropped."""
    return _policy(root, "retention", f"drop_after => {interval_literal(keep_s)}", functions, replaces)


def compression(root: Root, after_s: float, functions: str, replaces: bool) -> str:
    """Return the SQL that has chunks compressed."""
    return _policy(root, "compression", f"compress_after => {interval_literal(after_s)}", functions, replaces)


def compressible(root: Root, key: Sequence[str]) -> str:
    """
    Return the SQL that lets chunks be compressed.

    Both lists are given in full: TimescaleDB would guess the one that is not, and may then refuse the other.

    Args:
        key: The primary key's columns, which are either common to a segment or ordered by.
    """
    common = SEGMENT_BY.get(root.table, "")
    order = [
        f"{quote_ident(root.time_column)} DESC",
        *(quote_ident(n) for n in key if n not in (root.time_column, common)),
    ]
    return (
        f"ALTER TABLE {root.name} SET (timescaledb.compress,"
        f" timescaledb.compress_segmentby = {quote_literal(quote_ident(common) if common else '')},"
        f" timescaledb.compress_orderby = {quote_literal(', '.join(order))});"
    )


def _policy(root: Root, name: str, wish: str, functions: str, replaces: bool) -> str:
    relation, of = quote_literal(root.name), quote_ident(functions)
    remove = f"SELECT {of}.remove_{name}_policy({relation}, if_exists => true);\n" if replaces else ""
    return f"{remove}SELECT {of}.add_{name}_policy({relation}, {wish}, if_not_exists => true);"
