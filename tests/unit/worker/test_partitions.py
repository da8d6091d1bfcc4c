"""Which tables a worker maintains, how often, and which warnings it logs."""

import logging
from typing import Any

import pytest

from eventwriter.config.settings import PostgresSettings, Settings, StreamSettings
from eventwriter.kinds.registry import kind
from eventwriter.postgres.partitions.executor import Report
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.partitions import PartitionMaintenance, tasks


def stream(**keys: Any) -> StreamSettings:
    entry = {"name": "X", "stream_name": "events", "subjects": ("x.>",), "kind": "netflow", **keys}
    return StreamSettings.model_validate(entry)


def maintenance(**storage: Any) -> PartitionMaintenance:
    settings = Settings.model_validate({"storage": storage})
    return PartitionMaintenance(settings, stream(), kind("netflow"), PostgresSession(PostgresSettings()))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param({}, [(None, "ocsf_network_activity")], id="the kind's table"),
        pytest.param(
            {"tables": ("ocsf_network_activity", "netflow_metrics"), "schema": "platform"},
            [("platform", "ocsf_network_activity"), ("platform", "netflow_metrics")],
            id="named tables in a schema",
        ),
        pytest.param({"tables": ("flows.netflow_metrics",)}, [("flows", "netflow_metrics")], id="schema in the name"),
        pytest.param({"kind": "json", "tables": ("readings",)}, [], id="a table of another program"),
    ],
)
def test_worker_maintains_partitioned_tables_of_its_stream(
    entry: dict[str, Any], expected: list[tuple[str | None, str]]
) -> None:
    """A worker maintains the tables of its entry that may be partitioned, in the entry's schema."""
    settings = stream(**entry)
    found = tasks(Settings(), settings, kind(settings.kind))

    assert expected == [(task.schema, name) for task in found for name in task.columns]


def test_warning_is_logged_when_it_appears(caplog: pytest.LogCaptureFixture) -> None:
    """A warning is logged once, and again only after a run without it; each heartbeat has it."""
    maintaining = maintenance()
    counted = []
    with caplog.at_level(logging.DEBUG, "eventwriter.worker.partitions"):
        for texts in (["full"], ["full"], [], ["full"]):
            warnings: list[str] = []
            for text in texts:
                maintaining.report(warnings, Report("default_rows", text, rows=3, warns=True))
            maintaining.finish(warnings)
            counted.append((len(caplog.records), maintaining.state.warnings))

    assert [(1, ["full"]), (1, ["full"]), (1, []), (2, ["full"])] == counted


def test_blocked_step_shortens_interval() -> None:
    """After a blocked step the next run follows within a minute."""
    hourly, often = maintenance(every="1h"), maintenance(every="5s")
    assert (3600.0, 5.0) == (hourly.interval_s(), often.interval_s())

    hourly.state.blocked = often.state.blocked = True

    assert (60.0, 5.0) == (hourly.interval_s(), often.interval_s())


def test_heartbeat_has_limited_number_of_warnings() -> None:
    """The heartbeat has the first warnings only; the log has all of them."""
    maintaining = maintenance(maintain=True)
    maintaining.finish([f"warning {n}" for n in range(40)])

    field = maintaining.state.to_dict()

    assert [f"warning {n}" for n in range(5)] == field["warnings"]
    assert field["maintains"]
