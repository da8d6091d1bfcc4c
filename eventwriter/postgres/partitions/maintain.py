"""
Looking after the tables that `eventwriter migrate` made: which steps, and in which order.

Makes partitions ahead, gives late rows theirs, drops what is kept no longer, on plain
PostgreSQL; sets policies on TimescaleDB. A table that migrate did not make is never
touched, and neither is an ordinary one, nor a partition that somebody else attached.
"""

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.config.durations import format_duration
from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.partitions import sql
from eventwriter.postgres.partitions.plan import (
    Making,
    Partition,
    covered_until,
    default_of,
    kept_since,
    reach,
    to_drop,
    to_make,
)
from eventwriter.postgres.partitions.policies import policies
from eventwriter.postgres.partitions.sql import DELETE_MAX, Root
from eventwriter.postgres.partitions.steps import Act, Ask, Note, Refusal, Steps
from eventwriter.postgres.quoting import timestamp_literal

_DELETES_MAX = 100
"""How often some rows are deleted from one default partition in one run: a million rows; the next run goes on."""

_THERE_ALREADY, _GONE_ALREADY = "42P07", "42P01"
"""Duplicate table, undefined table."""


@dataclass(frozen=True, slots=True)
class Found:
    """A table of ours as the server has it."""

    schema: str
    table: str
    is_cut: bool
    """Whether it is partitioned by its time column, and by nothing else."""
    is_partitioned: bool
    owner: str
    is_owner: bool
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class Task:
    """
    What is to be looked after.

    Attributes:
        schema: Where the tables are; None for the connection's search path.
        columns: Their time columns, by name.
        now: Against which everything is decided.
    """

    schema: str | None
    columns: Mapping[str, str]
    storage: StorageSettings
    now: dt.datetime


def maintain(task: Task) -> Steps:
    """Look after tables once."""
    for found in (yield from _find(task)):
        time_column, wish = task.columns[found.table], task.storage.of(found.table)
        if found.is_cut:
            yield from _of_partitions(found, time_column, wish, task.now)
        elif found.is_partitioned:
            yield Note(f"{found.table}: partitioned by something else than its time alone, left as it is")
        else:
            yield from _of_ordinary(found, time_column, wish)


def look(task: Task) -> Steps:
    """Say which tables run out of partitions; change nothing."""
    for found in (yield from _find(task)):
        rows = (yield Ask(sql.PARTITIONS, {"root": _name(found)})) if found.is_cut else Refusal("", later=False)
        if isinstance(rows, Refusal):
            continue
        until = covered_until(task.now, [_partition(*row) for row in rows if not row[1]])
        if until is None or until < task.now + dt.timedelta(seconds=task.storage.of(found.table).partition_s):
            ends = f"its partitions end at {until:%Y-%m-%d %H:%M}" if until else "it has no partition for now"
            yield Note(
                f"{found.table}: {ends}: rows beyond go to the default partition, which cannot be dropped; run"
                ' "eventwriter migrate --maintain" every day, or set storage.maintain',
                warns=True,
            )


def _find(task: Task) -> Generator[Ask | Act | Note, Any, list[Found]]:
    """Find those of the tables that migrate made."""
    values = {"schema": task.schema, "names": list(task.columns), "columns": list(task.columns.values())}
    rows = yield Ask(sql.TABLES, values)
    if isinstance(rows, Refusal):
        yield Note(f"tables not looked at: {rows.text}", warns=True, undone=True)
        return []
    found = []
    for one in (Found(*row) for row in rows):
        ours = yield Ask(sql.ours(one.schema), {"table": one.table})
        if ours and not isinstance(ours, Refusal):
            found.append(one)
    return found


def _name(found: Found) -> str:
    return Root(found.schema, found.table, "").name


def _of_ordinary(found: Found, time_column: str, wish: StorageSettings) -> Steps:
    root = Root(found.schema, found.table, time_column)
    timescale = yield Ask(sql.TIMESCALE)
    if timescale and not isinstance(timescale, Refusal):
        hypertables = yield Ask(sql.HYPERTABLE, {"schema": found.schema, "table": found.table})
        if hypertables and not isinstance(hypertables, Refusal):
            yield from policies(root, wish, timescale[0][0], hypertables[0])
            return
    yield Note(f"{found.table}: an ordinary table, left as it is; docs/storage.md says how to partition it")


def _of_partitions(found: Found, time_column: str, wish: StorageSettings, now: dt.datetime) -> Steps:
    root = Root(
        found.schema, found.table, time_column, None if found.is_owner else found.owner, columns=tuple(found.columns)
    )  # fmt: skip
    rows = yield Ask(sql.PARTITIONS, {"root": root.name})
    if isinstance(rows, Refusal):
        yield Note(f"{found.table}: not looked at: {rows.text}", warns=True, undone=True)
        return
    partitions = [_partition(*row) for row in rows if not row[1]]
    default = next((row for row in rows if row[1]), None)
    if default is None:
        made = yield Act(sql.make_default(root), f"{root.table}: default partition made")
        if isinstance(made, Refusal):
            yield _refused(root, "the default partition cannot be made", made)
            return
        default = (default_of(root.table), True, None, None, sql.DEFAULT_MARK)
    root = Root(root.schema, root.table, time_column, root.owner, root.columns, default[0])
    partitions = yield from _drop(root, wish, now, partitions)
    if default[4] == sql.DEFAULT_MARK:
        yield from _delete(root, wish, now)
    partitions = yield from _make(root, wish, now, partitions)
    yield from _report(root, now, partitions)


