"""Flows in the table whose addresses are inet."""

import json
from typing import Any

from rows_in_tables import filled, rows_in

from eventwriter.model import Adjustments
from eventwriter.tables.netflow.metrics import NETFLOW_METRICS_INET


def row_of(adjustments: Adjustments | None = None, **record: Any) -> dict[str, Any]:
    payload = json.dumps({"src_addr": "10.0.0.1", **record}).encode()
    (row,) = rows_in(NETFLOW_METRICS_INET, "netflow", payload, "flows.x", adjustments)
    return filled(NETFLOW_METRICS_INET, row)


def test_absent_port_and_protocol_are_zero() -> None:
    """The key allows no NULL, so what a flow does not say is 0."""
    row = row_of()

    assert (0, 0, 0, "default") == tuple(row[k] for k in ("src_port", "dst_port", "protocol", "partition"))


def test_lists_have_columns() -> None:
    """AS path and communities are integers there, and not in the metadata again."""
    row = row_of(as_path=[64500, "64501"], bgp_communities="[100]", gateway_id="g")

    assert ([64500, 64501], [100]) == (row["as_path"], row["bgp_communities"])
    assert {"gateway_id": "g", "as_path": [64500, "64501"]} == row["metadata"]


def test_list_that_does_not_fit_is_kept() -> None:
    """Numbers beyond the column's range are cut and counted, and the list as it came stays in the metadata."""
    adjustments = Adjustments()

    row = row_of(adjustments, bgp_communities=[65000 << 16 | 100, 7, "x"])

    assert ([2_147_483_647, 7], 1) == (row["bgp_communities"], adjustments.clamped)
    assert {"bgp_communities": [65000 << 16 | 100, 7, "x"]} == row["metadata"]


def test_partition_is_a_column() -> None:
    """The partition stands in its column and not in the metadata."""
    row = row_of(partition="lab", n=1)

    assert ("lab", {"n": 1}) == (row["partition"], row["metadata"])


def test_secret_in_the_partition_is_left_out() -> None:
    """JSON that stands for a partition's name is written without its secrets."""
    assert '{"a":1}' == row_of(partition='{"a":1,"community":"s3cret"}')["partition"]
