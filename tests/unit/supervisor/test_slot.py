"""What a slot remembers of its workers."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from eventwriter.model import SlotName
from eventwriter.supervisor.slot import Slot, State, Worker


@pytest.fixture
def slot() -> Iterator[Slot]:
    """A slot whose worker was forked at 100 s."""
    slot = with_worker(Slot(SlotName("A", 0), born_s=100.0), 100.0)
    yield slot
    slot.bury()


def with_worker(slot: Slot, started_s: float) -> Slot:
    """Give a slot a worker; its pidfd is any descriptor."""
    link, other = socket.socketpair()
    other.close()
    slot.worker = Worker(1, os.dup(0), link, started_s, "f")
    slot.state = State.STARTING
    return slot


def beat(**fields: Any) -> dict[str, Any]:
    """Return a heartbeat."""
    return {"type": "heartbeat", "state": "running", **fields}


def test_first_running_heartbeat_makes_it_run(slot: Slot) -> None:
    """A starting slot runs when its worker says so."""
    slot.hear(101.0, beat())

    assert (State.RUNNING, True, 101.0) == (slot.state, slot.ever_ready, slot.worker and slot.worker.ready_s)


@pytest.mark.parametrize("state", ["starting", "waiting", "parked"])
def test_other_heartbeats_leave_it_starting(slot: Slot, state: str) -> None:
    """A worker that has not run yet keeps its slot starting, however often it speaks."""
    slot.hear(101.0, beat(state=state))

    assert (State.STARTING, False) == (slot.state, slot.ever_ready)


def test_heartbeat_while_draining_leaves_it_draining(slot: Slot) -> None:
    """A draining slot does not run again because its worker still speaks."""
    slot.state = State.DRAINING

    slot.hear(101.0, beat())

    assert State.DRAINING == slot.state


def test_heartbeat_calls_off_a_kill(slot: Slot) -> None:
    """A worker that speaks after its stacks were asked for is not killed."""
    assert slot.worker is not None
    slot.worker.dump_s = 100.5

    slot.hear(101.0, beat())

    assert slot.worker.dump_s is None


def test_counters_survive_the_worker(slot: Slot) -> None:
    """Counters add up over workers, though each begins at zero."""
    slot.hear(101.0, beat(rows_total=30, dead_letters_by_reason={"malformed": 1}))
    slot.bury()
    with_worker(slot, 102.0)
    slot.hear(103.0, beat(rows_total=4, dead_letters_by_reason={"malformed": 2, "rejected": 5}))

    assert 34 == slot.counters()["rows_total"]
    assert {"malformed": 3, "rejected": 5} == slot.counted_maps()["dead_letters_by_reason"]


def test_histograms_survive_the_worker(slot: Slot) -> None:
    """Histograms add up over workers, bound by bound."""
    slot.hear(101.0, beat(histograms={"latency_s": {"": {"sum": 1.5, "counts": [1, 0, 1]}}}))
    slot.bury()
    with_worker(slot, 102.0)
    slot.hear(103.0, beat(histograms={"latency_s": {"": {"sum": 0.5, "counts": [0, 2, 1]}}}))

    assert {"": {"sum": 2.0, "counts": [1, 2, 2]}} == slot.histograms()["latency_s"]


def test_counter_that_is_no_number_counts_as_nothing(slot: Slot) -> None:
    """Garbage in a heartbeat cannot break the sums."""
    slot.hear(101.0, beat(rows_total="many", batches_by_trigger=7))

    assert 0 == slot.counters()["rows_total"]
    assert {} == slot.counted_maps()["batches_by_trigger"]


@pytest.mark.parametrize(
    ("fields", "progress_s"),
    [
        pytest.param({"rows_total": 1, "lag_messages": 9}, 105.0, id="rows moved"),
        pytest.param({"dead_letters_total": 1, "lag_messages": 9}, 105.0, id="dead letters moved"),
        pytest.param({"lag_messages": 0}, 105.0, id="nothing waits"),
        pytest.param({"lag_messages": 9, "messages_total": 5}, None, id="only received"),
        pytest.param({"lag_messages": None}, None, id="lag unknown"),
    ],
)
def test_progress_is_settling(slot: Slot, fields: dict[str, Any], progress_s: float | None) -> None:
    """Progress is a settled message, or none waiting."""
    slot.hear(105.0, beat(**fields))

    assert progress_s == slot.progress_s


def test_samples_span_the_window(slot: Slot) -> None:
    """Old samples go, and one from just before the window stays as its edge."""
    for second in range(20):
        slot.hear(100.0 + second, beat(rows_total=second))

    assert slot.worker is not None
    assert (114.0, 119.0) == (slot.worker.samples[0][0], slot.worker.samples[-1][0])


@pytest.mark.parametrize(
    ("counted", "expected"),
    [("rows_total", 0), ("already_written_total", 0), ("ignored_total", 0), ("dead_letters_total", 7)],
)
def test_pardons_end_with_a_message_that_lives(slot: Slot, counted: str, expected: int) -> None:
    """Pardons are counted anew when a message was decoded and its worker lived; a dead letter is no such sign."""
    slot.pardons = 7

    slot.hear(101.0, beat(**{counted: 1}))

    assert expected == slot.pardons
