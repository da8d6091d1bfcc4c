"""Tests of the fields of a host that a sweep reports."""

from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.model import Adjustments
from eventwriter.tables.sweep import HostState, available_ports, host_state, ports


def read(record: dict[str, Any], adjustments: Adjustments | None = None) -> HostState:
    return host_state(record, adjustments or Adjustments())


@pytest.mark.parametrize(
    "record",
    [
        {"host_ip": "10.0.0.1", "ip": "no"},
        {"hostIp": "10.0.0.1"},
        {"host_ip": "", "ip": "10.0.0.1"},
        {"host_ip": " ", "ip": "10.0.0.1"},
    ],
)
def test_host_by_any_of_its_names(record: dict[str, Any]) -> None:
    """The address is the first of its names that is not blank."""
    assert "10.0.0.1" == read(record).host_ip


@pytest.mark.parametrize("record", [{}, {"host_ip": ""}, {"host_ip": " "}, {"host_ip": None, "hostname": "h"}])
def test_no_host_is_poison(record: dict[str, Any]) -> None:
    """A record without a host makes a dead letter."""
    with pytest.raises(Poison, match="missing_field: host_ip"):
        read(record)


@pytest.mark.parametrize(
    ("given", "value"), [(False, False), (0, False), ("false", False), (True, True), (None, None), ("x", None)]
)
def test_availability_by_presence(given: Any, value: bool | None) -> None:
    """False is a value; a missing or unreadable value is NULL."""
    assert value is read({"ip": "10.0.0.1", "icmp_available": given}).icmp_available


def test_empty_text_is_absent() -> None:
    """Blank text is NULL."""
    one = read({"ip": "10.0.0.1", "hostname": "", "mac": "", "networkCidr": ""})

    assert (None, None, None) == (one.hostname, one.mac, one.network_cidr)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([22, "80", 443.0, 0, 65535], [22, 80, 443, 0, 65535]),
        ([70000, -1, True, None, "x", [1], {"a": 1}, 1.5, 10**40], []),
        (22, [22]),
        (None, []),
        ({}, []),
    ],
)
def test_ports_of_a_list(given: Any, found: list[int]) -> None:
    """Ports are integers from 0 to 65535, also as text; other elements are omitted."""
    assert found == ports(given)


def test_available_ports_of_scan_results() -> None:
    """A port is open if its result says so."""
    results = [{"port": 22, "available": True}, {"port": 23, "available": False}, {"port": 24}, {"available": True}, 7]

    assert [22] == available_ports(results)
    assert [] == available_ports({"port": 22, "available": True})


def test_value_that_no_column_takes_remains() -> None:
    """A value that its column cannot hold is counted and remains, as do unknown fields and other names."""
    adjustments = Adjustments()
    record = {
        "host_ip": "10.0.0.1", "ip": "10.0.0.2", "icmp_available": "x", "icmp_response_time_ns": 2**64,
        "icmp_packet_loss": "none", "last_sweep_time": "soon", "execution_id": "e",
    }  # fmt: skip

    state = read(record, adjustments)

    assert {key: value for key, value in record.items() if key != "host_ip"} == state.rest
    assert dict.fromkeys(("icmp_available", "icmp_packet_loss", "last_sweep_time"), 1) == adjustments.nulled_by_column
    assert {"icmp_response_time_ns": 1} == adjustments.clamped_by_column
