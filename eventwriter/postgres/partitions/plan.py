"""
Decides which time partitions a table needs and which it can drop. Pure.

A partition covers a period of time, from `low` (inclusive) to `high` (exclusive). Periods have
the configured width and are counted from `ORIGIN`, so that every run on every host uses the same
boundaries. Existing partitions of any width are kept as they are; only the gaps between them are
filled.
"""

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eventwriter.config.settings import DAY_S, StorageSettings

ORIGIN = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
"""A Monday, so that periods of a week start on Mondays."""

_NAME_BYTES_MAX = 63
"""PostgreSQL truncates longer names. Source: PostgreSQL documentation, "Identifiers and Key Words"."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A period of time."""

    low: dt.datetime
    high: dt.datetime


@dataclass(frozen=True, slots=True)
class Partition:
    """
    An existing partition.

    Attributes:
        low: Start; None if it has none.
        high: End; None if it has none.
        managed: Whether eventwriter created it; others are never dropped.
    """

    name: str
    low: dt.datetime | None
    high: dt.datetime | None
    managed: bool = True


@dataclass(frozen=True, slots=True)
class NewPartition:
    """
    A partition to be created.

    Attributes:
        rows: Number of rows of its period in the default partition.
    """

    name: str
    period: Period
    rows: int


def period_at(at: dt.datetime, width_s: float) -> Period:
    """Return the period that contains an instant."""
    number = math.floor((at - ORIGIN).total_seconds() / width_s)
    low = ORIGIN + dt.timedelta(seconds=number * width_s)
    return Period(low, low + dt.timedelta(seconds=width_s))


def creation_range(now: dt.datetime, storage: StorageSettings) -> Period:
    """Return the time for which partitions are created: `behind` periods before the current one to `ahead` after it."""
    width, current = dt.timedelta(seconds=storage.partition_s), period_at(now, storage.partition_s)
    return Period(current.low - storage.behind * width, current.high + storage.ahead * width)


def partitions_to_create(
    table: str,
    storage: StorageSettings,
    now: dt.datetime,
    partitions: Sequence[Partition],
    default_rows: Mapping[dt.datetime, int],
) -> list[NewPartition]:
    """
    Return the partitions to create: the current period, those ahead, then past ones, newest first.

    Args:
        partitions: All existing partitions, managed or not.
        default_rows: Number of rows in the default partition, by the start of their period.
    """
    width, allowed = dt.timedelta(seconds=storage.partition_s), creation_range(now, storage)
    current = period_at(now, storage.partition_s).low
    ahead = [current + n * width for n in range(storage.ahead + 1)]
    past = sorted((low for low in default_rows if allowed.low <= low < current and default_rows[low]), reverse=True)
    kept = [low for low in past if not is_expired(low + width, storage, now)]
    return [
        NewPartition(partition_name(table, gap.low), gap, default_rows.get(low, 0))
        for low in (*ahead, *kept)
        for gap in gaps(Period(low, low + width), partitions)
    ]


def partitions_to_drop(storage: StorageSettings, now: dt.datetime, partitions: Iterable[Partition]) -> list[Partition]:
    """Return the managed partitions whose rows are all expired, oldest first."""
    expired = [p for p in partitions if p.managed and p.high is not None and is_expired(p.high, storage, now)]
    return sorted(expired, key=lambda partition: partition.high or ORIGIN)


def is_expired(high: dt.datetime, storage: StorageSettings, now: dt.datetime) -> bool:
    """Return whether all rows before `high` are expired."""
    limit = expiry_limit(storage, now)
    return limit is not None and high <= limit


def expiry_limit(storage: StorageSettings, now: dt.datetime) -> dt.datetime | None:
    """Return the instant before which rows are expired; None if rows never expire."""
    try:
        return now - dt.timedelta(seconds=storage.keep_s)
    except OverflowError:  # kept forever, or from before the first year of the calendar
        return None


def gaps(period: Period, partitions: Iterable[Partition]) -> Iterator[Period]:
    """Yield the parts of a period that no partition covers."""
    at = period.low
    for partition in sorted(partitions, key=lambda p: p.low or dt.datetime.min.replace(tzinfo=dt.UTC)):
        if partition.high is not None and partition.high <= at:
            continue
        if partition.low is not None and partition.low >= period.high:
            break
        if partition.low is not None and partition.low > at:
            yield Period(at, partition.low)
        if partition.high is None:
            return
        at = partition.high
    if at < period.high:
        yield Period(at, period.high)


def covered_until(now: dt.datetime, partitions: Sequence[Partition]) -> dt.datetime | None:
    """Return the end of the consecutive partitions that start with the current one; None if there is none for now."""
    end = dt.datetime.max.replace(tzinfo=dt.UTC)
    gap = next(gaps(Period(now, end), partitions), None)
    if gap is None:
        return end
    return gap.low if gap.low > now else None


def partition_name(table: str, low: dt.datetime) -> str:
    """Return the name of a partition: `logs_p20260131`, or `logs_p20260131_0600` if it does not start at midnight."""
    within_day = (low - ORIGIN).total_seconds() % DAY_S
    suffix = f"_p{low:%Y%m%d}" + (f"_{low:%H%M}" if within_day else "")
    return table.encode()[: _NAME_BYTES_MAX - len(suffix)].decode(errors="ignore") + suffix


def default_name(table: str) -> str:
    """Return the name of the default partition, which stores the rows of all other periods."""
    return f"{table}_default"
