"""The worker's state and reason."""

import pytest

from eventwriter.worker.status import WorkerStatus


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("running", None, ("paused", "by alice")),
        ("waiting", "PostgreSQL is unreachable", ("waiting", "PostgreSQL is unreachable")),
        ("parked", "no table", ("parked", "no table")),
        ("starting", None, ("starting", None)),
        ("draining", None, ("draining", None)),
    ],
)
def test_pause_is_reported_only_while_running(state: str, reason: str | None, expected: tuple[str, str | None]) -> None:
    """Every state but `running` is reported instead of a pause."""
    assert expected == WorkerStatus(state, reason, paused="by alice").reported()


def test_state_is_reported_without_pause() -> None:
    """Without a pause the state itself is reported."""
    assert ("running", None) == WorkerStatus("running").reported()


def test_outage_does_not_end_drain() -> None:
    """A draining worker stays draining during an outage, with the reason of the outage."""
    status = WorkerStatus("draining")

    status.set_outage("PostgreSQL is unreachable")

    assert ("draining", "PostgreSQL is unreachable") == status.reported()


def test_end_of_outage_keeps_last_error() -> None:
    """After an outage the worker is running again, and the reason remains as the last error."""
    status = WorkerStatus("running")

    status.set_outage("PostgreSQL is unreachable")
    status.set_outage(None)

    assert ("running", None, "PostgreSQL is unreachable") == (*status.reported(), status.last_error)
