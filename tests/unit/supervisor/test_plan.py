"""The rules of the supervisor, one line each."""

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

SILENT = "no heartbeat for 20 s since its last heartbeat (supervisor.hang_max)"
UNHEARD = "no heartbeat for 60 s since its start (supervisor.start_max)"


class NoLink:
    """Stands where a socket would; `plan` never touches it."""


def empty(state: State, **fields: Any) -> Slot:
    """Return a slot without a worker."""
    return Slot(A, born_s=0.0, state=state, **fields)


def alive(state: State = State.RUNNING, slot: dict[str, Any] | None = None, **fields: Any) -> Slot:
    """Return a slot with a worker that spoke a second ago."""
    known = {"started_s": NOW_S - 100, "heard_s": NOW_S - 1, "fingerprint": "new", **fields}
    worker = Worker(pid=7, pidfd=-1, link=NoLink(), **known)  # type: ignore[arg-type]
    return Slot(A, born_s=0.0, state=state, worker=worker, **(slot or {}))


RULES: list[tuple[str, Wanted, Slot, Action | None]] = [
    ("wanted slot without a worker starts", RUN, empty(State.STOPPED), Start(A)),
    ("held slot stays stopped", RUN, empty(State.STOPPED, held=True), None),
    ("held slot starts on restart", RUN, empty(State.STOPPED, held=True, restart_asked=True), Start(A)),
    ("backoff waits for its time", RUN, empty(State.BACKOFF, retry_at_s=NOW_S + 0.1), None),
    ("backoff ends at its time", RUN, empty(State.BACKOFF, retry_at_s=NOW_S), Start(A)),
    ("failed waits for its time", RUN, empty(State.FAILED, retry_at_s=NOW_S + 0.1), None),
    ("failed is tried again", RUN, empty(State.FAILED, retry_at_s=NOW_S), Start(A)),
    ("restart cuts backoff short", RUN, empty(State.BACKOFF, retry_at_s=NOW_S + 9, restart_asked=True), Start(A)),
    ("restart cuts failed short", RUN, empty(State.FAILED, retry_at_s=NOW_S + 9, restart_asked=True), Start(A)),
    ("unwanted slot is forgotten", NONE, empty(State.STOPPED), Forget(A)),
    ("unwanted failed slot is forgotten", NONE, empty(State.FAILED, retry_at_s=NOW_S + 9), Forget(A)),
    ("nothing starts while stopping", STOPPING, empty(State.STOPPED), None),
    ("nothing restarts while stopping", STOPPING, empty(State.STOPPED, restart_asked=True), None),
    ("nothing ends backoff while stopping", STOPPING, empty(State.BACKOFF, retry_at_s=0.0), None),
    ("running worker is left alone", RUN, alive(), None),
    ("starting worker is left alone", RUN, alive(State.STARTING), None),
    ("stopping drains", STOPPING, alive(), Drain(A, "the daemon is stopping")),
    ("stopping drains a starting worker", STOPPING, alive(State.STARTING), Drain(A, "the daemon is stopping")),
    ("unwanted worker is drained", NONE, alive(), Drain(A, "the configuration no longer has it")),
    ("restart drains first", RUN, alive(slot={"restart_asked": True}), Drain(A, "an operator asked for a restart")),
    ("hold drains", RUN, alive(slot={"held": True}), Drain(A, "an operator asked for a drain")),
    ("changed settings drain", RUN, alive(fingerprint="old"), Drain(A, "its settings changed")),
    ("draining worker is left to it", STOPPING, alive(State.DRAINING, drain_s=NOW_S - 29), None),
    (
        "drain has a deadline",
        STOPPING,
        alive(State.DRAINING, drain_s=NOW_S - 30),
        Kill(A, "not drained within 30 s (supervisor.drain_max)"),
    ),
    ("quick stop drains first", QUICK, alive(), Drain(A, "the daemon is stopping")),
    ("quick stop follows a drain", QUICK, alive(State.DRAINING, drain_s=NOW_S - 1), Stop(A)),
    ("quick stop gives a moment", QUICK, alive(State.DRAINING, drain_s=NOW_S - 3, stop_s=NOW_S - 1.9), None),
    (
        "quick stop kills",
        QUICK,
        alive(State.DRAINING, drain_s=NOW_S - 3, stop_s=NOW_S - 2),
        Kill(A, "still there 2 s after a quick stop"),
    ),
    ("silence up to the limit is borne", RUN, alive(heard_s=NOW_S - 19.9), None),
    ("silence dumps stacks", RUN, alive(heard_s=NOW_S - 20), Dump(A, SILENT)),
    ("a dump has a grace", RUN, alive(heard_s=NOW_S - 20, dump_s=NOW_S - 0.9), None),
    ("after the grace it is killed", RUN, alive(heard_s=NOW_S - 21, dump_s=NOW_S - 1), Kill(A, SILENT)),
    ("a draining worker can hang too", STOPPING, alive(State.DRAINING, heard_s=NOW_S - 20, drain_s=0), Dump(A, SILENT)),
    ("a slow start is borne", RUN, alive(State.STARTING, heard_s=None, started_s=NOW_S - 59), None),
    ("a start without a word dumps", RUN, alive(State.STARTING, heard_s=None, started_s=NOW_S - 60), Dump(A, UNHEARD)),
    ("a heartbeat makes a long start fine", RUN, alive(State.STARTING, started_s=0.0), None),
    ("a killed worker is not killed again", RUN, alive(heard_s=0.0, dump_s=0.0, killed_s=NOW_S - 9), None),
    ("memory at the limit is fine", RUN, alive(heartbeat={"rss_bytes": 100 * 2**20}), None),
    (
        "memory above the limit drains, with backoff",
        RUN,
        alive(heartbeat={"rss_bytes": 101 * 2**20}),
        Drain(A, "101 MiB of memory is above 100 MiB (supervisor.worker_memory_bytes_max)", asked=False),
    ),
    ("memory that is no number is unknown", RUN, alive(heartbeat={"rss_bytes": "much"}), None),
    ("asked beats memory", STOPPING, alive(heartbeat={"rss_bytes": 2**40}), Drain(A, "the daemon is stopping")),
]


@pytest.mark.parametrize(("wanted", "slot", "action"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_rule(wanted: Wanted, slot: Slot, action: Action | None) -> None:
    """Each situation leads to its one action."""
    planned = plan(NOW_S, wanted, {A: slot}, LIMITS)

    assert ([action] if action else []) == planned


def test_slots_are_planned_one_by_one() -> None:
    """A slot that is failing does not keep another from starting."""
    failed = empty(State.FAILED, retry_at_s=NOW_S + 9)
    other = Slot(B, born_s=0.0)

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
        pytest.param(alive(dump_s=NOW_S), 0.1, id="dumped: a tenth"),
        pytest.param(empty(State.STOPPED, held=True), 1.0, id="held: a second"),
    ],
)
def test_sleep_ends_before_the_next_deadline(slot: Slot, expected_s: float) -> None:
    """The loop sleeps at most until something is due."""
    assert pytest.approx(expected_s) == wait_s(NOW_S, [slot])


def test_plan_writes_nothing() -> None:
    """Planning leaves the slots as they are."""
    slot = alive(heard_s=NOW_S - 21, slot={"exits_s": deque([1.0])})
    before = repr(slot)

    plan(NOW_S, QUICK, {A: slot}, LIMITS)

    assert before == repr(slot)
