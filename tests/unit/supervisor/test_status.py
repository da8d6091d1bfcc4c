"""The snapshot of the daemon, health and rates."""

import json
from typing import Any

import pytest

from eventwriter.model import SlotName
from eventwriter.supervisor.slot import Slot, State, Worker
from eventwriter.supervisor.status import (
    Daemon,
    Health,
    catch_up_s,
    lag_per_s,
    overall_health,
    rates,
    slot_health,
    snapshot,
    stalled_s,
    summary,
)

NOW_S = 1000.0
DAEMON = Daemon("1.2.3", 42, 5, NOW_S - 60, stopping=False)
FINE = {"state": "running", "nats_connected": True, "postgres_connected": True, "lag_messages": 0}


class NoLink:
    """Placeholder for a socket; snapshots never use it."""


def slot(state: State, heartbeat: dict[str, Any] | None = None, **fields: Any) -> Slot:
    """Return a slot, with a worker if there is a heartbeat."""
    result = Slot(SlotName("NETFLOW", 0), **{"created_s": NOW_S - 100, **fields}, state=state)
    if heartbeat is not None:
        result.worker = Worker(
            7, -1, NoLink(), NOW_S - 90, "f", heartbeat_s=NOW_S - 0.5, ready_s=NOW_S - 80, heartbeat=heartbeat  # type: ignore[arg-type]
        )  # fmt: skip
    return result


@pytest.mark.parametrize(
    ("judged", "health", "reason"),
    [
        pytest.param(slot(State.RUNNING, FINE), Health.HEALTHY, None, id="nothing is waiting"),
        pytest.param(
            slot(State.RUNNING, {**FINE, "lag_messages": 5}, progress_s=NOW_S - 9), Health.HEALTHY, None, id="progress"
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "lag_messages": 5}, progress_s=NOW_S - 29),
            Health.HEALTHY,
            "no message settled for 10 s while messages are waiting",
            id="late progress",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "postgres_statement": "COPY", "postgres_unanswered_s": 2.4}),
            Health.HEALTHY,
            None,
            id="statement running",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "postgres_statement": "COPY", "postgres_unanswered_s": 2.5}),
            Health.HEALTHY,
            "PostgreSQL has not answered a COPY for 3 s",
            id="statement unanswered",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "postgres_statement": "COMMIT", "postgres_unanswered_s": 7.5}),
            Health.DEGRADED,
            "PostgreSQL has not answered a COMMIT for 8 s",
            id="statement unanswered for long",
        ),
        pytest.param(
            slot(
                State.RUNNING,
                {**FINE, "postgres_statement": "COPY", "postgres_unanswered_s": 8, "postgres_blocked_by": "session 5"},
            ),
            Health.DEGRADED,
            "PostgreSQL has not answered a COPY for 8 s; blocked by session 5",
            id="statement blocked",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "state": "waiting", "reason": "lock timeout", "postgres_blocked_by": "x"}),
            Health.DEGRADED,
            "lock timeout; blocked by x",
            id="lock timeout",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "lag_messages": 5}, progress_s=NOW_S - 31),
            Health.DEGRADED,
            "no message settled for 30 s while messages are waiting",
            id="no progress",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "nats_unanswered_s": 3.5}),
            Health.HEALTHY,
            "NATS has not answered a JetStream request for 4 s",
            id="NATS unanswered",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "nats_unanswered_s": 7.5}),
            Health.DEGRADED,
            "NATS has not answered a JetStream request for 8 s",
            id="NATS unanswered for long",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "dying": "9% became dead letters"}),
            Health.DEGRADED,
            "9% became dead letters",
            id="dead letters",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "nats_connected": False}),
            Health.DEGRADED,
            "not connected to NATS",
            id="no NATS",
        ),
        pytest.param(
            slot(State.RUNNING, {**FINE, "postgres_connected": False}),
            Health.DEGRADED,
            "not connected to PostgreSQL",
            id="no PostgreSQL",
        ),
        pytest.param(
            slot(State.RUNNING, {"state": "waiting", "reason": "PostgreSQL is restarting"}),
            Health.DEGRADED,
            "PostgreSQL is restarting",
            id="waiting",
        ),
        pytest.param(
            slot(State.STARTING, {"state": "waiting", "reason": "no NATS yet"}),
            Health.DEGRADED,
            "no NATS yet",
            id="waiting since the start",
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
            "crash loop; last exit: exit code 3",
            id="failed",
        ),
        pytest.param(
            slot(State.STARTING, FINE, in_crash_loop=True, last_exit="exit code 3"),
            Health.FAILING,
            "restarted after a crash loop; last exit: exit code 3",
            id="restarted after a crash loop",
        ),
        pytest.param(
            slot(State.BACKOFF, last_exit="exit code 3"),
            Health.DEGRADED,
            "restart pending; last exit: exit code 3",
            id="backoff",
        ),
        pytest.param(slot(State.DRAINING, FINE), Health.DEGRADED, "draining", id="draining"),
        pytest.param(
            slot(State.STOPPED, drained=True),
            Health.DEGRADED,
            "drained by an operator; `eventwriter-ctl restart NETFLOW/0` starts it",
            id="drained",
        ),
        pytest.param(slot(State.STARTING, created_s=NOW_S - 29), Health.STARTING, "starting", id="new"),
        pytest.param(
            slot(State.STARTING, {"state": "starting"}, created_s=NOW_S - 29),
            Health.STARTING,
            "starting",
            id="new, with heartbeat",
        ),
        pytest.param(
            slot(State.STARTING, created_s=NOW_S - 31),
            Health.DEGRADED,
            "not running 30 s after its start",
            id="slow start",
        ),
        pytest.param(slot(State.STARTING, ever_ready=True), Health.DEGRADED, "restarting", id="was running before"),
    ],
)
def test_situation_has_its_health_and_reason(judged: Slot, health: Health, reason: str | None) -> None:
    """Each situation of a slot has its health and its reason."""
    assert (health, reason) == slot_health(NOW_S, judged)


