"""What the dashboard is given to draw."""

import json
from typing import Any

import pytest
from snapshots import heartbeat, made, plain

from eventwriter.observe.histogram import LATENCY_S, STAGE_S
from eventwriter.web.view import lag_words, pace, since, view


def drawn(before: dict[str, Any], now: dict[str, Any], past: dict[str, list[int]] | None = None) -> dict[str, Any]:
    """Return the view of two snapshots, as JSON has it."""
    found: dict[str, Any] = json.loads(json.dumps(view(1_767_225_660_000, now, before, past or {})))
    return found


def busy(**stages: float) -> dict[str, Any]:
    """Return a heartbeat's histograms with these seconds in its stages, in one batch."""
    return {"stage_s": {stage: plain(STAGE_S, used_s) for stage, used_s in stages.items()}}


def test_share_of_time_is_what_was_spent_in_between() -> None:
    """A stage's share is the seconds that it was busy over those that passed, per worker."""
    before = made({"A/0": heartbeat(histograms=busy(copy=1.0, decode=0.5))}, uptime_s=60)
    now = made({"A/0": heartbeat(histograms=busy(copy=4.0, decode=1.0), pull_wait_us_total=4_000_000)}, uptime_s=65)

    share = drawn(before, now)["streams"][0]["stages"]["share"]

    none = dict.fromkeys(("batch", "rows", "ack", "commit", "quarantine"), 0.0)
    assert {**none, "copy": 0.6, "decode": 0.1, "pull": 0.2} == share


def test_two_workers_share_their_time() -> None:
    """Two workers, one of them busy all the time, are half busy."""
    idle, working = heartbeat(histograms=busy(copy=1.0)), heartbeat(histograms=busy(copy=6.0))
    before = made({"A/0": idle, "A/1": idle}, uptime_s=60)
    now = made({"A/0": working, "A/1": idle}, uptime_s=65)

    assert 0.5 == drawn(before, now)["streams"][0]["stages"]["share"]["copy"]


def test_averages_are_of_what_moved_in_between() -> None:
    """Times are per message, row or batch of the last seconds, not of the daemon's life."""
    before = made({"A/0": heartbeat(histograms=busy(decode=0.5, copy=1.0))}, uptime_s=60)
    now = made(
        {
            "A/0": heartbeat(
                histograms=busy(decode=0.51, copy=1.2), messages_total=1110, rows_total=1100, batches_total=4
            )
        },
        uptime_s=65,
    )

    stages = drawn(before, now)["streams"][0]["stages"]

    assert (10.0, 100.0, 500.0) == (stages["decode_us"], stages["copy_ms"], stages["batch_messages"])
    assert 200.0 == drawn(before, now)["streams"][0]["messages_per_s"] == drawn(before, now)["totals"]["messages_per_s"]


def test_first_picture_has_no_speeds() -> None:
    """With one snapshot only nothing is said about speed or shares, and nothing breaks."""
    only = made({"A/0": heartbeat(), "B/0": {}})

    first = drawn(only, only)["streams"][0]

    assert (0.0, None, None) == (first["messages_per_s"], first["stages"]["share"]["copy"], first["pace"])


def test_other_daemons_snapshot_is_not_compared() -> None:
    """After a restart of the daemon counters begin anew: no negative speed."""
    before, now = made({"A/0": heartbeat(messages_total=10**6)}), made({"A/0": heartbeat()}, uptime_s=2)
    before["pid"] = 41

    assert 0.0 == drawn(before, now)["streams"][0]["messages_per_s"]


def test_slots_of_a_stream_are_drawn_together() -> None:
    """Partitions are one stream: sums of what moved, reasons added, the worst health, each worker's line."""
    now = made({"A/0": heartbeat(), "A/1": heartbeat(), "A/2": {}})

    (stream,) = drawn(now, now)["streams"]

    assert (220, 20, "failing") == (stream["messages_total"], stream["dead_letters_total"], stream["health"])
    assert [("malformed", 14), ("rejected", 6)] == list(stream["dead_by_reason"].items())
    assert ["A/0", "A/1", "A/2"] == [worker["name"] for worker in stream["workers"]]
    assert ["running", "running", "failed"] == [worker["state"] for worker in stream["workers"]]


def test_latency_is_of_the_last_minutes() -> None:
    """The distribution is what was counted since the past's, and all of it where that is another daemon's."""
    now = made({"A/0": heartbeat(histograms={"latency_s": {"": plain(LATENCY_S, 0.02, 0.02, 0.3)}})})
    past = plain(LATENCY_S, 0.02)["counts"]

    assert [0, 1, 0, 0, 0, 1] == drawn(now, now, {"A": past})["streams"][0]["latency"][:6]
    assert [0, 2, 0, 0, 0, 1] == drawn(now, now, {"A": [9] * len(past)})["streams"][0]["latency"][:6]
    assert [3] == since([3], None)


@pytest.mark.parametrize(
    ("share", "behind", "words"),
    [
        ({"copy": 0.9, "decode": 0.3}, None, "PostgreSQL sets the pace"),
        ({"copy": 0.9, "decode": 0.3}, "catching up", "catching up: PostgreSQL sets the pace"),
        (
            {"copy": 0.3, "decode": 0.3, "rows": 0.4},
            None,
            "the worker's processor sets the pace; more partitions would help",
        ),
        ({"ack": 0.7}, None, "NATS's acknowledgements set the pace"),
        ({"quarantine": 0.3, "copy": 0.9}, "behind", "behind: decodes message by message after a worker's death"),
        ({"pull": 0.9, "copy": 0.2}, None, "waits for messages most of the time"),
        ({"pull": 0.5, "copy": 0.5}, None, "keeps up"),
        ({"pull": 0.5, "copy": 0.5}, "falling behind", "falling behind"),
    ],
)
def test_pace_is_said_in_words(share: dict[str, float], behind: str | None, words: str) -> None:
    """What is busy for most of the time is named; where nothing is, that is said; a backlog comes first."""
    none = dict.fromkeys(("pull", "decode", "rows", "batch", "copy", "commit", "ack", "quarantine"), 0.0)

    assert words == pace({**none, **share}, behind)


@pytest.mark.parametrize(
    ("waited", "waiting", "lag_s", "words"),
    [(9, 5, 60.0, "catching up"), (5, 9, 60.0, "falling behind"), (5, 5, 60.0, "behind"), (5, 9, 1.0, None)],
)
def test_backlog_is_said_in_words(waited: int, waiting: int, lag_s: float, words: str | None) -> None:
    """A backlog is what is older than any batch; it grows or shrinks."""
    before, now = (made({"A/0": heartbeat(lag_messages=lag, lag_s=lag_s)})["slots"] for lag in (waited, waiting))

    assert words == lag_words(now, before)


def test_processor_time_is_of_the_same_process() -> None:
    """A worker's share of a processor is known from two pictures of it, and not across a restart."""
    before, now = made({"A/0": heartbeat(cpu_s=1.0)}, 60), made({"A/0": heartbeat(cpu_s=3.5)}, 65)

    assert 0.5 == drawn(before, now)["streams"][0]["workers"][0]["cpu"]
    before["slots"][0]["pid"] = 8
    assert drawn(before, now)["streams"][0]["workers"][0]["cpu"] is None
