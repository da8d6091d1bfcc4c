"""Rates and shares between two snapshots."""

from typing import Any

import pytest

from eventwriter.cli.ctl.rates import STAGES, TOTALS, RateMeter, Rates, total_rates


def slot(age_s: float = 0.0, messages: int = 0, name: str = "A/0", **more: Any) -> dict[str, Any]:
    stages = {
        stage: {"sum": more.pop(stage, 0.0), "counts": []} for stage in ("decode", "rows", "copy", "commit", "ack")
    }
    return {
        **dict.fromkeys(TOTALS.values(), 0), "messages_total": messages, "name": name, "heartbeat_age_s": age_s,
        "pid": 1, "cpu_s": 0.0, "pull_wait_us_total": 0, "queue_wait_us_total": 0, "histograms": {"stage_s": stages},
        **more,
    }  # fmt: skip


def read(meter: RateMeter, now_s: float, *slots: dict[str, Any]) -> dict[str, Rates]:
    return meter.read(now_s, {"slots": slots})


def test_rate_counts_from_heartbeat_to_heartbeat() -> None:
    """Rates use the time of the heartbeats, not of the snapshots."""
    meter = RateMeter()
    read(meter, 100.0, slot(age_s=0.9, messages=1000))
    found = read(meter, 102.0, slot(age_s=0.1, messages=3800))

    assert 1000 == pytest.approx(found["A/0"].per_second["messages_per_s"])


def test_same_heartbeat_twice_leaves_the_rate() -> None:
    """Between two heartbeats the rate stays what it was, rather than nothing."""
    meter = RateMeter()
    read(meter, 100.0, slot())
    read(meter, 101.0, slot(messages=500))
    found = read(meter, 101.2, slot(age_s=0.2, messages=500))

    assert 500 == found["A/0"].per_second["messages_per_s"]


def test_stages_are_shares_of_the_time() -> None:
    """Seconds of each stage become its share; copying is told without the commit that ends it."""
    meter = RateMeter()
    read(meter, 100.0, slot())
    now = slot(
        decode=0.2, rows=0.4, copy=1.0, commit=0.3, ack=0.1, pull_wait_us_total=1_000_000, queue_wait_us_total=400_000
    )
    found = read(meter, 102.0, now)["A/0"]

    assert [0.5, 0.1, 0.2, 0.2, 0.35, 0.15, 0.05] == pytest.approx([found.stages[stage] for stage in STAGES])
    assert "copy" == found.busiest


def test_shares_stay_within_bounds() -> None:
    """Shares are at most 1 for a long batch, and 0 if counters decrease after a restart of the daemon."""
    meter = RateMeter()
    read(meter, 100.0, slot(decode=5.0))
    found = read(meter, 101.0, slot(decode=1.0, copy=9.0))["A/0"]

    assert (0.0, 1.0) == (found.stages["decode"], found.stages["copy"])


def test_new_worker_has_no_processor_time_yet() -> None:
    """Processor time is a process's own: across a restart there is none to tell."""
    meter = RateMeter()
    read(meter, 100.0, slot(cpu_s=50.0))
    found = read(meter, 101.0, slot(cpu_s=0.5, pid=2))

    assert found["A/0"].cpu is None


def test_slots_come_and_go() -> None:
    """A slot that is new has no rate yet, and one that is gone is forgotten."""
    meter = RateMeter()
    read(meter, 100.0, slot(name="A/0"))
    found = read(meter, 101.0, slot(name="B/0"))

    assert {"B/0": Rates()} == found
    assert found["B/0"].busiest is None


def test_sum_adds_rates_and_processors() -> None:
    """All slots together are the sum."""
    one = Rates({**dict.fromkeys(TOTALS, 0.0), "rows_per_s": 5.0}, {}, 0.5)

    both = total_rates({"A/0": one, "B/0": one, "C/0": Rates()})
    assert (10.0, 1.0) == (both.per_second["rows_per_s"], both.cpu)
