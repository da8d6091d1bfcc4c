"""The view that the dashboard draws."""

import json
from typing import Any

import pytest
from snapshots import heartbeat, made, plain

from eventwriter.observe.histogram import LATENCY_S, STAGE_S
from eventwriter.web.view import backlog, bottleneck, counted_since, view


def view_of(before: dict[str, Any], now: dict[str, Any], past: dict[str, list[int]] | None = None) -> dict[str, Any]:
    """Return the view of two snapshots, converted to JSON and back."""
    result: dict[str, Any] = json.loads(json.dumps(view(1_767_225_660_000, now, before, past or {})))
    return result


def busy(**stages: float) -> dict[str, Any]:
    """Return the histograms of a heartbeat with these seconds in the stages, in one batch."""
    return {"stage_s": {stage: plain(STAGE_S, used_s) for stage, used_s in stages.items()}}


def test_share_is_busy_time_over_elapsed_time() -> None:
    """The share of a stage is its busy seconds between the snapshots divided by the elapsed seconds."""
    before = made({"A/0": heartbeat(histograms=busy(copy=1.0, decode=0.5))}, uptime_s=60)
    now = made({"A/0": heartbeat(histograms=busy(copy=4.0, decode=1.0), pull_wait_us_total=4_000_000)}, uptime_s=65)

    share = view_of(before, now)["streams"][0]["stages"]["share"]

    none = dict.fromkeys(("batch", "rows", "ack", "commit", "quarantine"), 0.0)
    assert {**none, "copy": 0.6, "decode": 0.1, "pull": 0.2} == share


def test_share_is_averaged_over_workers() -> None:
    """If one of two workers is busy all the time, the share is one half."""
    idle, working = heartbeat(histograms=busy(copy=1.0)), heartbeat(histograms=busy(copy=6.0))
    before = made({"A/0": idle, "A/1": idle}, uptime_s=60)
    now = made({"A/0": working, "A/1": idle}, uptime_s=65)

    assert 0.5 == view_of(before, now)["streams"][0]["stages"]["share"]["copy"]


def test_averages_cover_the_time_between_the_snapshots() -> None:
    """Averages per message, row or batch cover the last seconds, not the lifetime of the daemon."""
    before = made({"A/0": heartbeat(histograms=busy(decode=0.5, copy=1.0))}, uptime_s=60)
    now = made(
        {
            "A/0": heartbeat(
                histograms=busy(decode=0.51, copy=1.2), messages_total=1110, rows_total=1100, batches_total=4
            )
        },
        uptime_s=65,
    )

    stages = view_of(before, now)["streams"][0]["stages"]

    assert (10.0, 100.0, 500.0) == (stages["decode_us"], stages["copy_ms"], stages["batch_messages"])
    assert (
        200.0
        == view_of(before, now)["streams"][0]["messages_per_s"]
        == view_of(before, now)["totals"]["messages_per_s"]
    )


def test_single_snapshot_has_no_rates() -> None:
    """A single snapshot gives a rate of 0 and unknown shares."""
    only = made({"A/0": heartbeat(), "B/0": {}})

    first = view_of(only, only)["streams"][0]

    assert (0.0, None, None) == (first["messages_per_s"], first["stages"]["share"]["copy"], first["bottleneck"])


def test_snapshot_of_another_daemon_is_not_compared() -> None:
    """After a restart of the daemon, whose counters start at 0, no rate is negative."""
    before, now = made({"A/0": heartbeat(messages_total=10**6)}), made({"A/0": heartbeat()}, uptime_s=2)
    before["pid"] = 41

    assert 0.0 == view_of(before, now)["streams"][0]["messages_per_s"]


def test_slots_of_a_stream_are_combined() -> None:
    """A stream has the sums and the worst health of its slots, and one entry per worker."""
    now = made({"A/0": heartbeat(), "A/1": heartbeat(), "A/2": {}})

    (stream,) = view_of(now, now)["streams"]

    assert (220, 20, "failing") == (stream["messages_total"], stream["dead_letters_total"], stream["health"])
    assert [("malformed", 14), ("rejected", 6)] == list(stream["dead_by_reason"].items())
    assert ["A/0", "A/1", "A/2"] == [worker["name"] for worker in stream["workers"]]
    assert ["running", "running", "failed"] == [worker["state"] for worker in stream["workers"]]


def test_latency_covers_the_last_minutes() -> None:
    """The histogram has the counts since the past one, or all counts if the past one is from another daemon."""
    now = made({"A/0": heartbeat(histograms={"latency_s": {"": plain(LATENCY_S, 0.02, 0.02, 0.3)}})})
    past = plain(LATENCY_S, 0.02)["counts"]

    assert [0, 1, 0, 0, 0, 1] == view_of(now, now, {"A": past})["streams"][0]["latency"][:6]
    assert [0, 2, 0, 0, 0, 1] == view_of(now, now, {"A": [9] * len(past)})["streams"][0]["latency"][:6]
    assert [3] == counted_since([3], None)


@pytest.mark.parametrize(
    ("share", "trend", "text"),
    [
        ({"copy": 0.9, "decode": 0.3}, None, "PostgreSQL is the bottleneck"),
        ({"copy": 0.9, "decode": 0.3}, "catching up", "catching up: PostgreSQL is the bottleneck"),
        (
            {"copy": 0.3, "decode": 0.3, "rows": 0.4},
            None,
            "the worker's CPU is the bottleneck; more partitions would help",
        ),
        ({"ack": 0.7}, None, "acknowledgements to NATS are the bottleneck"),
        ({"quarantine": 0.3, "copy": 0.9}, "behind", "behind: decoding in small groups after a worker died"),
        ({"pull": 0.9, "copy": 0.2}, None, "waiting for messages most of the time"),
        ({"pull": 0.5, "copy": 0.5}, None, "keeping up"),
        ({"pull": 0.5, "copy": 0.5}, "falling behind", "falling behind"),
    ],
)
def test_bottleneck_is_the_busiest_stage(share: dict[str, float], trend: str | None, text: str) -> None:
    """The text names the trend of a backlog and the stage that is busy for most of the time."""
    none = dict.fromkeys(("pull", "decode", "rows", "batch", "copy", "commit", "ack", "quarantine"), 0.0)

    assert text == bottleneck({**none, **share}, trend)


@pytest.mark.parametrize(
    ("lag_before", "lag", "lag_s", "trend"),
    [(9, 5, 60.0, "catching up"), (5, 9, 60.0, "falling behind"), (5, 5, 60.0, "behind"), (5, 9, 1.0, None)],
)
def test_backlog_has_a_trend(lag_before: int, lag: int, lag_s: float, trend: str | None) -> None:
    """Messages older than any batch are a backlog, whose trend is that of the lag."""
    before, now = (made({"A/0": heartbeat(lag_messages=n, lag_s=lag_s)})["slots"] for n in (lag_before, lag))

    assert trend == backlog(now, before)


def test_cpu_is_computed_for_one_process_only() -> None:
    """CPU usage is known from two snapshots of one process, and unknown across a restart."""
    before, now = made({"A/0": heartbeat(cpu_s=1.0)}, 60), made({"A/0": heartbeat(cpu_s=3.5)}, 65)

    assert 0.5 == view_of(before, now)["streams"][0]["workers"][0]["cpu"]
    before["slots"][0]["pid"] = 8
    assert view_of(before, now)["streams"][0]["workers"][0]["cpu"] is None
