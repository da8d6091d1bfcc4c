"""The web child's place: what is wanted there, and what is told of it."""

from typing import Any

import pytest
from snapshots import STARTED_S, heartbeat, slot

from eventwriter.config.settings import MiB, Settings
from eventwriter.model import SlotName
from eventwriter.supervisor.desired_state import DesiredState, fleet_of
from eventwriter.supervisor.processes import process_name
from eventwriter.supervisor.web import WEB, picture, web_fleet


def fleet(**settings: Any) -> DesiredState:
    """Return what is to run beside the workers."""
    return web_fleet(Settings.model_validate(settings), lambda name, link: 0)


def test_without_an_address_nothing_is_wanted() -> None:
    """The web child is off unless it is told where to listen."""
    assert {} == fleet().fingerprints
    assert [WEB] == list(fleet(http={"listen": ":1"}).fingerprints)


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
def test_only_its_own_settings_replace_it(changes: dict[str, Any], replaced: bool) -> None:
    """A reload replaces the web child when what it serves by has changed, and for nothing else."""
    before, after = fleet(http={"listen": ":1"}), fleet(**{"http": {"listen": ":1"}, **changes})

    assert replaced == (before.fingerprints != after.fingerprints)


def test_its_settings_replace_no_worker() -> None:
    """Where the web child listens is no worker's business."""
    streams = [{"name": "A", "stream_name": "s", "subjects": ["a"], "kind": "logs"}]
    one, other = (
        fleet_of(Settings.model_validate({"streams": streams, "http": http}), lambda name, link: 0)
        for http in ({}, {"listen": ":1"})
    )

    assert one.fingerprints == other.fingerprints


def test_its_limits_are_a_workers_and_its_own() -> None:
    """It is watched like a worker, has at least the memory that it needs, and is not waited for when it drains."""
    limits = fleet(supervisor={"hang_max": 7, "drain_max": 60, "worker_memory_bytes_max": 64 * MiB}).limits

    assert (7.0, 5.0, 256 * MiB) == (limits.hang_max_s, limits.drain_max_s, limits.worker_memory_bytes_max)


def test_its_name_is_no_slots() -> None:
    """Log and process list call it web; a stream of that name is another thing."""
    assert ("web", b"ew:web") == (str(WEB), process_name(WEB))
    assert ("web/0", b"ew:web/0") == (str(SlotName("web", 0)), process_name(SlotName("web", 0)))


def test_it_is_drawn_with_what_keeps_it_from_serving() -> None:
    """The snapshot says whether it serves, where, and else why not; without a process, how the last one ended."""
    beat = heartbeat(state="waiting", reason="the port is taken", listening=False, url="http://h:1/", clients=0)

    waiting = picture(STARTED_S, slot(WEB, STARTED_S, beat))
    gone = picture(STARTED_S, slot(WEB, STARTED_S, {}))

    assert ("the port is taken", False, "http://h:1/") == (waiting["reason"], waiting["listening"], waiting["url"])
    assert ("failed", "exit code 3", None, 9.0) == (gone["state"], gone["reason"], gone["pid"], gone["retry_in_s"])
