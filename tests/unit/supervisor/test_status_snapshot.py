"""The picture that operators are given."""

import json
from typing import Any

import pytest

from eventwriter.model import SlotName
from eventwriter.supervisor.slot import Slot, State, Worker
from eventwriter.supervisor.status import Daemon, Health, overall, rates, sentence, slot_health, snapshot

NOW_S = 1000.0
DAEMON = Daemon("1.2.3", 42, 5, NOW_S - 60, stopping=False)
FINE = {"state": "running", "nats_connected": True, "postgres_connected": True, "lag_messages": 0}


class NoLink:
    """Stands where a socket would; snapshots never touch it."""


def slot(state: State, heartbeat: dict[str, Any] | None = None, **fields: Any) -> Slot:
    """Return a slot, with a worker where a heartbeat is given."""
    made = Slot(SlotName("NETFLOW", 0), **{"born_s": NOW_S - 100, **fields}, state=state)
    if heartbeat is not None:
        made.worker = Worker(
            7, -1, NoLink(), NOW_S - 90, "f", heard_s=NOW_S - 0.5, ready_s=NOW_S - 80, heartbeat=heartbeat  # type: ignore[arg-type]
        )  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("given", "health", "reason"),
    [
        pytest.param(slot(State.RUNNING, FINE), Health.HEALTHY, None, id="nothing waits"),
        pytest.param(
            slot(State.RUNNING, {**FINE, "lag_messages": 5}, progress_s=NOW_S - 29), Health.HEALTHY, None, id="moves"
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "lag_messages": 5}, progress_s=NOW_S - 31),
            Health.DEGRADED,
            "5 messages wait and none was settled for 30 s",
            id="stalls",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "dying": "9% became dead letters"}),
            Health.DEGRADED,
            "9% became dead letters",
            id="dies",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "nats_connected": False}),
            Health.DEGRADED,
            "not connected to NATS",
            id="without NATS",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "postgres_connected": False}),
            Health.DEGRADED,
            "not connected to PostgreSQL",
            id="without PostgreSQL",
        ),
        pytest.param(
            slot(State.RUNNING, {"state": "waiting", "reason": "PostgreSQL is restarting"}),
            Health.DEGRADED,
            "PostgreSQL is restarting",
            id="waits",
        ),
        pytest.param(
            slot(State.STARTING, {"state": "waiting", "reason": "no NATS yet"}),
            Health.DEGRADED,
            "no NATS yet",
            id="waits from the start",
        ),
        pytest.param(
            slot(State.RUNNING, {"state": "parked", "reason": "table x is missing"}),
            Health.FAILING,
            "table x is missing",
            id="parked",
        ),
        pytest.param(
            slot(State.FAILED, last_exit="exit code 3"),
            Health.FAILING,
            "its workers exit too often: exit code 3",
            id="failed",
        ),
        pytest.param(
            slot(State.STARTING, FINE, looping=True, last_exit="exit code 3"),
            Health.FAILING,
            "tried again after exiting too often: exit code 3",
            id="failed and tried again",
        ),
        pytest.param(
            slot(State.BACKOFF, last_exit="exit code 3"),
            Health.DEGRADED,
            "restarting soon: exit code 3",
            id="backoff",
        ),
        pytest.param(slot(State.DRAINING, FINE), Health.DEGRADED, "draining", id="draining"),
        pytest.param(
            slot(State.STOPPED, held=True),
            Health.DEGRADED,
            "drained by an operator; `eventwriter-ctl restart NETFLOW/0` starts it",
            id="held",
        ),
        pytest.param(slot(State.STARTING, born_s=NOW_S - 29), Health.STARTING, "starting", id="just begun"),
        pytest.param(
            slot(State.STARTING, {"state": "starting"}, born_s=NOW_S - 29),
            Health.STARTING,
            "starting",
            id="just begun, speaks",
        ),
        pytest.param(
            slot(State.STARTING, born_s=NOW_S - 31),
            Health.DEGRADED,
            "not running 30 s after its start",
            id="slow start",
        ),
        pytest.param(slot(State.STARTING, ever_ready=True), Health.DEGRADED, "restarting", id="ran before"),
    ],
)
def test_slot_is_judged_by_progress(given: Slot, health: Health, reason: str | None) -> None:
    """Each situation has its health and its sentence."""
    assert (health, reason) == slot_health(NOW_S, given)