def test_worst_slot_decides() -> None:
    """The daemon has the health of its worst slot, and the reason names that slot."""
    rows = [
        {"name": "A/0", "health": "degraded", "reason": "draining"},
        {"name": "B/0", "health": "failing", "reason": "a table is missing"},
        {"name": "C/0", "health": "healthy", "reason": None},
    ]

    assert (Health.FAILING, "B/0: a table is missing") == overall_health(DAEMON, rows)


def test_rates_are_computed_over_the_window() -> None:
    """Rates are differences between the first and the last sample of the window."""
    running = slot(State.RUNNING, FINE)
    assert running.worker is not None
    running.worker.samples.extend([(NOW_S - 5, 100, 200), (NOW_S - 3, 150, 1000), (NOW_S, 600, 1200)])

    assert (100.0, 200.0) == rates(running)


def test_single_sample_has_no_rate() -> None:
    """With a single sample, rates are zero."""
    running = slot(State.RUNNING, FINE)
    assert running.worker is not None
    running.worker.samples.append((NOW_S, 600, 1200))

    assert (0.0, 0.0) == rates(running)


def test_snapshot_is_json_with_the_documented_keys() -> None:
    """The snapshot can be encoded as JSON and has the documented keys."""
    running = slot(
        State.RUNNING, {**FINE, "nats_url": "nats://n:4222", "rows_total": 7, "lag_messages": 3, "lag_s": 0.5}
    )
    failed = slot(State.FAILED, last_exit="exit code 3")

    result = json.loads(json.dumps(snapshot(NOW_S, DAEMON, [running, failed])))

    assert ("failing", 42, 60.0) == (result["status"], result["pid"], result["uptime_s"])
    assert {"connected": True, "workers": 1, "workers_connected": 1, "url": "nats://n:4222"} == result["nats"]
    assert (7, 3, 0.5) == tuple(result["totals"][key] for key in ("rows_total", "lag_messages", "lag_s"))
    for key in ("name", "state", "lag_messages", "lag_s", "rows_total", "dead_letters_total", "restarts", "last_error"):
        assert key in result["slots"][0]
        assert key in result["slots"][1]


