"""Health for machines."""

from typing import Any

import pytest
from snapshots import heartbeat, made

from eventwriter.observe.metrics import HEALTHS
from eventwriter.web.app import CODES, health


@pytest.mark.parametrize(
    ("beat", "code", "status"),
    [
        (heartbeat(), 200, "healthy"),
        (heartbeat(state="starting"), 200, "starting"),
        (heartbeat(postgres_connected=False), 503, "degraded"),
        (heartbeat(state="parked", reason="table x is missing"), 503, "failing"),
    ],
)
def test_code_says_whether_something_is_to_be_mended(beat: dict[str, Any], code: int, status: str) -> None:
    """Healthy and starting are 200, degraded and failing 503; the slots come with it."""
    snapshot = made({"A/0": beat}, uptime_s=10)

    found, answer = health(snapshot, 0.5)

    assert (code, status) == (found, answer["status"])
    assert ("A/0", status) == (answer["slots"][0]["name"], answer["slots"][0]["health"])


def test_every_health_has_its_code() -> None:
    """No judgement of the supervisor is without an answer."""
    assert set(HEALTHS) == CODES.keys()


@pytest.mark.parametrize(("age_s", "words"), [(None, "no snapshot"), (12.3, "no snapshot for 12 s")])
def test_silent_supervisor_is_no_health(age_s: float | None, words: str) -> None:
    """Without a fresh snapshot nobody knows, and that is 503."""
    code, answer = health(None, age_s)

    assert (503, "unknown") == (code, answer["status"])
    assert words in answer["reason"]
