"""State of a slot, and its history over several workers."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from eventwriter.model import SlotName
from eventwriter.supervisor.slot import ROLLING_STEP_S, ROLLING_WINDOW_S, RollingCounter, Slot, State, Worker


@pytest.fixture
def slot() -> Iterator[Slot]:
    """A slot whose worker was forked at 100 s."""
    slot = with_worker(Slot(SlotName("A", 0), created_s=100.0), 100.0)
    yield slot
    slot.retire_worker()


def with_worker(slot: Slot, started_s: float) -> Slot:
    """Add a worker to a slot; its pidfd is an arbitrary descriptor."""
    link, other = socket.socketpair()
    other.close()
    slot.worker = Worker(1, os.dup(0), link, started_s, "f")
    slot.state = State.STARTING
    return slot


def heartbeat(**fields: Any) -> dict[str, Any]:
    """Return a heartbeat."""
    return {"type": "heartbeat", "state": "running", **fields}


def test_first_running_heartbeat_makes_the_slot_running(slot: Slot) -> None:
    """A starting slot is running when its worker reports that it is."""
    slot.record_heartbeat(101.0, heartbeat())

    assert (State.RUNNING, True, 101.0) == (slot.state, slot.ever_ready, slot.worker and slot.worker.ready_s)


@pytest.mark.parametrize("state", ["starting", "waiting", "parked"])
def test_other_heartbeat_leaves_the_slot_starting(slot: Slot, state: str) -> None:
    """A worker that has not been ready leaves its slot starting."""
    slot.record_heartbeat(101.0, heartbeat(state=state))

    assert (State.STARTING, False) == (slot.state, slot.ever_ready)


def test_heartbeat_leaves_a_draining_slot_draining(slot: Slot) -> None:
    """A heartbeat of a draining worker does not change the state."""
    slot.state = State.DRAINING

    slot.record_heartbeat(101.0, heartbeat())

    assert State.DRAINING == slot.state


def test_heartbeat_cancels_a_pending_kill(slot: Slot) -> None:
    """A heartbeat after the dump of the stacks cancels the kill."""
    assert slot.worker is not None
    slot.worker.dump_sent_s = 100.5

    slot.record_heartbeat(101.0, heartbeat())

    assert slot.worker.dump_sent_s is None


def test_counters_are_summed_over_workers(slot: Slot) -> None:
    """Counters of a slot are sums over its workers, each of which begins at zero."""
    slot.record_heartbeat(101.0, heartbeat(rows_total=30, dead_letters_by_reason={"malformed": 1}))
    slot.retire_worker()
    with_worker(slot, 102.0)
    slot.record_heartbeat(103.0, heartbeat(rows_total=4, dead_letters_by_reason={"malformed": 2, "rejected": 5}))

    assert 34 == slot.counters()["rows_total"]
    assert {"malformed": 3, "rejected": 5} == slot.split_counters()["dead_letters_by_reason"]


def test_histograms_are_summed_over_workers(slot: Slot) -> None:
    """Histograms of a slot are sums over its workers, bucket by bucket."""
    slot.record_heartbeat(101.0, heartbeat(histograms={"latency_s": {"": {"sum": 1.5, "counts": [1, 0, 1]}}}))
    slot.retire_worker()
    with_worker(slot, 102.0)
    slot.record_heartbeat(103.0, heartbeat(histograms={"latency_s": {"": {"sum": 0.5, "counts": [0, 2, 1]}}}))

    assert {"": {"sum": 2.0, "counts": [1, 2, 2]}} == slot.histograms()["latency_s"]


def test_malformed_counter_counts_as_zero(slot: Slot) -> None:
    """A malformed counter in a heartbeat counts as zero."""
    slot.record_heartbeat(101.0, heartbeat(rows_total="many", batches_by_trigger=7))

    assert 0 == slot.counters()["rows_total"]
    assert {} == slot.split_counters()["batches_by_trigger"]


@pytest.mark.parametrize(
    ("fields", "progress_s"),
    [
        pytest.param({"rows_total": 1, "lag_messages": 9}, 105.0, id="rows written"),
        pytest.param({"dead_letters_total": 1, "lag_messages": 9}, 105.0, id="dead letters written"),
        pytest.param({"lag_messages": 0}, 105.0, id="nothing is waiting"),
        pytest.param({"lag_messages": 9, "messages_total": 5}, None, id="only received"),
        pytest.param({"lag_messages": None}, None, id="lag unknown"),
    ],
)
def test_settled_messages_are_progress(slot: Slot, fields: dict[str, Any], progress_s: float | None) -> None:
    """Settled messages are progress, and so is a heartbeat without waiting messages."""
    slot.record_heartbeat(105.0, heartbeat(**fields))

    assert progress_s == slot.progress_s


def test_samples_span_the_window(slot: Slot) -> None:
    """Samples before the window are dropped, except for the one at its edge."""
    for second in range(20):
        slot.record_heartbeat(100.0 + second, heartbeat(rows_total=second))

    assert slot.worker is not None
    assert (114.0, 119.0) == (slot.worker.samples[0][0], slot.worker.samples[-1][0])


@pytest.mark.parametrize(
    ("counted", "expected"),
    [("rows_total", 0), ("already_written_total", 0), ("ignored_total", 0), ("dead_letters_total", 7)],
)
def test_written_message_resets_quarantine_exits(slot: Slot, counted: str, expected: int) -> None:
    """Quarantine exits are counted from zero after a message was decoded; a dead letter does not reset them."""
    slot.quarantine_exits = 7

    slot.record_heartbeat(101.0, heartbeat(**{counted: 1}))

    assert expected == slot.quarantine_exits


def test_growth_within_the_first_hour_is_complete() -> None:
    """Within the first hour, the growth is the whole counter."""
    counter = RollingCounter()
    for second in range(0, 600, 10):
        counter.update(1000.0 + second, 5)
    counter.update(1700.0, 8)

    assert 8 == counter.growth()


def test_growth_before_the_window_is_dropped() -> None:
    """A growth counts for between an hour and an hour and a minute."""
    counter = RollingCounter()
    counter.update(0.0, 0)
    counter.update(5.0, 100)
    for second in range(10, int(ROLLING_WINDOW_S - ROLLING_STEP_S), 10):
        counter.update(float(second), 100)
    before = counter.growth()
    for second in range(int(ROLLING_WINDOW_S), int(ROLLING_WINDOW_S + 2 * ROLLING_STEP_S + 10), 10):
        counter.update(float(second), 103)

    assert (100, 3) == (before, counter.growth())


def test_memory_of_a_rolling_counter_is_bounded() -> None:
    """A counter that is updated every second for a day stores about sixty marks."""
    counter = RollingCounter()
    for second in range(86_400):
        counter.update(float(second), second)

    assert len(counter._marks) <= ROLLING_WINDOW_S / ROLLING_STEP_S + 2
    assert ROLLING_WINDOW_S - ROLLING_STEP_S <= counter.growth() <= ROLLING_WINDOW_S + ROLLING_STEP_S + 1
