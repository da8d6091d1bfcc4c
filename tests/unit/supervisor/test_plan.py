"""The rules of the supervisor, one row each."""

from collections import deque
from typing import Any

import pytest

from eventwriter.model import SlotName
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.plan import Action, Drain, Dump, Forget, Kill, Start, Stop, Wanted, plan, wait_s
from eventwriter.supervisor.slot import Slot, State, Worker

A = SlotName("A", 0)
B = SlotName("B", 0)
NOW_S = 1000.0
LIMITS = Limits(
    hang_max_s=20.0,
    start_max_s=60.0,
    drain_max_s=30.0,
    backoff_min_s=0.2,
    backoff_max_s=30.0,
    crash_loop_exits_max=5,
    crash_loop_window_s=60.0,
    worker_memory_bytes_max=100 * 2**20,
)
RUN = Wanted({A: "new"})
STOPPING = Wanted({A: "new"}, stopping=True)
QUICK = Wanted({A: "new"}, stopping=True, quick=True)
NONE = Wanted({})

HUNG = "no heartbeat for 20 s since its last heartbeat (supervisor.hang_max)"
NEVER_STARTED = "no heartbeat for 60 s since its start (supervisor.start_max)"


class NoLink:
    """Placeholder for a socket; `plan` never uses it."""


def empty(state: State, **fields: Any) -> Slot:
    """Return a slot without a worker."""
    return Slot(A, created_s=0.0, state=state, **fields)


def alive(state: State = State.RUNNING, slot: dict[str, Any] | None = None, **fields: Any) -> Slot:
    """Return a slot with a worker that sent a heartbeat a second ago."""
    known = {"started_s": NOW_S - 100, "heartbeat_s": NOW_S - 1, "fingerprint": "new", **fields}
    worker = Worker(pid=7, pidfd=-1, link=NoLink(), **known)  # type: ignore[arg-type]
    return Slot(A, created_s=0.0, state=state, worker=worker, **(slot or {}))


RULES: list[tuple[str, Wanted, Slot, Action | None]] = [
    ("wanted slot without a worker starts", RUN, empty(State.STOPPED), Start(A)),
    ("drained slot stays stopped", RUN, empty(State.STOPPED, drained=True), None),
    ("drained slot starts on restart", RUN, empty(State.STOPPED, drained=True, restart_requested=True), Start(A)),
    ("backoff waits for its deadline", RUN, empty(State.BACKOFF, retry_at_s=NOW_S + 0.1), None),
    ("backoff ends at its deadline", RUN, empty(State.BACKOFF, retry_at_s=NOW_S), Start(A)),
    ("failed slot waits for its deadline", RUN, empty(State.FAILED, retry_at_s=NOW_S + 0.1), None),
    ("failed slot is started again", RUN, empty(State.FAILED, retry_at_s=NOW_S), Start(A)),
    ("restart ends backoff", RUN, empty(State.BACKOFF, retry_at_s=NOW_S + 9, restart_requested=True), Start(A)),
    ("restart ends a crash loop", RUN, empty(State.FAILED, retry_at_s=NOW_S + 9, restart_requested=True), Start(A)),
    ("unwanted slot is removed", NONE, empty(State.STOPPED), Forget(A)),
    ("unwanted failed slot is removed", NONE, empty(State.FAILED, retry_at_s=NOW_S + 9), Forget(A)),
    ("nothing starts while stopping", STOPPING, empty(State.STOPPED), None),
    ("nothing restarts while stopping", STOPPING, empty(State.STOPPED, restart_requested=True), None),
    ("backoff does not end while stopping", STOPPING, empty(State.BACKOFF, retry_at_s=0.0), None),
    ("running worker needs no action", RUN, alive(), None),
    ("starting worker needs no action", RUN, alive(State.STARTING), None),
    ("stopping drains a running worker", STOPPING, alive(), Drain(A, "the daemon is stopping")),
    ("stopping drains a starting worker", STOPPING, alive(State.STARTING), Drain(A, "the daemon is stopping")),
    ("unwanted worker is drained", NONE, alive(), Drain(A, "the configuration no longer contains the slot")),
    ("restart drains first", RUN, alive(slot={"restart_requested": True}), Drain(A, "an operator requested a restart")),
    ("drain request drains", RUN, alive(slot={"drained": True}), Drain(A, "an operator requested a drain")),
    ("changed settings drain the worker", RUN, alive(fingerprint="old"), Drain(A, "its settings changed")),
    ("draining worker has time until the deadline", STOPPING, alive(State.DRAINING, drain_sent_s=NOW_S - 29), None),
    (
        "worker is killed at the drain deadline",
        STOPPING,
        alive(State.DRAINING, drain_sent_s=NOW_S - 30),
        Kill(A, "it did not drain within 30 s (supervisor.drain_max)"),
    ),
    ("quick stop drains first", QUICK, alive(), Drain(A, "the daemon is stopping")),
    ("quick stop is sent after the drain", QUICK, alive(State.DRAINING, drain_sent_s=NOW_S - 1), Stop(A)),
    (
        "quick stop waits before it kills",
        QUICK,
        alive(State.DRAINING, drain_sent_s=NOW_S - 3, stop_sent_s=NOW_S - 1.9),
        None,
    ),
    (
        "worker is killed after a quick stop",
        QUICK,
        alive(State.DRAINING, drain_sent_s=NOW_S - 3, stop_sent_s=NOW_S - 2),
        Kill(A, "it did not exit within 2 s after a quick stop"),
    ),
    ("missing heartbeat below the limit needs no action", RUN, alive(heartbeat_s=NOW_S - 19.9), None),
    ("missing heartbeat at the limit dumps stacks", RUN, alive(heartbeat_s=NOW_S - 20), Dump(A, HUNG)),
    ("dump has a grace period", RUN, alive(heartbeat_s=NOW_S - 20, dump_sent_s=NOW_S - 0.9), None),
    (
        "worker is killed after the grace period",
        RUN,
        alive(heartbeat_s=NOW_S - 21, dump_sent_s=NOW_S - 1),
        Kill(A, HUNG),
    ),
    (
        "draining worker can hang",
        STOPPING,
        alive(State.DRAINING, heartbeat_s=NOW_S - 20, drain_sent_s=0),
        Dump(A, HUNG),
    ),
    (
        "slow start below the limit needs no action",
        RUN,
        alive(State.STARTING, heartbeat_s=None, started_s=NOW_S - 59),
        None,
    ),
    (
        "start without a heartbeat at the limit dumps stacks",
        RUN,
        alive(State.STARTING, heartbeat_s=None, started_s=NOW_S - 60),
        Dump(A, NEVER_STARTED),
    ),
    ("long start with heartbeats needs no action", RUN, alive(State.STARTING, started_s=0.0), None),
    ("killed worker is not killed again", RUN, alive(heartbeat_s=0.0, dump_sent_s=0.0, killed_s=NOW_S - 9), None),
    ("memory at the limit needs no action", RUN, alive(heartbeat={"rss_bytes": 100 * 2**20}), None),
    (
        "memory above the limit drains with backoff",
        RUN,
        alive(heartbeat={"rss_bytes": 101 * 2**20}),
        Drain(A, "101 MiB of memory exceed 100 MiB (supervisor.worker_memory_bytes_max)", requested=False),
    ),
    ("memory that is not a number is unknown", RUN, alive(heartbeat={"rss_bytes": "much"}), None),
    (
        "stopping takes precedence over memory",
        STOPPING,
        alive(heartbeat={"rss_bytes": 2**40}),
        Drain(A, "the daemon is stopping"),
    ),
]


