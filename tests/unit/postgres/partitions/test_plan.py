"""Which partitions are made and dropped, for a given now, given wishes, and those that are there."""

import datetime as dt
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.partitions.plan import (
    Partition,
    Stretch,
    covered_until,
    gaps,
    kept_since,
    name_of,
    period,
    to_drop,
    to_make,
)

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def day(number: int) -> dt.datetime:
    """Midnight so many days after that of NOW's day."""
    return dt.datetime(2026, 1, 31, tzinfo=dt.UTC) + number * DAY


def daily(first: int, last: int, ours: bool = True) -> list[Partition]:
    """Partitions of a day each."""
    return [Partition(f"p{n}", day(n), day(n + 1), ours) for n in range(first, last + 1)]


def wish(**keys: object) -> StorageSettings:
    return StorageSettings.model_validate({"ahead": 2, **keys})


def made(partitions: list[Partition], strays: dict[dt.datetime, int] | None = None, **keys: object) -> list[Stretch]:
    return [one.stretch for one in to_make("logs", wish(**keys), NOW, partitions, strays or {})]


def test_empty_table_gets_today_and_those_ahead() -> None:
    """The current period comes first, because rows of it come now."""
    assert [Stretch(day(n), day(n + 1)) for n in (0, 1, 2)] == made([])


def test_what_is_there_is_not_made_again() -> None:
    """Only the missing one is made; with all there, none."""
    assert [Stretch(day(2), day(3))] == made(daily(0, 1))
    assert [] == made(daily(0, 2))


def test_late_rows_get_their_partition_newest_first() -> None:
    """A period behind is made only where the default partition has rows of it, and says how many."""
    makings = to_make("logs", wish(), NOW, daily(0, 2), {day(-3): 7, day(-1): 5, day(-2): 0})

    assert [("logs_p20260130", 5), ("logs_p20260128", 7)] == [(one.name, one.rows) for one in makings]


def test_rows_that_are_far_away_get_none() -> None:
    """What is further back than `behind`, further ahead than `ahead`, or kept no longer stays in the default."""
    assert [Stretch(day(-2), day(-1))] == made(daily(0, 2), {day(-3): 1, day(-2): 1, day(9): 1}, behind=2)
    assert [Stretch(day(-1), day(0))] == made(daily(0, 2), {day(-2): 1, day(-1): 1}, keep="36h")


def test_other_width_fills_up_what_is_there() -> None:
    """After a change of width, weeks that are there stay, and days begin where they end, never overlapping."""
    week = Partition("w", day(-5), dt.datetime(2026, 2, 1, 6, tzinfo=dt.UTC))

    assert [Stretch(dt.datetime(2026, 2, 1, 6, tzinfo=dt.UTC), day(2)), Stretch(day(2), day(3))] == made([week])


def test_partition_without_an_end_leaves_nothing_to_make() -> None:
    """A partition of somebody's that takes all the future is left to take it."""
    assert [] == made([Partition("theirs", day(-1), None, ours=False)])
    assert [Stretch(day(1), day(2)), Stretch(day(2), day(3))] == made([Partition("past", None, day(1), ours=False)])


def test_dropped_are_ours_that_are_wholly_over() -> None:
    """Whose youngest possible row is older than what is kept; oldest first; nobody else's, and none without an end."""
    there = [*reversed(daily(-5, 2)), *daily(-9, -8, ours=False), Partition("open", day(-7), None)]

    assert ["p-5", "p-4"] == [one.name for one in to_drop(wish(keep="3d"), NOW, there)]


def test_partition_is_kept_until_its_last_row_is_over() -> None:
    """One that ended just as long ago as rows are kept is dropped, one that ended a moment later is not."""
    ends = [Partition("over", day(-9), NOW - DAY), Partition("kept", day(-9), NOW - DAY + dt.timedelta.resolution)]

    assert ["over"] == [one.name for one in to_drop(wish(keep="1d"), NOW, ends)]


@pytest.mark.parametrize("keep", ["forever", "9999999d"])
def test_nothing_is_dropped_where_all_is_kept(keep: str) -> None:
    """For ever, and longer than the calendar, drop nothing."""
    assert [] == to_drop(wish(keep=keep), NOW, daily(-400, 2))
    assert kept_since(wish(keep=keep), NOW) is None


@pytest.mark.parametrize(
    ("width", "low"),
    [
        ("1d", "2026-01-31T00:00"),
        ("6h", "2026-01-31T12:00"),
        ("7d", "2026-01-26T00:00"),
    ],
)
def test_periods_begin_at_midnights_and_mondays(width: str, low: str) -> None:
    """Cut in UTC, wherever the host is."""
    assert dt.datetime.fromisoformat(low).replace(tzinfo=dt.UTC) == period(NOW, wish(partition=width).partition_s).low


def test_names_tell_when_they_begin() -> None:
    """With the hour where a partition begins within a day; cut to what PostgreSQL takes."""
    assert ("logs_p20260131", "logs_p20260131_1200") == (name_of("logs", day(0)), name_of("logs", NOW))
    assert "t" * 53 + "_p20260131" == name_of("t" * 80, day(0))


def test_end_of_cover_is_where_rows_begin_to_miss() -> None:
    """The first instant from now on without a partition; none where now has none."""
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
def test_whatever_is_there_partitions_never_overlap_and_leave_no_gap(
    cuts: list[tuple[int, int]], width_h: int, ahead: int, late: dict[int, int]
) -> None:
    """After what is made, now and what is ahead is covered, once."""
    there: list[Partition] = []
    for start, length in sorted(cuts):
        low = day(0) + dt.timedelta(hours=start)
        if not there or there[-1].high is None or low >= there[-1].high:
            there.append(Partition("x", low, low + dt.timedelta(hours=length)))
    width_s = width_h * 3600
    asked = wish(partition=f"{width_h}h", ahead=ahead)
    strays = {period(day(0) + dt.timedelta(hours=hour), width_s).low: count for hour, count in late.items()}

    makings = to_make("logs", asked, NOW, there, strays)

    every = sorted(
        [(one.low or NOW, one.high or NOW) for one in there] + [(m.stretch.low, m.stretch.high) for m in makings]
    )
    assert all(before[1] <= after[0] for before, after in pairwise(every))
    after = [*there, *(Partition(m.name, m.stretch.low, m.stretch.high) for m in makings)]
    current = period(NOW, width_s)
    wanted = Stretch(current.low, current.high + ahead * dt.timedelta(hours=width_h))
    assert [] == list(gaps(wanted, after))
    assert len({one.name for one in makings}) == len(makings)
    assert [] == to_make("logs", asked, NOW, after, strays)
    assert asked.keep_s == math.inf
