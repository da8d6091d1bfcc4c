"""
Maintenance of the tables that `eventwriter migrate` created.

On plain PostgreSQL: creates partitions ahead, creates partitions for late rows, and drops expired
ones. On TimescaleDB: sets policies. Tables that migrate did not create, ordinary tables, and
partitions that were attached by others are never changed.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eventwriter.config.durations import format_duration
from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.partitions import sql
from eventwriter.postgres.partitions.executor import Executor, Refused, Report
from eventwriter.postgres.partitions.plan import (
    NewPartition,
    Partition,
    covered_until,
    creation_range,
    default_name,
    expiry_limit,
    partitions_to_create,
    partitions_to_drop,
)
from eventwriter.postgres.partitions.policies import set_policies
from eventwriter.postgres.partitions.sql import DELETE_MAX, PartitionedTable
from eventwriter.postgres.quoting import timestamp_literal

_DELETES_MAX = 100
"""Limit of DELETE statements for one default partition in one run: a million rows. The next run continues."""

_DUPLICATE_TABLE, _UNDEFINED_TABLE = "42P07", "42P01"


@dataclass(frozen=True, slots=True)
class Task:
    """
    Tables to be maintained.

    Attributes:
        schema: Schema of the tables; None for the connection's search path.
        columns: Time columns by table.
        now: Time on which all decisions are based.
    """

    schema: str | None
    columns: Mapping[str, str]
    storage: StorageSettings
    now: dt.datetime


@dataclass(frozen=True, slots=True)
class RealTable:
    """
    A table of the task in the database.

    Attributes:
        by_time: Whether it is partitioned by its time column and by nothing else.
        is_partitioned: Whether it is partitioned at all.
        is_owner: Whether the current role owns it.
        columns: Columns that can be written.
    """

    schema: str
    table: str
    by_time: bool
    is_partitioned: bool
    owner: str
    is_owner: bool
    columns: Sequence[str]

    def as_partitioned(self, time_column: str) -> PartitionedTable:
        """Return the table for building SQL."""
        owner = None if self.is_owner else self.owner
        return PartitionedTable(self.schema, self.table, time_column, owner, tuple(self.columns))


async def maintain(task: Task, executor: Executor) -> None:
    """
    Maintain the tables once.

    Raises:
        Retryable: The connection is lost.
    """
    for real in await _find_tables(task, executor):
        table, storage = real.as_partitioned(task.columns[real.table]), task.storage.of(real.table)
        if real.by_time:
            await _PartitionMaintenance(table, storage, task.now, executor).run()
        elif real.is_partitioned:
            text = f"{real.table}: partitioned by more than its time column, left unchanged"
            executor.report(Report("partitioned_otherwise", text, real.table))
        else:
            await _maintain_unpartitioned(table, storage, executor)


async def check(task: Task, executor: Executor) -> None:
    """
    Report the tables that run out of partitions, without changing anything.

    Raises:
        Retryable: The connection is lost.
    """
    for real in await _find_tables(task, executor):
        if not real.by_time:
            continue
        name = real.as_partitioned(task.columns[real.table]).name
        try:
            rows = await executor.query(sql.PARTITIONS, {"root": name})
        except Refused:
            continue
        until = covered_until(task.now, [_partition(*row) for row in rows if not row[1]])
        if until is None or until < task.now + dt.timedelta(seconds=task.storage.of(real.table).partition_s):
            ends = f"its partitions end at {until:%Y-%m-%d %H:%M}" if until else "it has no partition for now"
            text = (
                f"{real.table}: {ends}; later rows go to the default partition, which cannot be dropped; run"
                ' "eventwriter migrate --maintain" daily, or set storage.maintain'
            )
            executor.report(Report("partitions_end", text, real.table, warns=True))


async def _find_tables(task: Task, executor: Executor) -> list[RealTable]:
    """Return the tables of the task that migrate created."""
    values = {"schema": task.schema, "names": list(task.columns), "columns": list(task.columns.values())}
    try:
        rows = await executor.query(sql.TABLES, values)
    except Refused as refused:
        executor.report(Report("query_refused", f"tables not maintained: {refused.text}", warns=True, undone=True))
        return []
    tables = [RealTable(*row) for row in rows]
    return [real for real in tables if await _is_ours(real, executor)]


async def _is_ours(real: RealTable, executor: Executor) -> bool:
    try:
        return bool(await executor.query(sql.was_migrated_sql(real.schema), {"table": real.table}))
    except Refused:  # there is no record of migrations, or the role may not read it
        return False


def _partition(
    name: str, _is_default: bool, low_s: float | None, high_s: float | None, comment: str | None
) -> Partition:
    return Partition(name, sql.parse_instant(low_s), sql.parse_instant(high_s), comment == sql.MARK)


async def _maintain_unpartitioned(table: PartitionedTable, storage: StorageSettings, executor: Executor) -> None:
    """Set the policies of a hypertable; leave an ordinary table unchanged."""
    try:
        timescale = await executor.query(sql.TIMESCALE)
        names = {"schema": table.schema, "table": table.table}
        hypertables = await executor.query(sql.HYPERTABLE, names) if timescale else []
    except Refused:
        hypertables = []
    if hypertables:
        await set_policies(table, storage, timescale[0][0], hypertables[0], executor)
        return
    text = f"{table.table}: ordinary table, left unchanged; docs/storage.md describes how to partition it"
    executor.report(Report("not_partitioned", text, table.table))


class _PartitionMaintenance:
    """Maintenance of one table that is partitioned by time."""

    def __init__(self, table: PartitionedTable, storage: StorageSettings, now: dt.datetime, executor: Executor) -> None:
        self._table, self._storage, self._now, self._executor = table, storage, now, executor
        self._partitions: list[Partition] = []

    async def run(self) -> None:
        try:
            rows = await self._executor.query(sql.PARTITIONS, {"root": self._table.name})
        except Refused as refused:
            self._report_refused("not maintained", refused)
            return
        self._partitions = [_partition(*row) for row in rows if not row[1]]
        default = next(((row[0], row[4]) for row in rows if row[1]), None) or await self._create_default()
        if default is None:
            return
        name, comment = default
        self._table = replace(self._table, default=name)
        await self._drop_expired()
        if comment == sql.DEFAULT_MARK:
            await self._delete_expired()
        await self._create_missing()
        await self._report_state()

    async def _create_default(self) -> tuple[str, str] | None:
        """Create the default partition; return its name and comment."""
        text = f"{self._table.table}: default partition created"
        result = self._report("default_partition_created", text, default_name(self._table.table), changed=True)
        try:
            await self._executor.execute(sql.create_default_sql(self._table), result)
        except Refused as refused:
            self._report_refused("the default partition cannot be created", refused)
            return None
        return default_name(self._table.table), sql.DEFAULT_MARK

    async def _drop_expired(self) -> None:
        table, age = self._table.table, format_duration(self._storage.keep_s)
        for partition in partitions_to_drop(self._storage, self._now, self._partitions):
            name = partition.name
            text = f"{table}: partition {name} dropped, older than {age}"
            result = self._report("partition_dropped", text, name, changed=True)
            try:
                await self._executor.execute(sql.drop_partition_sql(self._table, name), result)
            except Refused as refused:
                if refused.sqlstate != _UNDEFINED_TABLE:
                    self._report_refused(f"partition {name} was not dropped", refused, name)
                    return
                text = f"{table}: partition {name} was dropped or detached by another session"
                self._executor.report(self._report("already_dropped", text, name))
            self._partitions.remove(partition)

    async def _delete_expired(self) -> None:
        """Delete expired rows from the default partition."""
        limit, table = expiry_limit(self._storage, self._now), self._table.table
        if limit is None:
            return
        script = sql.delete_expired_sql(self._table, timestamp_literal(limit))
        age = format_duration(self._storage.keep_s)
        result = self._report("rows_deleted", f"{table}: {{rows}} of the default partition deleted, older than {age}")
        try:
            if not await self._executor.query(sql.has_older_rows_sql(self._table), {"since": limit}):
                return
        except Refused:
            return
        try:
            for _ in range(_DELETES_MAX):
                if await self._executor.execute(script, replace(result, changed=True)) < DELETE_MAX:
                    return
        except Refused as refused:
            self._report_refused("expired rows of the default partition were not deleted", refused)

    async def _create_missing(self) -> None:
        allowed = creation_range(self._now, self._storage)
        query = sql.default_rows_by_period_sql(self._table, self._storage)
        try:
            rows = await self._executor.query(query, {"low": allowed.low, "high": allowed.high})
        except Refused as refused:
            # Rows of the default partition must move with the partition, so they have to be known.
            self._report_refused("no partitions were created: the default partition cannot be read", refused)
            return
        default_rows = {at: count for low_s, count in rows if (at := sql.parse_instant(low_s))}
        planned = partitions_to_create(self._table.table, self._storage, self._now, self._partitions, default_rows)
        for new in planned:
            if new.rows > self._storage.move_max:
                self._executor.report(self._too_many_rows(new))
            elif not await self._create(new):
                return

    async def _create(self, new: NewPartition) -> bool:
        """Create a partition; return whether to continue with the next one."""
        table, name = self._table.table, new.name
        moved = ", {rows} moved into it" if new.rows else ""
        text = f"{table}: partition {name} created, until {new.period.high:%Y-%m-%d %H:%M}{moved}"
        result = self._report("partition_created", text, name, changed=True)
        try:
            await self._executor.execute(sql.create_partition_sql(self._table, new), result)
        except Refused as refused:
            if refused.sqlstate != _DUPLICATE_TABLE:
                self._report_refused(f"partition {name} was not created", refused, name)
                return False
            text = f"{table}: {name} exists already: created by another session, or another table of that name"
            self._executor.report(self._report("already_created", text, name))
        self._partitions.append(Partition(name, new.period.low, new.period.high))
        return True

    def _too_many_rows(self, new: NewPartition) -> Report:
        text = (
            f"{self._table.table}: partition {new.name} was not created: {new.rows} rows of its period are in the"
            f" default partition, above storage.move_max {self._storage.move_max}; raise it for one run of"
            " `eventwriter migrate --maintain` while nothing is written, or leave the rows there"
        )
        return replace(self._report("too_many_rows", text, new.name), warns=True, undone=True)

    async def _report_state(self) -> None:
        table, until = self._table.table, covered_until(self._now, self._partitions)
        end = f"until {until:%Y-%m-%d %H:%M}" if until else "none for now"
        count = len(self._partitions)
        text = f"{table}: {count} {'partition' if count == 1 else 'partitions'}, {end}"
        self._executor.report(replace(self._report("partitions", text), warns=until is None))
        try:
            ((rows, first, last),) = await self._executor.query(sql.default_rows_sql(self._table))
        except Refused as refused:
            self._report_refused("the rows of the default partition cannot be counted", refused)
            return
        if rows:
            text = f"{table}: {{rows}} in the default partition, with times from {first} to {last}"
            self._executor.report(replace(self._report("default_rows", text).with_rows(rows), warns=True))

    def _report(self, code: str, text: str, partition: str = "", *, changed: bool = False) -> Report:
        return Report(code, text, self._table.table, partition, changed=changed)

    def _report_refused(self, what: str, refused: Refused, partition: str = "") -> None:
        retry = "; it is retried" if refused.retryable else ""
        report = self._report("refused", f"{self._table.table}: {what}: {refused.text}{retry}", partition)
        self._executor.report(replace(report, warns=True, undone=True, retryable=refused.retryable))
