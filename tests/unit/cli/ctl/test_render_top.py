"""`top`, `stat`, `lag` and `streams` as text."""

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from eventwriter.cli.ctl.rates import STAGES, TOTALS, Rates
from eventwriter.cli.ctl.render_top import (
    SORTS,
    STAT,
    heat,
    lag,
    positions,
    size,
    stat_head,
    stat_line,
    streams,
    time_left,
    top,
)

LARGE = 12_345_678


def slot(name: str = "A/0", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "state": "running", "worker_state": "running", "health": "healthy", "reason": None,
        "lag_messages": 5, "lag_s": 0.5, "rss_bytes": 60 << 20, "dead_letters_total": 0, "commit_p99_ms": 12.0,
        "ack_pending": 1, "stream": "events", "durable": name, "catch_up_s": None, "lag_per_s": 0.0,
        "messages_per_s": 1.0, **more,
    }  # fmt: skip


def rates(rate: float = 1000.0, **stages: float) -> Rates:
    return Rates(dict.fromkeys(TOTALS, rate), {**dict.fromkeys(STAGES, 0.0), **stages}, 0.25)


def picture(*slots: dict[str, Any]) -> dict[str, Any]:
    totals = {"lag_messages": LARGE, "lag_s": 5.0, "dead_letters_total": LARGE}
    return {
        "status": "healthy",
        "reason": None,
        "version": "0.1.0",
        "uptime_s": 99_999.0,
        "slots": slots,
        "totals": totals,
    }


def text(view: RenderableType, columns: int) -> list[str]:
    """Return what a terminal without colours shows."""
    out = io.StringIO()
    Console(file=out, width=columns, highlight=False).print(view)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("columns", [80, 140])
def test_top_keeps_each_slot_on_its_line(columns: int) -> None:
    """Large figures and long names fit; nothing is broken into a second line."""
    slots = [slot("A_VERY_LONG_NAME_OF_A_STREAM/100", lag_messages=LARGE), slot("B/0", worker_state="starting")]
    rates_by_slot = {one["name"]: rates(LARGE, **dict.fromkeys(STAGES, 1.0)) for one in slots}

    lines = text(top(picture(*slots), rates_by_slot, "m", columns), columns)

    assert 1 == sum("/100" in line for line in lines)
    assert [] == [line for line in lines if len(line.rstrip()) > columns]
    assert 9 == len(lines)


@pytest.mark.parametrize(
    ("key", "first"), [("m", "B"), ("r", "B"), ("l", "A"), ("c", "B"), ("x", "A"), ("d", "A"), ("n", "A")]
)
def test_top_has_the_largest_first(key: str, first: str) -> None:
    """Each key sorts by its figure, from the largest; names from A."""
    slots = [
        slot("A/0", lag_messages=9, rss_bytes=9 << 20, dead_letters_total=9),
        slot("B/0", rss_bytes=1, lag_messages=1),
    ]
    rates_by_slot = {"A/0": rates(1.0), "B/0": Rates(dict.fromkeys(TOTALS, 2.0), {}, 0.9)}

    lines = text(top(picture(*slots), rates_by_slot, key, 80), 80)

    assert first == next(line[0] for line in lines if line[1:3] == "/0")
    assert set("mrlcxdn") == set(SORTS)


def test_busiest_stage_of_work_stands_out() -> None:
    """The stage that limits a slot is in colour, in red where it takes half of the time; waiting never is."""
    busy, calm = rates(copy=0.6, pull=0.9), rates(copy=0.2, decode=0.1)

    assert ("bold red", "bold yellow") == (heat("copy", busy), heat("copy", calm))
    assert {"default not bold"} == {heat("pull", busy), heat("decode", calm), heat("copy", rates())}


def test_stat_sets_figures_below_their_titles() -> None:
    """A line is as wide as its head; a durable that slots share is counted once."""
    shared = [slot("A/0", durable="d", lag_messages=700), slot("A/1", durable="d", lag_messages=700)]
    line = stat_line("12:00:00", shared, rates())

    assert len(stat_head()) == len(line) == sum(width for _, width in STAT) <= 80
    assert ["12:00:00", "1,000", "1,000", "1.0K", "1", "700", "1", "1,000", "1,000", "25%", "12ms"] == line.split()


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0, "0B"), (999, "999B"), (1000, "1.0K"), (123_456, "121K"), (5 << 30, "5.0G")]
)
def test_sizes_are_short(value: float | None, shown: str) -> None:
    """Bytes are told in at most five characters."""
    assert shown == size(value)


