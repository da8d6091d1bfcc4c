"""
A flow that comes as an OCSF Network Activity object: read as a flow like any other.

ServiceRadar's rule engine published such objects for some time: endpoints, traffic and
connection are objects, the time is in milliseconds.
"""

from typing import Any

from eventwriter.formats.fields import find, json_value, names
from eventwriter.model import Record

_SAMPLER = "sampler_address"
_CLASS, _ENDPOINTS = names("class_uid"), (*names("src_endpoint"), *names("dst_endpoint"))
_CAMEL = {
    names(key)[1]: key
    for key in (
        "class_uid", "category_uid", "type_uid", "activity_id", "activity_name", "severity_id", "action_id",
        "status_id", "status_code", "status_detail", "src_endpoint", "dst_endpoint", "connection_info", "start_time",
        "end_time", "raw_data", "gateway_id", "agent_id",
    )
}  # fmt: skip
"""camelCase → snake_case."""


def is_ocsf(record: Record) -> bool:
    """Say whether a record names an OCSF class or has an endpoint that is an object."""
    if find(record, _CLASS) is not None:
        return True
    return any(as_object(record.get(key)) for key in _ENDPOINTS)


def snake_cased(record: Record) -> Record:
    """Return an OCSF object whose own keys are in snake_case; a key that is there in both keeps what it has so."""
    if _CAMEL.keys().isdisjoint(record):
        return record
    renamed = {_CAMEL.get(key, key): value for key, value in record.items() if value is not None}
    return renamed | {key: value for key, value in record.items() if key not in _CAMEL and value is not None}


def as_object(value: Any) -> Record:
    """Return an object, also of its JSON text; an empty one for anything else."""
    value = json_value(value)
    return value if isinstance(value, dict) else {}


def sampler(record: Record) -> Any:
    """Return the exporter's address: of the connection, else of the observable of that name, whose value it is."""
    given = find(as_object(record.get("connection_info")), names(_SAMPLER))
    if given is not None:
        return given
    observables = json_value(record.get("observables"))
    for one in observables if isinstance(observables, list) else ():
        if isinstance(one, dict) and one.get("name") == _SAMPLER and one.get("value") is not None:
            return one["value"]
    return None


def as_flow(record: Record) -> Record:
    """
    Return the object's facts under the keys of a flow, those that are there.

    The object itself is under `ocsf`, so that nothing of it is lost where there are
    columns for a flow's facts only.
    """
    given, record = record, snake_cased(record)
    connection, traffic = as_object(record.get("connection_info")), as_object(record.get("traffic"))
    device = as_object(record.get("device"))
    found: Record = {
        "timestamp": record.get("time"),
        "gateway_id": record.get("gateway_id"),
        "agent_id": record.get("agent_id"),
        "device_id": find(device, ("uid", "name")),
        "flow_direction": connection.get("direction"),
        "protocol": find(connection, (*names("protocol_num"), *names("protocol_name"))),
        "protocol_name": find(connection, names("protocol_name")),
        "octets": traffic.get("bytes"),
        "sampler_address": sampler(record),
        "partition": record.get("partition"),
        "start_time": record.get("start_time"),
        "end_time": record.get("end_time"),
        **{key: find(connection, names(key)) for key in ("tcp_flags", "input_snmp", "output_snmp")},
        **{key: find(traffic, names(key)) for key in ("packets", "bytes_in", "bytes_out", "packets_in", "packets_out")},
        **_endpoint("src", as_object(record.get("src_endpoint"))),
        **_endpoint("dst", as_object(record.get("dst_endpoint"))),
        "ocsf": given,
    }
    return {key: value for key, value in found.items() if value is not None}


def _endpoint(side: str, endpoint: Record) -> Record:
    return {
        f"{side}_addr": endpoint.get("ip"),
        f"{side}_port": endpoint.get("port"),
        f"{side}_mac": endpoint.get("mac"),
        f"{side}_as": as_object(find(endpoint, names("autonomous_system"))).get("number"),
    }
