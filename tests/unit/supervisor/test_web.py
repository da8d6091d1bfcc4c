"""The web child in the supervisor."""

from typing import Any

import pytest
from snapshots import STARTED_S, heartbeat, slot

from eventwriter.config.settings import MiB, Settings
from eventwriter.supervisor.desired_state import DesiredState, worker_state
from eventwriter.supervisor.web import web_state, web_to_dict


def desired(**settings: Any) -> DesiredState:
    """Return the desired state of the web child."""
    return web_state(Settings.model_validate(settings), lambda name, link: 0)


def test_web_child_runs_only_with_an_address() -> None:
    """Without `http.listen` there is no web child."""
    assert {} == desired().fingerprints
    assert ["web"] == list(desired(http={"listen": ":1"}).fingerprints)


@pytest.mark.parametrize(
    ("changes", "replaced"),
    [
        ({}, False),
        ({"http": {"listen": ":2"}}, True),
        ({"http": {"listen": ":1", "token_file": "t"}}, True),
        ({"nats": {"password": "other"}}, False),
        ({"supervisor": {"hang_max": 99}}, False),
        ({"log": {"level": "debug"}}, False),
    ],
    ids=str,
)
def test_only_changes_of_http_replace_the_web_child(changes: dict[str, Any], replaced: bool) -> None:
    """A reload replaces the web child only if section `http` has changed."""
    before, after = desired(http={"listen": ":1"}), desired(**{"http": {"listen": ":1"}, **changes})

    assert replaced == (before.fingerprints != after.fingerprints)


def test_change_of_http_replaces_no_worker() -> None:
    """Section `http` does not affect the fingerprints of workers."""
    streams = [{"name": "A", "stream_name": "s", "subjects": ["a"], "kind": "logs"}]
    without, with_address = (
        worker_state(Settings.model_validate({"streams": streams, "http": http}), lambda name, link: 0)
        for http in ({}, {"listen": ":1"})
    )

    assert without.fingerprints == with_address.fingerprints


def test_limits_are_adapted_to_the_web_child() -> None:
    """The web child has a worker's limits, except for a higher minimum of memory and a shorter drain."""
    limits = desired(supervisor={"hang_max": 7, "drain_max": 60, "worker_memory_bytes_max": 64 * MiB}).limits

    assert (7.0, 5.0, 256 * MiB) == (limits.hang_max_s, limits.drain_max_s, limits.worker_memory_bytes_max)


def test_snapshot_has_the_reason_for_not_serving() -> None:
    """The snapshot contains the reason why the web child is not serving, or how the last process ended."""
    fields = heartbeat(state="waiting", reason="the port is taken", listening=False, url="http://h:1/", clients=0)

    waiting = web_to_dict(STARTED_S, slot("web", STARTED_S, fields))
    failed = web_to_dict(STARTED_S, slot("web", STARTED_S, {}))

    assert ("the port is taken", False, "http://h:1/") == (waiting["reason"], waiting["listening"], waiting["url"])
    assert ("failed", "exit code 3", None, 9.0) == (
        failed["state"],
        failed["reason"],
        failed["pid"],
        failed["retry_in_s"],
    )