def seen(last: int = 1000, floor: int | None = 990, ranges: int = 1, shared: bool = False) -> dict[str, Any]:
    stream = {
        "name": "events", "messages": last, "bytes": 5000, "first_seq": 1, "last_seq": last, "retention": "limits",
        "storage": "file", "replicas": 3, "discard": "old", "subjects": ["a.>"], "consumers": 2, "max_age_s": 86400.0,
        "max_bytes": None, "max_messages": None,
    }  # fmt: skip
    consumer = {
        "durable": "ew-a", "delivered_seq": last, "ack_floor_seq": 980, "ack_pending": 20, "pending": 5,
        "redelivered": 0,
    }  # fmt: skip
    ledger = None if floor is None else {"floor_seq": floor, "last_seq": floor, "ranges": ranges, "epoch": 0}
    return {"entry": "A", "shared": shared, "stream": stream, "consumer": consumer, "ledger": ledger}


def test_positions_include_the_drift() -> None:
    """Drift is how far the ledger is beyond what is acknowledged; without a ledger it is not known."""
    assert (10, 25) == (positions(seen())["drift"], positions(seen())["lag_messages"])
    assert positions(seen(floor=None))["drift"] is None


@pytest.mark.parametrize("last", [1000, 999_999_999, 9_999_999_999])
def test_lag_fits_80_columns(last: int) -> None:
    """Long sequences do not push a line over its end, and figures do not touch."""
    lines = text(lag({"slots": {"A/0": seen(last)}, "why": {}}, {"A/0": slot()}, 80), 80)

    assert 2 == len(lines)
    assert 8 == len(lines[1].split())


def test_lag_says_what_is_not_known_and_which_ledgers_have_holes() -> None:
    """Slots that do not answer, and ledgers of several ranges, are named below, together where the same is said."""
    found = {
        "slots": {"A/0": seen(ranges=3), "B/0": seen(ranges=3, shared=True), "B/1": seen(ranges=3, shared=True)},
        "why": {"C/0": "it has no worker", "C/1": "it has no worker"},
    }
    lines = " ".join(text(lag(found, {name: slot(name) for name in ("A/0", "B/0", "B/1")}, 200), 200))

    assert "C/0, C/1: it has no worker" in lines
    assert "A/0: 3 ranges in the ledger; holes are messages not written yet or not selected by this slot" in lines
    assert "B/0, B/1: 3 ranges in the ledger; several workers write concurrently" in lines


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"lag_s": 0.4, "lag_per_s": 50.0}, "0s"),
        ({"lag_s": 90.0, "lag_per_s": -50.0, "catch_up_s": 125.0}, "2m05s"),
        ({"lag_s": 90.0, "lag_per_s": 50.0}, "grows"),
        ({"lag_s": 90.0, "lag_per_s": 0.0}, "–"),
        ({"lag_s": None, "lag_per_s": None}, "–"),
        ({"lag_s": None, "lag_per_s": None, "catch_up_s": 0.0}, "0s"),
    ],
)
def test_time_to_catch_up(given: dict[str, Any], shown: str) -> None:
    """A slot keeps up, will have caught up, or falls behind."""
    assert shown == time_left(slot(**given))


def test_stream_has_its_limits_and_its_readers() -> None:
    """A stream is told once, with what it keeps, and a line for each slot that reads it."""
    found = {"slots": {"A/0": seen(), "A/1": seen()}, "why": {}}
    lines = text(streams(found, {"A/0": slot("A/0"), "A/1": slot("A/1")}), 80)

    assert ["events  1,000 messages, 4.9K, sequences 1 to 1,000"] == [
        line.rstrip() for line in lines if "messages," in line
    ]
    assert "  limits, file, 3 replicas; limits: age 1d00h (discard old)" == lines[1].rstrip()
    assert 2 == sum("ew-a" in line for line in lines)