def _partition(name: str, _: bool, low_s: float | None, high_s: float | None, mark: str | None) -> Partition:
    return Partition(name, sql.moment(low_s), sql.moment(high_s), mark == sql.MARK)


def _drop(
    root: Root, wish: StorageSettings, now: dt.datetime, partitions: Sequence[Partition]
) -> Generator[Ask | Act | Note, Any, list[Partition]]:
    """Drop what is over; return what is left."""
    left = list(partitions)
    for one in to_drop(wish, now, partitions):
        says = f"{root.table}: partition {one.name} dropped, older than {format_duration(wish.keep_s)}"
        done = yield Act(sql.drop(root, one.name), says)
        if isinstance(done, Refusal) and done.sqlstate == _GONE_ALREADY:
            yield Note(
                f"{root.table}: partition {one.name} is gone already: another one dropped or detached it meanwhile"
            )
        elif isinstance(done, Refusal):
            yield _refused(root, f"partition {one.name} is not dropped", done)
            break
        left.remove(one)
    return left


def _delete(root: Root, wish: StorageSettings, now: dt.datetime) -> Steps:
    """Delete from the default partition what is kept no longer."""
    since = kept_since(wish, now)
    if since is None:
        return
    rows = yield Ask(sql.older(root), {"since": since})
    if not rows or isinstance(rows, Refusal):
        return
    for _ in range(_DELETES_MAX):
        says = f"{root.table}: %d rows of the default partition deleted, older than {format_duration(wish.keep_s)}"
        done = yield Act(sql.delete_old(root, timestamp_literal(since)), says)
        if isinstance(done, Refusal):
            yield _refused(root, "old rows of the default partition are not deleted", done)
            return
        if done < DELETE_MAX:
            return


def _make(
    root: Root, wish: StorageSettings, now: dt.datetime, partitions: Sequence[Partition]
) -> Generator[Ask | Act | Note, Any, list[Partition]]:
    """Make what is missing; return what is there then."""
    whole, there = reach(now, wish), list(partitions)
    rows = yield Ask(sql.strays(root, wish), {"low": whole.low, "high": whole.high})
    if isinstance(rows, Refusal):
        # Without knowing what is there, nothing may be moved.
        yield _refused(root, "no partitions are made: the default partition cannot be looked through", rows)
        return there
    strays = {at: count for low_s, count in rows if (at := sql.moment(low_s))}
    for making in to_make(root.table, wish, now, partitions, strays):
        if making.rows > wish.move_max:
            yield Note(_too_many(root, making, wish), warns=True, undone=True)
            continue
        done = yield Act(sql.make(root, making), _made(root, making))
        if isinstance(done, Refusal) and done.sqlstate == _THERE_ALREADY:
            yield Note(
                f"{root.table}: {making.name} is there already: another one made it meanwhile, or it is in the way"
            )
        elif isinstance(done, Refusal):
            yield _refused(root, f"partition {making.name} is not made", done)
            break
        there.append(Partition(making.name, making.stretch.low, making.stretch.high))
    return there


def _made(root: Root, making: Making) -> str:
    moved = ", %d rows moved into it" if making.rows else ""
    return f"{root.table}: partition {making.name} made, until {making.stretch.high:%Y-%m-%d %H:%M}{moved}"


def _too_many(root: Root, making: Making, wish: StorageSettings) -> str:
    return (
        f"{root.table}: partition {making.name} is not made: {making.rows} rows of that time are in the default"
        f" partition, above storage.move_max {wish.move_max}; raise it for one run of `eventwriter migrate --maintain`"
        " while nothing is written, or leave them there"
    )


def _report(root: Root, now: dt.datetime, partitions: Sequence[Partition]) -> Steps:
    until = covered_until(now, partitions)
    words = f"until {until:%Y-%m-%d %H:%M}" if until else "none for now"
    yield Note(f"{root.table}: {len(partitions)} partitions, {words}", warns=until is None)
    rows = yield Ask(sql.left_over(root))
    if isinstance(rows, Refusal):
        yield _refused(root, "the default partition cannot be counted", rows)
    elif rows[0][0]:
        count, first, last = rows[0]
        yield Note(
            f"{root.table}: {count} rows in the default partition, of times from {first} to {last}",
            warns=True,
            rows=count,
        )


def _refused(root: Root, what: str, refusal: Refusal) -> Note:
    again = "; it is tried again" if refusal.later else ""
    return Note(f"{root.table}: {what}: {refusal.text}{again}", warns=True, undone=True)