def test_circuit_open_for_longest_is_shown() -> None:
    """Each slot has its circuit breaker, and the daemon shows the one that has been open for longest."""
    slots = [
        slot(State.RUNNING, {**FINE, "postgres_circuit": circuit})
        for circuit in ({"state": "closed"}, {"state": "open", "open_s": 2.0}, {"state": "open", "open_s": 1.0})
    ]

    result = snapshot(NOW_S, DAEMON, slots)

    assert {"state": "open", "open_s": 2.0} == result["postgres"]["circuit"]
    assert [{"state": "closed"}] == [row["postgres_circuit"] for row in result["slots"]][:1]
    assert {"state": "closed"} == snapshot(NOW_S, DAEMON, [slot(State.BACKOFF)])["postgres"]["circuit"]


def test_daemon_without_slots_is_degraded() -> None:
    """A daemon without slots is degraded."""
    result = snapshot(NOW_S, DAEMON, [])

    assert ("degraded", "no stream is enabled in the configuration") == (result["status"], result["reason"])


def test_summary_counts_running_workers_and_names_the_worst_slot() -> None:
    """The line for systemd contains health, number of running workers, and the worst slot."""
    result = snapshot(NOW_S, DAEMON, [slot(State.RUNNING, FINE), slot(State.FAILED, last_exit="exit code 3")])

    assert "failing, 1 of 2 workers running; NETFLOW/0: crash loop; last exit: exit code 3" == summary(result)


def slot_with_lags(*lags: tuple[float, int]) -> Slot:
    """Return a slot whose worker reported these lags: (seconds ago, messages)."""
    result = slot(State.RUNNING, FINE, created_s=NOW_S - 500)
    for seconds_ago, messages in lags:
        result.record_heartbeat(NOW_S - seconds_ago, {"state": "running", "lag_messages": messages})
    return result


@pytest.mark.parametrize(
    ("lags", "growth", "expected_s"),
    [
        pytest.param([], None, None, id="unknown"),
        pytest.param([(0, 50)], None, None, id="one heartbeat"),
        pytest.param([(10, 5000), (0, 4000)], -100.0, 40.0, id="shrinks"),
        pytest.param([(10, 4000), (0, 5000)], 100.0, None, id="grows"),
        pytest.param([(10, 4000), (0, 4000)], 0.0, None, id="constant"),
        pytest.param([(10, 4000), (0, 0)], -400.0, 0.0, id="caught up"),
        pytest.param([(100, 90_000), (40, 5000), (10, 5000), (0, 4000)], -25.0, 160.0, id="old samples are dropped"),
    ],
)
def test_time_to_catch_up_is_derived_from_the_growth_of_the_lag(
    lags: list[tuple[float, int]], growth: float | None, expected_s: float | None
) -> None:
    """A shrinking lag has a time to catch up; a growing or constant one has none."""
    lagging = slot_with_lags(*lags)

    assert (growth, expected_s) == (lag_per_s(lagging), catch_up_s(lagging))


def test_slot_without_waiting_messages_is_not_stalled() -> None:
    """Without waiting messages, the time without progress does not count."""
    assert 0.0 == stalled_s(NOW_S, slot_with_lags((60, 5), (50, 0)))


def test_slot_is_stalled_since_its_last_progress() -> None:
    """While messages are waiting, the time since the last settled message counts."""
    lagging = slot_with_lags((60, 5))
    lagging.record_heartbeat(NOW_S - 20, {"state": "running", "lag_messages": 5, "rows_total": 1})
    lagging.record_heartbeat(NOW_S, {"state": "running", "lag_messages": 9, "rows_total": 1})

    assert 20.0 == stalled_s(NOW_S, lagging)
