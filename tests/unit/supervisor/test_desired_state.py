"""Fingerprints: what a change of settings replaces."""

from typing import Any

import pytest

from eventwriter.config.settings import Settings
from eventwriter.model import SlotName
from eventwriter.supervisor.desired_state import DesiredState, fleet_of

PLAIN: dict[str, Any] = {
    "enabled": True,
    "nats": {"password": "secret"},
    "streams": [
        {"name": "NETFLOW", "stream_name": "events", "subjects": ["netflow.>"], "kind": "netflow", "tables": ["t"],
         "partitions": 2},
        {"name": "TELEMETRY", "stream_name": "events", "subjects": ["telemetry.>"], "kind": "telemetry",
         "tables": ["m"]},
    ],
}  # fmt: skip
NETFLOW = [SlotName("NETFLOW", 0), SlotName("NETFLOW", 1)]
TELEMETRY = [SlotName("TELEMETRY", 0)]


def fleet(**changes: Any) -> DesiredState:
    """Return the fleet of the plain settings with top-level changes."""
    return fleet_of(Settings.model_validate({**PLAIN, **changes}), lambda slot, link: 0)


def test_equal_settings_have_equal_fingerprints() -> None:
    """Reading the same configuration again replaces nothing."""
    assert fleet().fingerprints == fleet().fingerprints


@pytest.mark.parametrize(
    ("changes", "replaced"),
    [
        pytest.param(
            {"streams": [{**PLAIN["streams"][0], "batch_size": 7}, PLAIN["streams"][1]]}, NETFLOW, id="one stream"
        ),
        pytest.param({"nats": {"password": "other"}}, NETFLOW + TELEMETRY, id="a secret"),
        pytest.param({"redact": ["community", "pin"]}, NETFLOW + TELEMETRY, id="all streams"),
        pytest.param({"log": {"level": "debug"}}, [], id="log level"),
        pytest.param({"supervisor": {"hang_max_s": 99.0}}, [], id="supervisor"),
        pytest.param({"supervisor": {"heartbeat_s": 2.0}}, NETFLOW + TELEMETRY, id="heartbeat"),
        pytest.param({"control": {"mode": 0o600}}, [], id="control socket"),
        pytest.param({"http": {"listen": ":8088"}}, [], id="web child"),
        pytest.param({"stream_name": "unused"}, [], id="a default that every entry overrides"),
        pytest.param({"consumer_name": "other"}, NETFLOW + TELEMETRY, id="durables"),
        pytest.param({"dead_letters": {"keep_max": 5}}, NETFLOW + TELEMETRY, id="dead letters"),
    ],
)
def test_change_replaces_only_whom_it_concerns(changes: dict[str, Any], replaced: list[SlotName]) -> None:
    """A stream's change concerns its slots, a common one all, the supervisor's none."""
    before, after = fleet().fingerprints, fleet(**changes).fingerprints

    assert replaced == [name for name in before if before[name] != after[name]]


def test_limits_and_level_come_along() -> None:
    """The supervisor's limits are the settings'."""
    made = fleet(supervisor={"hang_max_s": 99.0, "crash_loop_exits_max": 3}, log={"level": "warning"})

    assert (99.0, 3, "warning") == (made.limits.hang_max_s, made.limits.crash_loop_exits_max, made.log_level)


def test_more_workers_on_a_shared_durable_replace_none() -> None:
    """What workers know of their number does not concern what each runs with."""
    entry = {**PLAIN["streams"][0], "partition_mode": "shared"}
    before, after = fleet(streams=[entry]), fleet(streams=[{**entry, "partitions": 3}])

    assert [before.fingerprints[name] for name in NETFLOW] == [after.fingerprints[name] for name in NETFLOW]
    assert (2, 3) == (before.sharers(NETFLOW[0]), after.sharers(NETFLOW[0]))


def test_more_partitions_by_number_replace_none() -> None:
    """A new partition concerns only its own worker, as long as the others' durables keep their names."""
    entry = {**PLAIN["streams"][0], "subjects": ["netflow.{partition}.>"]}
    before, after = fleet(streams=[entry]), fleet(streams=[{**entry, "partitions": 3}])

    assert [before.fingerprints[name] for name in NETFLOW] == [after.fingerprints[name] for name in NETFLOW]
    assert (None, None) == (before.sharers(NETFLOW[0]), after.sharers(SlotName("GONE", 0)))
