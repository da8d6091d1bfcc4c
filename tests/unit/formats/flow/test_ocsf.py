"""Tests of flows published as OCSF objects."""

from typing import Any

import pytest

from eventwriter.formats.flow.ocsf import as_flow, is_ocsf, sampler


@pytest.mark.parametrize(
    ("record", "expected"),
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
def test_ocsf_is_recognized_by_class_or_endpoint(record: dict[str, Any], expected: bool) -> None:
    """A record with an OCSF class or an endpoint object is an OCSF object."""
    assert expected is is_ocsf(record)


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
def test_sampler_is_found_in_connection_or_observables(record: dict[str, Any], address: str | None) -> None:
    """The exporter's address is read from the connection, else from the observable with that name."""
    assert address == sampler(record)


def test_camel_case_keys_are_read() -> None:
    """Keys in camelCase are read, also in nested objects."""
    record = {
        "classUid": 4001,
        "srcEndpoint": {"ip": "10.0.0.1", "autonomousSystem": {"number": 7}},
        "traffic": {"bytesIn": 3},
    }

    assert {"src_addr": "10.0.0.1", "src_as": 7, "bytes_in": 3, "ocsf": record} == as_flow(record)


def test_ocsf_fields_have_the_keys_of_a_flow() -> None:
    """The fields of an OCSF object are returned under the keys of a flow, together with the object."""
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
