"""Tests of flows in both tables called `netflow_metrics`."""

import json
from typing import Any

from table_rows import filled, rows_in

from eventwriter.model import Adjustments
from eventwriter.tables.netflow.metrics import NETFLOW_METRICS, NETFLOW_METRICS_INET
from eventwriter.tables.table import IGNORED


def row_of(adjustments: Adjustments | None = None, **record: Any) -> dict[str, Any]:
    payload = json.dumps({"src_addr": "10.0.0.1", **record}).encode()
    (row,) = rows_in(NETFLOW_METRICS_INET, "netflow", payload, "flows.x", adjustments)
    return filled(NETFLOW_METRICS_INET, row)


def test_absent_port_and_protocol_are_zero() -> None:
    """An absent port or protocol is 0, because the key does not allow NULL."""
    row = row_of()

    assert (0, 0, 0, "default") == tuple(row[k] for k in ("src_port", "dst_port", "protocol", "partition"))


def test_lists_have_columns() -> None:
    """AS path and communities are stored as integers, and not in the metadata too."""
    row = row_of(as_path=[64500, "64501"], bgp_communities="[100]", gateway_id="g")

    assert ([64500, 64501], [100]) == (row["as_path"], row["bgp_communities"])
    assert {"gateway_id": "g"} == row["metadata"]


def test_list_that_does_not_fit_is_kept() -> None:
    """Elements out of range are clamped, unreadable ones omitted; both are counted, and the list is in the metadata."""
    adjustments = Adjustments()

    row = row_of(adjustments, bgp_communities=[65000 << 16 | 100, 7, "x"])

    assert [2_147_483_647, 7] == row["bgp_communities"]
    assert {"bgp_communities": 1} == adjustments.clamped_by_column == adjustments.nulled_by_column
    assert {"bgp_communities": [65000 << 16 | 100, 7, "x"]} == row["metadata"]


def test_partition_is_a_column() -> None:
    """The partition is in its column and not in the metadata."""
    row = row_of(partition="lab", n=1)

    assert ("lab", {"n": 1}) == (row["partition"], row["metadata"])


def test_secret_in_the_partition_is_removed() -> None:
    """JSON instead of the name of a partition is stored without its secrets."""
    assert '{"a":1}' == row_of(partition='{"a":1,"community":"s3cret"}')["partition"]


def test_flow_without_addresses_is_ignored_where_the_key_needs_them() -> None:
    """A layer-2 flow is ignored and counted in the table whose key needs addresses, and a row in the other one."""
    adjustments = Adjustments()
    payload = b'{"etype":2054,"src_mac":"00:00:5e:00:53:01","octets":64}'

    assert [IGNORED] == rows_in(NETFLOW_METRICS_INET, "netflow", payload, "flows.x", adjustments)
    assert 1 == adjustments.records_ignored
    [row] = rows_in(NETFLOW_METRICS, "netflow", payload, "flows.x")
    assert {"etype": 2054, "src_mac": "00:00:5e:00:53:01"} == filled(NETFLOW_METRICS, row)["metadata"]


def test_integer_out_of_range_is_clamped_counted_and_kept() -> None:
    """An integer beyond the range of its column is clamped and counted, and its original is in the metadata."""
    adjustments = Adjustments()
    payload = b'{"src_addr":"10.0.0.1","in_if":4294967295,"octets":18446744073709551615,"src_port":-1}'

    [row] = rows_in(NETFLOW_METRICS, "netflow", payload, "flows.x", adjustments)

    stored = filled(NETFLOW_METRICS, row)
    assert (2**31 - 1, 2**63 - 1, -1) == (stored["input_snmp"], stored["octets"], stored["src_port"])
    assert {"input_snmp": 4_294_967_295, "octets": 2**64 - 1} == stored["metadata"]
    assert {"input_snmp": 1, "octets": 1} == adjustments.clamped_by_column
