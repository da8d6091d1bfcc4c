"""Sweeps as network activity."""

import json
from typing import Any

import pytest
from rows_in_tables import filled, rows_in

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
        (False, 6, (1, "Informational")),
        (None, 6, (1, "Informational")),
    ],
)
def test_severity_by_open_ports(available: bool | None, count: int, severity: tuple[int, str]) -> None:
    """A host that answers with more than five ports open is of low severity."""
    row = row_of(icmp_available=available, tcp_ports_open=list(range(count)))

    assert severity == (row["severity_id"], row["severity"])


@pytest.mark.parametrize(
    ("available", "state"),
    [
        (True, (1, "Success", "ICMP", 1, True, "Network scan: 10.0.0.1 is reachable")),
        (False, (2, "Failure", None, None, False, "Network scan: 10.0.0.1 is unreachable")),
        (None, (2, "Failure", None, None, None, "Network scan: 10.0.0.1 is unreachable")),
    ],
)
def test_status_by_icmp(available: bool | None, state: tuple[Any, ...]) -> None:
    """An answer is success over ICMP; anything else is failure over nothing."""
    row = row_of(icmp_available=available)

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
    """MAC address, host name and address are observed in this order; the endpoint has the same."""
    row = row_of(**names)

    assert observed == [(one["name"], one["type_id"]) for one in row["observables"]]
    assert {"ip": "10.0.0.1", **names} == row["src_endpoint"]
