"""
Flows that are published as OCSF Network Activity objects, converted to the keys of other flows.

ServiceRadar's rule engine published such objects from February to March 2026: endpoints, traffic
and connection are objects, the time is in milliseconds.
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
    """Return whether a record names an OCSF class or has an endpoint that is an object."""
    if find(record, _CLASS) is not None:
        return True
    return any(as_object(record.get(key)) for key in _ENDPOINTS)


def snake_cased(record: Record) -> Record:
    """Return an OCSF object with top-level keys in snake_case; a key in snake_case wins over its camelCase form."""
    if _CAMEL.keys().isdisjoint(record):
        return record
    renamed = {_CAMEL.get(key, key): value for key, value in record.items() if value is not None}
    return renamed | {key: value for key, value in record.items() if key not in _CAMEL and value is not None}


def as_object(value: Any) -> Record:
    """Return an object, parsing JSON text; return an empty object for anything else."""
    value = json_value(value)
    return value if isinstance(value, dict) else {}


def sampler(record: Record) -> Any:
    """Return the exporter's address: the connection's, else the value of the observable named `sampler_address`."""
    address = find(as_object(record.get("connection_info")), names(_SAMPLER))
    if address is not None:
        return address
    observables = json_value(record.get("observables"))
    for item in observables if isinstance(observables, list) else ():
        if isinstance(item, dict) and item.get("name") == _SAMPLER and item.get("value") is not None:
            return item["value"]
    return None


def as_flow(record: Record) -> Record:
    """
    Return the fields of an OCSF object under the keys of a flow, without absent ones.

    The object itself is under `ocsf`, so that nothing is lost in tables that only have
    columns for the fields of a flow.
    """
    original, record = record, snake_cased(record)
    connection, traffic = as_object(record.get("connection_info")), as_object(record.get("traffic"))
    device = as_object(record.get("device"))
    flow: Record = {
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
        "ocsf": original,
    }
    return {key: value for key, value in flow.items() if value is not None}


def _endpoint(side: str, endpoint: Record) -> Record:
    return {
        f"{side}_addr": endpoint.get("ip"),
        f"{side}_port": endpoint.get("port"),
        f"{side}_mac": endpoint.get("mac"),
        f"{side}_as": as_object(find(endpoint, names("autonomous_system"))).get("number"),
    }