@pytest.mark.parametrize(("wanted", "slot", "action"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_situation_leads_to_its_action(wanted: Wanted, slot: Slot, action: Action | None) -> None:
    """Each situation leads to exactly one action, or none."""
    planned = plan(NOW_S, wanted, {A: slot}, LIMITS)

    assert ([action] if action else []) == planned


def test_slots_are_planned_independently() -> None:
    """A failed slot does not delay the start of another one."""
    failed = empty(State.FAILED, retry_at_s=NOW_S + 9)
    other = Slot(B, created_s=0.0)

    planned = plan(NOW_S, Wanted({A: "new", B: "new"}), {A: failed, B: other}, LIMITS)

    assert [Start(B)] == planned


@pytest.mark.parametrize(
    ("slot", "expected_s"),
    [
        pytest.param(alive(), 1.0, id="running: a second"),
        pytest.param(empty(State.BACKOFF, retry_at_s=NOW_S + 0.4), 0.4, id="backoff: until its end"),
        pytest.param(empty(State.FAILED, retry_at_s=NOW_S - 5), 0.0, id="overdue: not at all"),
        pytest.param(empty(State.FAILED, retry_at_s=NOW_S + 25), 1.0, id="far away: a second"),
        pytest.param(alive(State.DRAINING), 0.1, id="draining: a tenth"),
        pytest.param(alive(dump_sent_s=NOW_S), 0.1, id="dumped: a tenth"),
        pytest.param(empty(State.STOPPED, drained=True), 1.0, id="drained: a second"),
    ],
)
def test_loop_sleeps_until_the_next_deadline(slot: Slot, expected_s: float) -> None:
    """The loop sleeps at most until the next deadline."""
    assert pytest.approx(expected_s) == wait_s(NOW_S, [slot])


def test_plan_does_not_change_slots() -> None:
    """Planning leaves the slots unchanged."""
    slot = alive(heartbeat_s=NOW_S - 21, slot={"exits_s": deque([1.0])})
    before = repr(slot)

    plan(NOW_S, QUICK, {A: slot}, LIMITS)

    assert before == repr(slot)
