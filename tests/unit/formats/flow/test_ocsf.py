"""Flows that come as OCSF objects."""

from typing import Any

import pytest

from eventwriter.formats.flow.ocsf import as_flow, is_ocsf, sampler


@pytest.mark.parametrize(
    ("record", "is_one"),
    [
        ({"class_uid": 4001}, True),
        ({"src_endpoint": {"ip": "10.0.0.1"}}, True),
        ({"dst_endpoint": '{"ip":"10.0.0.1"}'}, True),
        ({"dstEndpoint": {"ip": "10.0.0.1"}}, True),
        ({"class_uid": None, "sourceAddress": "10.0.0.1"}, False),
        ({"src_endpoint": "10.0.0.1"}, False),
        ({}, False),
    ],
)
def test_ocsf_is_known_by_class_or_endpoint(record: dict[str, Any], is_one: bool) -> None:
    """A class or an endpoint that is an object makes an OCSF object."""
    assert is_one is is_ocsf(record)


@pytest.mark.parametrize(
    ("record", "address"),
    [
        (
            {"connection_info": {"sampler_address": "a"}, "observables": [{"name": "sampler_address", "value": "b"}]},
            "a",
        ),
        ({"observables": [7, {"name": "x", "value": "c"}, {"name": "sampler_address", "value": "b"}]}, "b"),
        ({"observables": "nonsense"}, None),
        ({}, None),
    ],
)
def test_sampler_is_of_the_connection_or_an_observable(record: dict[str, Any], address: str | None) -> None:
    """The exporter's address is the connection's, else that of the observable with its name."""
    assert address == sampler(record)


def test_camel_case_is_read() -> None:
    """Names in camelCase, also within, are the same names."""
    record = {
        "classUid": 4001,
        "srcEndpoint": {"ip": "10.0.0.1", "autonomousSystem": {"number": 7}},
        "traffic": {"bytesIn": 3},
    }

    assert {"src_addr": "10.0.0.1", "src_as": 7, "bytes_in": 3, "ocsf": record} == as_flow(record)


def test_facts_are_under_the_keys_of_a_flow() -> None:
    """What an OCSF object says of a flow is found where a flow has it, and the object is kept."""
    record = {
        "time": 1,
        "src_endpoint": {"ip": "10.0.0.1", "port": 5, "mac": "m", "autonomous_system": {"number": 64512}},
        "dst_endpoint": {"ip": "10.0.0.2", "autonomous_system": None},
        "connection_info": {"protocol_name": "udp", "tcp_flags": 0, "direction": "Inbound"},
        "traffic": {"bytes": 0, "packets_in": 2},
        "device": {"name": "r1"},
    }

    assert {
        "timestamp": 1,
        "device_id": "r1",
        "flow_direction": "Inbound",
        "protocol": "udp",
        "protocol_name": "udp",
        "octets": 0,
        "tcp_flags": 0,
        "packets_in": 2,
        "src_addr": "10.0.0.1",
        "src_port": 5,
        "src_mac": "m",
        "src_as": 64512,
        "dst_addr": "10.0.0.2",
        "ocsf": record,
    } == as_flow(record)
