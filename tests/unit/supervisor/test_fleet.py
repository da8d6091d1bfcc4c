"""Fingerprints: what a change of settings replaces."""

from typing import Any

import pytest

from eventwriter.config.settings import Settings
from eventwriter.model import SlotName
from eventwriter.supervisor.fleet import Fleet, fleet_of

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


def fleet(**changes: Any) -> Fleet:
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
        pytest.param({"supervisor": {"hang_s_max": 99.0}}, [], id="supervisor"),
    ],
)
def test_change_replaces_only_whom_it_concerns(changes: dict[str, Any], replaced: list[SlotName]) -> None:
    """A stream's change concerns its slots, a common one all, the supervisor's none."""
    before, after = fleet().fingerprints, fleet(**changes).fingerprints

    assert replaced == [name for name in before if before[name] != after[name]]


def test_limits_and_level_come_along() -> None:
    """The supervisor's limits are the settings'."""
    made = fleet(supervisor={"hang_s_max": 99.0, "crash_loop_exits_max": 3}, log={"level": "warning"})

    assert (99.0, 3, "warning") == (made.limits.hang_s_max, made.limits.crash_loop_exits_max, made.log_level)
