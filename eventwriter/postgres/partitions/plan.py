"""
Which time partitions a table needs now, and which it keeps no longer; pure.

A partition is a stretch of time, from `low` (included) to `high` (not included).
Periods have the wished width and are counted from `ORIGIN`, so that every run, and
every host, cuts time at the same instants. What is there already, of whatever width,
is never cut again: only the gaps between are filled.
"""

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eventwriter.config.settings import DAY_S, StorageSettings

ORIGIN = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
"""A Monday, so that weeks begin on one."""

_NAME_BYTES_MAX = 63
"""PostgreSQL cuts longer names. Source: its documentation, "Identifiers and Key Words"."""


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """A stretch of time."""

    low: dt.datetime
    high: dt.datetime


@dataclass(frozen=True, slots=True)
class Partition:
    """One that is there."""

    name: str
    low: dt.datetime | None
    """None: it has no beginning."""
    high: dt.datetime | None
    """None: it has no end."""
    ours: bool = True
    """Whether eventwriter made it; others are never dropped."""


@dataclass(frozen=True, slots=True)
class Making:
    """One that is to be made."""

    name: str
    stretch: Stretch
    rows: int
    """How many rows of it are in the default partition."""


def period(at: dt.datetime, width_s: float) -> Stretch:
    """Return the period that holds an instant."""
    count = math.floor((at - ORIGIN).total_seconds() / width_s)
    low = ORIGIN + dt.timedelta(seconds=count * width_s)
    return Stretch(low, low + dt.timedelta(seconds=width_s))


def reach(now: dt.datetime, wish: StorageSettings) -> Stretch:
    """Return the time within which partitions are made: so many periods behind and ahead of the current one."""
    width, current = dt.timedelta(seconds=wish.partition_s), period(now, wish.partition_s)
    return Stretch(current.low - wish.behind * width, current.high + wish.ahead * width)


def to_make(
    table: str,
    wish: StorageSettings,
    now: dt.datetime,
    partitions: Sequence[Partition],
    strays: Mapping[dt.datetime, int],
) -> list[Making]:
    """
    Return what is to be made, the current period first, then those ahead, then those behind from the newest.

    Args:
        partitions: All that are there, ours and others'.
        strays: Rows in the default partition by the beginning of their period.
    """
    width, whole = dt.timedelta(seconds=wish.partition_s), reach(now, wish)
    current = period(now, wish.partition_s).low
    ahead = [current + n * width for n in range(wish.ahead + 1)]
    late = sorted((low for low in strays if whole.low <= low < current and strays[low]), reverse=True)
    kept = [low for low in late if not is_over(low + width, wish, now)]
    return [
        Making(name_of(table, gap.low), gap, strays.get(low, 0))
        for low in (*ahead, *kept)
        for gap in gaps(Stretch(low, low + width), partitions)
    ]


def to_drop(wish: StorageSettings, now: dt.datetime, partitions: Iterable[Partition]) -> list[Partition]:
    """Return ours that can hold no row that is kept, the oldest first."""
    over = [one for one in partitions if one.ours and one.high is not None and is_over(one.high, wish, now)]
    return sorted(over, key=lambda one: one.high or ORIGIN)


def is_over(high: dt.datetime, wish: StorageSettings, now: dt.datetime) -> bool:
    """Say whether whatever is before `high` is kept no longer."""
    limit = kept_since(wish, now)
    return limit is not None and high <= limit


def kept_since(wish: StorageSettings, now: dt.datetime) -> dt.datetime | None:
    """Return the instant before which rows are kept no longer; None where all are kept."""
    try:
        return now - dt.timedelta(seconds=wish.keep_s)
    except OverflowError:  # for ever, or from before the calendar
        return None


def gaps(wanted: Stretch, partitions: Iterable[Partition]) -> Iterator[Stretch]:
    """Yield what of a stretch no partition covers."""
    at = wanted.low
    for one in sorted(partitions, key=lambda one: one.low or dt.datetime.min.replace(tzinfo=dt.UTC)):
        if one.high is not None and one.high <= at:
            continue
        if one.low is not None and one.low >= wanted.high:
            break
        if one.low is not None and one.low > at:
            yield Stretch(at, one.low)
        if one.high is None:
            return
        at = one.high
    if at < wanted.high:
        yield Stretch(at, wanted.high)


def covered_until(now: dt.datetime, partitions: Sequence[Partition]) -> dt.datetime | None:
    """Return the end of the partitions that follow one another from now on; None where now has none."""
    end = dt.datetime.max.replace(tzinfo=dt.UTC)
    free = next(gaps(Stretch(now, end), partitions), None)
    if free is None:
        return end
    return free.low if free.low > now else None


def name_of(table: str, low: dt.datetime) -> str:
    """Return what a partition is called: `logs_p20260131`, or `logs_p20260131_0600` where it begins within a day."""
    within = (low - ORIGIN).total_seconds() % DAY_S
    suffix = f"_p{low:%Y%m%d}" + (f"_{low:%H%M}" if within else "")
    return table.encode()[: _NAME_BYTES_MAX - len(suffix)].decode(errors="ignore") + suffix


def default_of(table: str) -> str:
    """Return what the default partition is called, which takes every row that no other does."""
    return f"{table}_default"
