"""Partitions to create and to drop for a time, settings and existing partitions."""

import datetime as dt
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.partitions.plan import (
    Partition,
    Period,
    covered_until,
    expiry_limit,
    gaps,
    partition_name,
    partitions_to_create,
    partitions_to_drop,
    period_at,
)

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def day(number: int) -> dt.datetime:
    """Return the midnight that is a number of days after the start of NOW's day."""
    return dt.datetime(2026, 1, 31, tzinfo=dt.UTC) + number * DAY


def daily(first: int, last: int, managed: bool = True) -> list[Partition]:
    """Return partitions of one day each."""
    return [Partition(f"p{n}", day(n), day(n + 1), managed) for n in range(first, last + 1)]


def storage(**keys: object) -> StorageSettings:
    return StorageSettings.model_validate({"ahead": 2, **keys})


def periods_to_create(
    partitions: list[Partition], default_rows: dict[dt.datetime, int] | None = None, **keys: object
) -> list[Period]:
    """Return the periods of the partitions to create."""
    planned = partitions_to_create("logs", storage(**keys), NOW, partitions, default_rows or {})
    return [new.period for new in planned]


def test_current_partition_is_created_before_those_ahead() -> None:
    """The current period comes first, because its rows arrive now."""
    assert [Period(day(n), day(n + 1)) for n in (0, 1, 2)] == periods_to_create([])


def test_existing_partitions_are_not_created_again() -> None:
    """Only missing partitions are created."""
    assert [Period(day(2), day(3))] == periods_to_create(daily(0, 1))
    assert [] == periods_to_create(daily(0, 2))


def test_late_rows_get_partitions_newest_first() -> None:
    """A past partition is created only if the default partition has rows of its period, and has their number."""
    planned = partitions_to_create("logs", storage(), NOW, daily(0, 2), {day(-3): 7, day(-1): 5, day(-2): 0})

    assert [("logs_p20260130", 5), ("logs_p20260128", 7)] == [(new.name, new.rows) for new in planned]


def test_distant_and_expired_rows_get_no_partition() -> None:
    """Rows before `behind` periods, after `ahead` periods, or beyond the retention stay in the default partition."""
    assert [Period(day(-2), day(-1))] == periods_to_create(daily(0, 2), {day(-3): 1, day(-2): 1, day(9): 1}, behind=2)
    assert [Period(day(-1), day(0))] == periods_to_create(daily(0, 2), {day(-2): 1, day(-1): 1}, keep="36h")


def test_changed_width_continues_existing_partitions() -> None:
    """After a change of the width, existing partitions stay, and new ones start where they end."""
    week = Partition("w", day(-5), dt.datetime(2026, 2, 1, 6, tzinfo=dt.UTC))

    assert [Period(dt.datetime(2026, 2, 1, 6, tzinfo=dt.UTC), day(2)), Period(day(2), day(3))] == periods_to_create(
        [week]
    )


def test_unbounded_partition_covers_all_later_periods() -> None:
    """No partition is created within a foreign partition without an end or a start."""
    assert [] == periods_to_create([Partition("theirs", day(-1), None, managed=False)])
    assert [Period(day(1), day(2)), Period(day(2), day(3))] == periods_to_create(
        [Partition("past", None, day(1), managed=False)]
    )


def test_managed_partitions_with_only_expired_rows_are_dropped() -> None:
    """Managed partitions whose end is expired are dropped, oldest first; foreign and unbounded ones are kept."""
    existing = [*reversed(daily(-5, 2)), *daily(-9, -8, managed=False), Partition("open", day(-7), None)]

    assert ["p-5", "p-4"] == [partition.name for partition in partitions_to_drop(storage(keep="3d"), NOW, existing)]


def test_partition_is_kept_until_its_last_row_expires() -> None:
    """A partition that ended exactly at the limit is dropped, one that ended a microsecond later is kept."""
    ends = [Partition("over", day(-9), NOW - DAY), Partition("kept", day(-9), NOW - DAY + dt.timedelta.resolution)]

    assert ["over"] == [partition.name for partition in partitions_to_drop(storage(keep="1d"), NOW, ends)]


@pytest.mark.parametrize("keep", ["forever", "9999999d"])
def test_unlimited_retention_drops_nothing(keep: str) -> None:
    """A retention of forever, or longer than the calendar, drops nothing."""
    assert [] == partitions_to_drop(storage(keep=keep), NOW, daily(-400, 2))
    assert expiry_limit(storage(keep=keep), NOW) is None


@pytest.mark.parametrize(
    ("width", "low"),
    [
        ("1d", "2026-01-31T00:00"),
        ("6h", "2026-01-31T12:00"),
        ("7d", "2026-01-26T00:00"),
    ],
)
def test_periods_start_at_midnight_and_on_mondays(width: str, low: str) -> None:
    """Periods of a day start at midnight UTC, periods of a week on Mondays."""
    assert (
        dt.datetime.fromisoformat(low).replace(tzinfo=dt.UTC)
        == period_at(NOW, storage(partition=width).partition_s).low
    )


def test_partition_name_contains_its_start() -> None:
    """A name contains the date, and the time if it is not midnight, and is truncated to PostgreSQL's limit."""
    assert ("logs_p20260131", "logs_p20260131_1200") == (partition_name("logs", day(0)), partition_name("logs", NOW))
    assert "t" * 53 + "_p20260131" == partition_name("t" * 80, day(0))


def test_coverage_ends_at_the_first_gap() -> None:
    """Coverage ends at the first instant without a partition; there is none if now has no partition."""
    assert day(2) == covered_until(NOW, [*daily(-3, 1), *daily(3, 5)])
    assert covered_until(NOW, daily(1, 5)) is None


HOURS = st.integers(-24 * 60, 24 * 60)


@given(
    st.lists(st.tuples(HOURS, st.integers(1, 80)), max_size=8),
    st.integers(1, 60),
    st.integers(1, 9),
    st.dictionaries(HOURS, st.integers(1, 9), max_size=5),
)
@settings(deadline=None, max_examples=300)
def test_partitions_never_overlap_and_leave_no_gap(
    cuts: list[tuple[int, int]], width_h: int, ahead: int, late: dict[int, int]
) -> None:
    """With the planned partitions, the time from now until the last period ahead is covered exactly once."""
    existing: list[Partition] = []
    for start, length in sorted(cuts):
        low = day(0) + dt.timedelta(hours=start)
        if not existing or existing[-1].high is None or low >= existing[-1].high:
            existing.append(Partition("x", low, low + dt.timedelta(hours=length)))
    width_s, section = width_h * 3600, storage(partition=f"{width_h}h", ahead=ahead)
    default_rows = {period_at(day(0) + dt.timedelta(hours=hour), width_s).low: count for hour, count in late.items()}

    planned = partitions_to_create("logs", section, NOW, existing, default_rows)

    periods = [(p.low or NOW, p.high or NOW) for p in existing] + [(n.period.low, n.period.high) for n in planned]
    assert all(before[1] <= after[0] for before, after in pairwise(sorted(periods)))
    all_partitions = [*existing, *(Partition(new.name, new.period.low, new.period.high) for new in planned)]
    current = period_at(NOW, width_s)
    assert [] == list(gaps(Period(current.low, current.high + ahead * dt.timedelta(hours=width_h)), all_partitions))
    assert len({new.name for new in planned}) == len(planned)
    assert [] == partitions_to_create("logs", section, NOW, all_partitions, default_rows)
    assert section.keep_s == math.inf
