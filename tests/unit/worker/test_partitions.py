"""What a worker looks after, how often, and what it says."""

import logging
from typing import Any

import pytest

from eventwriter.config.settings import PostgresSettings, Settings, StreamSettings
from eventwriter.kinds.registry import kind
from eventwriter.postgres.partitions.steps import Note
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.partitions import PartitionMaintenance, tasks


def stream(**keys: Any) -> StreamSettings:
    given = {"name": "X", "stream_name": "events", "subjects": ("x.>",), "kind": "netflow", **keys}
    return StreamSettings.model_validate(given)


def care(**section: Any) -> PartitionMaintenance:
    settings = Settings.model_validate({"storage": section})
    return PartitionMaintenance(settings, stream(), kind("netflow"), PostgresSession(PostgresSettings()))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param({}, [(None, "ocsf_network_activity")], id="the kind's"),
        pytest.param(
            {"tables": ("ocsf_network_activity", "netflow_metrics"), "schema": "platform"},
            [("platform", "ocsf_network_activity"), ("platform", "netflow_metrics")],
            id="named, in a schema",
        ),
        pytest.param({"tables": ("flows.netflow_metrics",)}, [("flows", "netflow_metrics")], id="schema in the name"),
        pytest.param({"kind": "json", "tables": ("readings",)}, [], id="somebody's own"),
    ],
)
def test_worker_looks_after_its_streams_tables(entry: dict[str, Any], expected: list[tuple[str | None, str]]) -> None:
    """Those of its entry that are cut by time, where the entry has them."""
    found = stream(**entry)

    assert expected == [(t.schema, name) for t in tasks(Settings(), found, kind(found.kind)) for name in t.columns]


def test_warning_is_logged_once_and_again_when_it_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """The same sentence at every look would be noise; the heartbeat has it each time."""
    one = care()
    counted = []
    with caplog.at_level(logging.DEBUG, "eventwriter.worker.partitions"):
        for texts in (["full"], ["full"], [], ["full"]):
            warnings: list[str] = []
            for text in texts:
                one.say(Note(text, warns=True, rows=3), warnings)
            one.looked(warnings)
            counted.append((len(caplog.records), one.state.warnings))

    assert [(1, ["full"]), (1, ["full"]), (1, []), (2, ["full"])] == counted


def test_next_look_comes_soon_where_somebody_was_in_the_way() -> None:
    """A minute, or less where looks are closer anyway."""
    hourly, often = care(every="1h"), care(every="5s")
    assert (3600.0, 5.0) == (hourly.pause_s(), often.pause_s())

    hourly.state.later = often.state.later = True

    assert (60.0, 5.0) == (hourly.pause_s(), often.pause_s())


def test_heartbeat_carries_a_few_warnings() -> None:
    """A packet has a limit; the log has all of them."""
    one = care(maintain=True)
    one.looked([f"warning {n}" for n in range(40)])

    picture = one.state.picture()

    assert [f"warning {n}" for n in range(5)] == picture["warnings"]
    assert picture["maintains"]
