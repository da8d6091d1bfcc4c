"""What a reload changes, in words."""

from typing import Any

import pytest

from eventwriter.config.settings import Settings
from eventwriter.supervisor.desired_state import TAKES_EFFECT, fleet_of
from eventwriter.supervisor.reload import in_words, outlook

PLAIN: dict[str, Any] = {
    "streams": [
        {"name": "A", "stream_name": "events", "subjects": ["a.>"], "kind": "telemetry"},
        {"name": "B", "stream_name": "events", "subjects": ["b.>"], "kind": "telemetry", "partitions": 2,
         "partition_mode": "shared"},
    ],
}  # fmt: skip
A, B = PLAIN["streams"]


def told(**changes: Any) -> dict[str, Any]:
    """Compare the plain settings with changed ones."""
    before, after = (Settings.model_validate(plain, by_alias=True) for plain in (PLAIN, {**PLAIN, **changes}))
    return outlook(fleet_of(before, lambda *_: 0), fleet_of(after, lambda *_: 0))


@pytest.mark.parametrize(
    ("changes", "effects", "words"),
    [
        pytest.param({}, [], "nothing changed for any worker", id="nothing"),
        pytest.param(
            {"streams": [{**A, "batch_size": 7}, B]}, ["replaces workers"], "replaced: A/0", id="one entry's key"
        ),
        pytest.param({"nats": {"token": "x"}}, ["replaces workers"], "replaced: A/0, B/0, B/1", id="a common key"),
        pytest.param({"streams": [A, {**B, "partitions": 3}]}, ["starts workers"], "started: B/2", id="more workers"),
        pytest.param({"streams": [A, {**B, "partitions": 1}]}, ["ends workers"], "removed: B/1", id="fewer workers"),
        pytest.param({"streams": [A]}, ["ends workers"], "removed: B/0, B/1", id="an entry less"),
        pytest.param({"streams": [A, {**B, "enabled": False}]}, ["ends workers"], "removed: B/0, B/1", id="off"),
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
            "nothing changed for any worker; only a restart of the daemon brings control.socket into effect",
            id="the control socket",
        ),
    ],
)
def test_each_change_says_how_it_takes_effect(changes: dict[str, Any], effects: list[str], words: str) -> None:
    """A key's effect is told as it is: what is replaced, started, ended, done at once, or not before a restart."""
    found = told(**changes)

    assert (effects, words) == ([one["effect"] for one in found["changes"]], in_words(found))


def test_every_part_of_the_settings_is_known_to_take_effect_somehow() -> None:
    """A new section cannot be forgotten: each is in the table."""
    assert set(Settings.model_fields) == set(TAKES_EFFECT)
