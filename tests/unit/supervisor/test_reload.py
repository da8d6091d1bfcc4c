"""Effects of a reload and of scaling."""

from typing import Any

import pytest

from eventwriter.config.settings import Settings
from eventwriter.errors import Fatal
from eventwriter.supervisor.desired_state import TAKES_EFFECT, worker_state
from eventwriter.supervisor.reload import diff, scale, summary

SETTINGS: dict[str, Any] = {
    "streams": [
        {"name": "A", "stream_name": "events", "subjects": ["a.>"], "kind": "telemetry"},
        {"name": "B", "stream_name": "events", "subjects": ["b.>"], "kind": "telemetry", "partitions": 2,
         "partition_mode": "shared"},
    ],
}  # fmt: skip
A, B = SETTINGS["streams"]


def compare(**changes: Any) -> dict[str, Any]:
    """Compare the settings above with changed ones."""
    before, after = (
        Settings.model_validate(settings, by_alias=True) for settings in (SETTINGS, {**SETTINGS, **changes})
    )
    return diff(worker_state(before, lambda *_: 0), worker_state(after, lambda *_: 0))


@pytest.mark.parametrize(
    ("changes", "effects", "text"),
    [
        pytest.param({}, [], "nothing changed for any worker", id="nothing"),
        pytest.param(
            {"streams": [{**A, "batch_size": 7}, B]}, ["replaces workers"], "replaced: A/0", id="one entry's key"
        ),
        pytest.param({"nats": {"token": "x"}}, ["replaces workers"], "replaced: A/0, B/0, B/1", id="a common key"),
        pytest.param({"streams": [A, {**B, "partitions": 3}]}, ["starts workers"], "started: B/2", id="more workers"),
        pytest.param({"streams": [A, {**B, "partitions": 1}]}, ["stops workers"], "removed: B/1", id="fewer workers"),
        pytest.param({"streams": [A]}, ["stops workers"], "removed: B/0, B/1", id="an entry removed"),
        pytest.param({"streams": [A, {**B, "enabled": False}]}, ["stops workers"], "removed: B/0, B/1", id="off"),
        pytest.param({"streams": [B, A]}, ["at once"], "nothing changed for any worker", id="their order"),
        pytest.param({"log": {"level": "debug"}}, ["at once"], "nothing changed for any worker", id="log level"),
        pytest.param({"supervisor": {"hang_max": 9}}, ["at once"], "nothing changed for any worker", id="a limit"),
        pytest.param(
            {"supervisor": {"heartbeat": 2}}, ["replaces workers"], "replaced: A/0, B/0, B/1", id="the heartbeat"
        ),
        pytest.param({"http": {"listen": ":8088"}}, ["replaces the web child"], "replaced: the web child", id="http"),
        pytest.param(
            {"control": {"socket": "/x"}},
            ["restart"],
            "nothing changed for any worker; control.socket takes effect only after a restart of the daemon",
            id="the control socket",
        ),
    ],
)
def test_change_has_its_effect(changes: dict[str, Any], effects: list[str], text: str) -> None:
    """Each change replaces, starts or stops workers, applies at once, or needs a restart of the daemon."""
    result = compare(**changes)

    assert (effects, text) == ([change["effect"] for change in result["changes"]], summary(result))


def test_every_section_has_an_effect() -> None:
    """Each section of the settings is in the table of effects."""
    assert set(Settings.model_fields) == set(TAKES_EFFECT)


def settings(**entry: Any) -> Settings:
    """Return settings with stream A, which has these keys, and stream B."""
    plain = {"name": "A", "stream_name": "events", "subjects": ["a.>"], "kind": "telemetry"}
    other = {**plain, "name": "B", "subjects": ["b.>"]}
    return Settings.model_validate({"streams": [{**plain, **entry}, other]})


SHARED = {"partition_mode": "shared", "partitions": 3}
NUMBERED = {"subjects": ["a.{partition}.>"], "partitions": 3}


@pytest.mark.parametrize(
    ("entry", "workers"),
    [
        pytest.param(SHARED, 5, id="shared, more"),
        pytest.param(SHARED, 1, id="shared, one"),
        pytest.param(NUMBERED, 4, id="numbered subjects, more"),
        pytest.param({}, 1, id="unchanged"),
    ],
)
def test_safe_number_of_workers_is_applied(entry: dict[str, Any], workers: int) -> None:
    """The stream has the new number of slots, and other entries are unchanged."""
    before = settings(**entry)

    after = scale(before, "A", workers)

    assert workers == sum(name.stream == "A" for name in after.slots())
    assert before.streams[1] == after.streams[1]


@pytest.mark.parametrize(
    ("entry", "workers"),
    [
        pytest.param({}, 2, id="one worker"),
        pytest.param({"partition_subjects": [["a.1"], ["a.2"]], "partitions": 2}, 3, id="lists"),
        pytest.param(NUMBERED, 2, id="numbered, fewer"),
        pytest.param({**NUMBERED, "partitions": 1}, 2, id="numbered, from one"),
        pytest.param(SHARED, 0, id="none"),
        pytest.param(SHARED, 257, id="too many"),
        pytest.param({**SHARED, "enabled": False}, 2, id="not enabled"),
    ],
)
def test_unsafe_number_of_workers_is_refused_with_a_hint(entry: dict[str, Any], workers: int) -> None:
    """A number with which messages would be lost or written twice is refused, and the error says what to edit."""
    with pytest.raises(Fatal) as error:
        scale(settings(**entry), "A", workers)

    assert "not_scalable" == error.value.code
    assert error.value.hint


def test_unknown_stream_is_refused_with_the_known_ones() -> None:
    """The error about an unknown stream lists the known ones."""
    with pytest.raises(Fatal) as error:
        scale(settings(), "C", 2)

    assert ("unknown_stream", "known entries are A, B") == (error.value.code, error.value.hint)
