"""What a sweep says of a host."""

from typing import Any

import pytest

from eventwriter.errors import Poison
from eventwriter.model import Adjustments
from eventwriter.tables.sweep import available_ports, ports, sweep_reader
from eventwriter.tables.values import redacted_text

read = sweep_reader(Adjustments(), redacted_text(frozenset({"community"})))


@pytest.mark.parametrize(
    "record",
    [{"host_ip": "10.0.0.1", "ip": "no"}, {"hostIp": "10.0.0.1"}, {"host_ip": "", "ip": "10.0.0.1"}],
)
def test_host_by_any_of_its_names(record: dict[str, Any]) -> None:
    """The first name that is there and not empty gives the address."""
    assert "10.0.0.1" == read(record).host_ip


@pytest.mark.parametrize("record", [{}, {"host_ip": ""}, {"host_ip": None, "hostname": "h"}])
def test_no_host_is_poison(record: dict[str, Any]) -> None:
    """A state of no host is a dead letter."""
    with pytest.raises(Poison, match="missing_field: host_ip"):
        read(record)


@pytest.mark.parametrize(
    ("given", "value"), [(False, False), (0, False), ("false", False), (True, True), (None, None), ("x", None)]
)
def test_availability_by_presence(given: Any, value: bool | None) -> None:
    """False is a value; absence and junk are NULL."""
    assert value is read({"ip": "10.0.0.1", "icmp_available": given}).icmp_available


def test_empty_text_is_absent() -> None:
    """Empty names are NULL."""
    one = read({"ip": "10.0.0.1", "hostname": "", "mac": "", "networkCidr": ""})

    assert (None, None, None) == (one.hostname, one.mac, one.network_cidr)


def test_secret_in_an_odd_field_is_left_out() -> None:
    """Where an object, or its text, stands for a name, its secrets are not written."""
    one = read({"ip": "10.0.0.1", "hostname": '{"community":"s3cret","a":1}', "mac": {"community": "s3cret"}})

    assert ('{"a":1}', "{}") == (one.hostname, one.mac)


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
def test_ports_without_junk(given: Any, found: list[int]) -> None:
    """Ports are whole numbers from 0 to 65535, also as text; all else is left out."""
    assert found == ports(given)


def test_available_ports_of_scan_results() -> None:
    """Only results that say so are available, and only with a port."""
    results = [{"port": 22, "available": True}, {"port": 23, "available": False}, {"port": 24}, {"available": True}, 7]

    assert [22] == available_ports(results)
    assert [] == available_ports({"port": 22, "available": True})
