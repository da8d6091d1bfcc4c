"""Tests of hosts as network activity."""

import json
from typing import Any

import pytest
from table_rows import filled, rows_in

from eventwriter.tables.ocsf.network_activity_from_sweep import OCSF_NETWORK_ACTIVITY_FROM_SWEEP


def row_of(**record: Any) -> dict[str, Any]:
    payload = json.dumps({"ip": "10.0.0.1", **record}).encode()
    (row,) = rows_in(OCSF_NETWORK_ACTIVITY_FROM_SWEEP, "sweep", payload, "sweep.x")
    return filled(OCSF_NETWORK_ACTIVITY_FROM_SWEEP, row)


@pytest.mark.parametrize(
    ("available", "count", "severity"),
    [
        (True, 5, (1, "Informational")),
        (True, 6, (2, "Low")),
        (False, 6, (2, "Low")),
        (None, 6, (2, "Low")),
        (None, 0, (1, "Informational")),
    ],
)
def test_severity_by_open_ports(available: bool | None, count: int, severity: tuple[int, str]) -> None:
    """A reachable host with more than five open ports has severity Low."""
    row = row_of(icmp_available=available, tcp_ports_open=list(range(count)))

    assert severity == (row["severity_id"], row["severity"])


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"icmp_available": True}, (1, "Success", "ICMP", 1, True, "Network scan: 10.0.0.1 is reachable")),
        ({"icmp_available": False}, (2, "Failure", None, None, False, "Network scan: 10.0.0.1 is unreachable")),
        ({}, (2, "Failure", None, None, None, "Network scan: 10.0.0.1 is unreachable")),
        (
            {"icmp_available": False, "tcp_ports_open": [22]},
            (1, "Success", "TCP", 6, False, "Network scan: 10.0.0.1 is reachable"),
        ),
        (
            {"port_scan_results": [{"port": 22, "available": True}]},
            (1, "Success", "TCP", 6, None, "Network scan: 10.0.0.1 is reachable"),
        ),
    ],
)
def test_status_by_icmp_and_open_ports(fields: dict[str, Any], state: tuple[Any, ...]) -> None:
    """A host is reachable if it answers by ICMP or has an open port."""
    row = row_of(**fields)

    assert state == tuple(
        row.get(k) for k in ("status_id", "status", "protocol_name", "protocol_num", "icmp_available", "message")
    )


@pytest.mark.parametrize(
    ("names", "observed"),
    [
        ({"hostname": "h", "mac": "m"}, [("m", 3), ("h", 1), ("10.0.0.1", 2)]),
        ({"hostname": "h"}, [("h", 1), ("10.0.0.1", 2)]),
        ({"mac": "m"}, [("m", 3), ("10.0.0.1", 2)]),
        ({}, [("10.0.0.1", 2)]),
    ],
)
def test_observables_and_endpoint(names: dict[str, str], observed: list[tuple[str, int]]) -> None:
    """Observables are MAC address, host name and address, in this order; the endpoint has the same values."""
    row = row_of(**names)

    assert observed == [(one["name"], one["type_id"]) for one in row["observables"]]
    assert {"ip": "10.0.0.1", **names} == row["src_endpoint"]


def test_element_that_is_no_port_is_kept() -> None:
    """A list with an element that is not a port is unmapped as a whole, besides its ports in the column."""
    row = row_of(tcp_ports_open=[22, "https"], tcp_ports_scanned="22-80", last_sweep_time="soon")

    assert ([22], []) == (row["ports_open"], row["ports_scanned"])
    assert {"tcp_ports_open": [22, "https"], "tcp_ports_scanned": "22-80", "last_sweep_time": "soon"} == row["unmapped"]
