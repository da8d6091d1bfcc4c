"""A worker's state and reason."""

import pytest

from eventwriter.worker.status import WorkerStatus


@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [
        ("running", None, ("paused", "by alice")),
        ("waiting", "PostgreSQL is away", ("waiting", "PostgreSQL is away")),
        ("parked", "no table", ("parked", "no table")),
        ("starting", None, ("starting", None)),
        ("draining", None, ("draining", None)),
    ],
)
def test_pause_is_shown_in_place_of_running_only(state: str, reason: str | None, shown: tuple[str, str | None]) -> None:
    """Whatever is worse than a pause is told first."""
    assert shown == WorkerStatus(state, reason, paused="by alice").shown()


def test_without_a_pause_the_state_is_shown() -> None:
    """A worker that runs says so."""
    assert ("running", None) == WorkerStatus("running").shown()
