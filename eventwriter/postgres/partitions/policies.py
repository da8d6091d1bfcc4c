"""
Retention and compression of hypertables, as policies of TimescaleDB.

A policy that is not configured is left alone, so a policy that was set by hand stays if `storage`
does not mention it. A changed setting replaces the policy, because `if_not_exists` would keep the
old one with only a warning. Source: TimescaleDB documentation, add_retention_policy,
add_compression_policy, ALTER TABLE (compression).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eventwriter.config.durations import format_duration
from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.partitions.executor import Executor, Refused, Report
from eventwriter.postgres.partitions.sql import PRIMARY_KEY, PartitionedTable, prologue
from eventwriter.postgres.quoting import interval_literal, quote_ident, quote_literal

SEGMENT_BY: Mapping[str, str] = {
    "timeseries_metrics": "device_id",
    "otel_metrics": "service_name",
    "otel_traces": "service_name",
    "logs": "service_name",
}
"""Column by which rows are compressed together: queries filter by it, and many rows of a chunk share its value."""


async def set_policies(
    table: PartitionedTable, storage: StorageSettings, functions: str, facts: Sequence[Any], executor: Executor
) -> None:
    """
    Set the policies of one hypertable.

    Args:
        functions: Schema of TimescaleDB's functions.
        facts: A row of `sql.HYPERTABLE`.
    """
    is_compressed, drop_after_s, compress_after_s = facts
    if storage.keep_s != math.inf and storage.keep_s != drop_after_s:
        script = retention_sql(table, storage.keep_s, functions, replaces=drop_after_s is not None)
        await _set(table, script, f"chunks older than {format_duration(storage.keep_s)} are dropped", executor)
    after_s = storage.compress_after_s
    if after_s is not None and after_s != compress_after_s:
        script = "" if is_compressed else enable_compression_sql(table, await _primary_key(table, executor)) + "\n"
        script += compression_sql(table, after_s, functions, replaces=compress_after_s is not None)
        await _set(table, script, f"chunks older than {format_duration(after_s)} are compressed", executor)
    executor.report(Report("hypertable", f"{table.table}: hypertable, maintained by TimescaleDB", table.table))


async def _primary_key(table: PartitionedTable, executor: Executor) -> list[str]:
    try:
        return [row[0] for row in await executor.query(PRIMARY_KEY, {"root": table.name})]
    except Refused:
        return []


async def _set(table: PartitionedTable, script: str, effect: str, executor: Executor) -> None:
    result = Report("policy_set", f"{table.table}: from now on {effect}", table.table, changed=True)
    try:
        await executor.execute(f"{prologue()}\n{script}", result)
    except Refused as refused:
        text = f"{table.table}: the policy by which {effect} was not set: {refused.text}"
        retryable = refused.retryable
        executor.report(Report("refused", text, table.table, warns=True, undone=True, retryable=retryable))


def retention_sql(table: PartitionedTable, keep_s: float, functions: str, replaces: bool) -> str:
    """Return the SQL that sets the retention policy."""
    return _policy_sql(table, "retention", f"drop_after => {interval_literal(keep_s)}", functions, replaces)


def compression_sql(table: PartitionedTable, after_s: float, functions: str, replaces: bool) -> str:
    """Return the SQL that sets the compression policy."""
    return _policy_sql(table, "compression", f"compress_after => {interval_literal(after_s)}", functions, replaces)


def enable_compression_sql(table: PartitionedTable, key: Sequence[str]) -> str:
    """
    Return the SQL that enables compression.

    Both lists are specified: TimescaleDB guesses a missing one and may then reject the other.

    Args:
        key: Columns of the primary key, each of which must be in one of the lists.
    """
    segment_by = SEGMENT_BY.get(table.table, "")
    others = [name for name in key if name not in (table.time_column, segment_by)]
    order_by = ", ".join([f"{quote_ident(table.time_column)} DESC", *map(quote_ident, others)])
    return (
        f"ALTER TABLE {table.name} SET (timescaledb.compress,"
        f" timescaledb.compress_segmentby = {quote_literal(quote_ident(segment_by) if segment_by else '')},"
        f" timescaledb.compress_orderby = {quote_literal(order_by)});"
    )


def _policy_sql(table: PartitionedTable, policy: str, argument: str, functions: str, replaces: bool) -> str:
    relation, schema = quote_literal(table.name), quote_ident(functions)
    remove = f"SELECT {schema}.remove_{policy}_policy({relation}, if_exists => true);\n" if replaces else ""
    return f"{remove}SELECT {schema}.add_{policy}_policy({relation}, {argument}, if_not_exists => true);"
