"""Fingerprints: which changes of the settings replace which workers."""

from typing import Any

import pytest

from eventwriter.config.settings import Settings
from eventwriter.model import SlotName
from eventwriter.supervisor.desired_state import DesiredState, worker_state

SETTINGS: dict[str, Any] = {
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


def desired(**changes: Any) -> DesiredState:
    """Return the desired state for the settings above with changes at the top level."""
    return worker_state(Settings.model_validate({**SETTINGS, **changes}), lambda name, link: 0)


def test_equal_settings_have_equal_fingerprints() -> None:
    """Loading the same configuration again replaces no worker."""
    assert desired().fingerprints == desired().fingerprints


@pytest.mark.parametrize(
    ("changes", "replaced"),
    [
        pytest.param(
            {"streams": [{**SETTINGS["streams"][0], "batch_size": 7}, SETTINGS["streams"][1]]}, NETFLOW, id="one stream"
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
def test_change_replaces_only_affected_workers(changes: dict[str, Any], replaced: list[SlotName]) -> None:
    """A change of one stream affects its slots, a change of a common section all, one of the supervisor none."""
    before, after = desired().fingerprints, desired(**changes).fingerprints

    assert replaced == [name for name in before if before[name] != after[name]]


def test_limits_and_log_level_come_from_the_settings() -> None:
    """The desired state contains the supervisor's limits and the log level."""
    state = desired(supervisor={"hang_max_s": 99.0, "crash_loop_exits_max": 3}, log={"level": "warning"})

    assert (99.0, 3, "warning") == (state.limits.hang_max_s, state.limits.crash_loop_exits_max, state.log_level)


def test_more_workers_on_a_shared_durable_replace_none() -> None:
    """The number of workers on a shared durable does not affect the existing workers' fingerprints."""
    entry = {**SETTINGS["streams"][0], "partition_mode": "shared"}
    before, after = desired(streams=[entry]), desired(streams=[{**entry, "partitions": 3}])

    assert [before.fingerprints[name] for name in NETFLOW] == [after.fingerprints[name] for name in NETFLOW]
    assert (2, 3) == (before.durable_workers(NETFLOW[0]), after.durable_workers(NETFLOW[0]))


def test_more_numbered_partitions_replace_none() -> None:
    """A new partition does not affect the others, because their durables keep their names."""
    entry = {**SETTINGS["streams"][0], "subjects": ["netflow.{partition}.>"]}
    before, after = desired(streams=[entry]), desired(streams=[{**entry, "partitions": 3}])

    assert [before.fingerprints[name] for name in NETFLOW] == [after.fingerprints[name] for name in NETFLOW]
    assert (None, None) == (before.durable_workers(NETFLOW[0]), after.durable_workers(SlotName("GONE", 0)))


def test_web_child_shares_no_durable() -> None:
    """The web child belongs to no slot, so it has no durable."""
    assert desired().durable_workers("web") is None
