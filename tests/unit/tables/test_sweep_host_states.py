"""Tests of the rows of `sweep_host_states`."""

import json
from typing import Any

from table_rows import filled, rows_in

from eventwriter.model import Adjustments
from eventwriter.tables.sweep_host_states import SWEEP_HOST_STATES


def row_of(record: dict[str, Any], adjustments: Adjustments | None = None) -> dict[str, Any]:
    (row,) = rows_in(SWEEP_HOST_STATES, "sweep", json.dumps(record).encode(), "sweep.x", adjustments)
    return filled(SWEEP_HOST_STATES, row)


def test_host_alone_gets_the_defaults() -> None:
    """Gateway and agent are unknown, the partition is the default, and both times are the JetStream timestamp."""
    adjustments = Adjustments()

    assert {
        "host_ip": "10.0.0.1",
        "gateway_id": "unknown",
        "agent_id": "unknown",
        "partition": "default",
        "last_sweep_time": "2025-01-01T02:53:20.123456Z",
        "first_seen": "2025-01-01T02:53:20.123456Z",
    } == row_of({"ip": "10.0.0.1"}, adjustments)
    assert 2 == adjustments.timestamp_defaulted


def test_empty_lists_and_objects_are_null() -> None:
    """Empty lists, objects and texts are NULL, also in JSON text."""
    record = {"tcp_ports_open": [], "port_scan_results": "[]", "metadata": {}, "tcp_ports_scanned": ""}

    assert set() == set(row_of({"ip": "10.0.0.1", **record})) & set(record)


def test_unknown_keys_go_to_metadata() -> None:
    """Fields without a column are added to the metadata, which keeps its own."""
    record = {"ip": "10.0.0.1", "config_hash": "c", "site": "x", "metadata": '{"site":"lab"}'}

    assert {"config_hash": "c", "payload.site": "x", "site": "lab"} == row_of(record)["metadata"]
    assert {"config_hash": "c", "metadata": "odd"} == row_of({**record, "metadata": "odd", "site": None})["metadata"]


def test_unreadable_times_are_in_the_metadata() -> None:
    """Times that are unreadable are counted and stored in the metadata."""
    adjustments = Adjustments()

    row = row_of({"ip": "10.0.0.1", "last_sweep_time": "soon", "first_seen": "0001-01-01T00:00:00Z"}, adjustments)

    assert {"last_sweep_time": "soon", "first_seen": "0001-01-01T00:00:00Z"} == row["metadata"]
    assert {"last_sweep_time": 1, "first_seen": 1} == adjustments.nulled_by_column