def test_worst_slot_decides() -> None:
    """The daemon is as ill as its worst slot, and names it."""
    pictures = [
        {"name": "A/0", "health": "degraded", "reason": "draining"},
        {"name": "B/0", "health": "failing", "reason": "a table is missing"},
        {"name": "C/0", "health": "healthy", "reason": None},
    ]

    assert (Health.FAILING, "B/0: a table is missing") == overall(DAEMON, pictures)


def test_rates_come_from_heartbeats() -> None:
    """Rates are differences over the window's edges."""
    given = slot(State.RUNNING, FINE)
    assert given.worker is not None
    given.worker.samples.extend([(NOW_S - 5, 100, 200), (NOW_S - 3, 150, 1000), (NOW_S, 600, 1200)])

    assert (100.0, 200.0) == rates(given)


def test_one_heartbeat_gives_no_rate() -> None:
    """A single sample says nothing about speed."""
    given = slot(State.RUNNING, FINE)
    assert given.worker is not None
    given.worker.samples.append((NOW_S, 600, 1200))

    assert (0.0, 0.0) == rates(given)


def test_snapshot_is_json_with_all_that_readers_rely_on() -> None:
    """The snapshot survives JSON and has its documented keys."""
    running = slot(
        State.RUNNING, {**FINE, "nats_url": "nats://n:4222", "rows_total": 7, "lag_messages": 3, "lag_s": 0.5}
    )
    failed = slot(State.FAILED, last_exit="exit code 3")

    picture = json.loads(json.dumps(snapshot(NOW_S, DAEMON, [running, failed])))

    assert ("failing", 42, 60.0) == (picture["status"], picture["pid"], picture["uptime_s"])
    assert {"connected": True, "workers": 1, "workers_connected": 1, "url": "nats://n:4222"} == picture["nats"]
    assert (7, 3, 0.5) == tuple(picture["totals"][key] for key in ("rows_total", "lag_messages", "lag_s"))
    for key in ("name", "state", "lag_messages", "lag_s", "rows_total", "dead_letters_total", "restarts", "last_error"):
        assert key in picture["slots"][0]
        assert key in picture["slots"][1]


def test_circuit_that_is_open_for_longest_is_shown() -> None:
    """Of several slots the one that has waited for longest tells; each slot has its own."""
    slots = [
        slot(State.RUNNING, {**FINE, "postgres_circuit": one})
        for one in ({"state": "closed"}, {"state": "open", "open_s": 2.0}, {"state": "open", "open_s": 1.0})
    ]

    drawn = snapshot(NOW_S, DAEMON, slots)

    assert {"state": "open", "open_s": 2.0} == drawn["postgres"]["circuit"]
    assert [{"state": "closed"}] == [picture["postgres_circuit"] for picture in drawn["slots"]][:1]
    assert {"state": "closed"} == snapshot(NOW_S, DAEMON, [slot(State.BACKOFF)])["postgres"]["circuit"]


def test_no_slot_is_not_health() -> None:
    """A daemon with nothing to do says so."""
    picture = snapshot(NOW_S, DAEMON, [])

    assert ("degraded", "no stream is enabled in the configuration") == (picture["status"], picture["reason"])


def test_sentence_counts_workers_and_names_the_worst() -> None:
    """systemd's line is one sentence."""
    picture = snapshot(NOW_S, DAEMON, [slot(State.RUNNING, FINE), slot(State.FAILED, last_exit="exit code 3")])

    assert "failing, 1 of 2 workers run; NETFLOW/0: its workers exit too often: exit code 3" == sentence(picture)
