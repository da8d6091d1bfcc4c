"""
Sweeps as OCSF Network Activity (class 4001), activity Scan, in the wide table.

Source: OCSF schema 1.3.0, "Network Activity [4001]".
"""

from collections.abc import Callable
from typing import Any

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.json import dumps
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.ids import id_generator
from eventwriter.tables.ocsf.flow_facts import bare_mac
from eventwriter.tables.ocsf.metadata import metadata_maker
from eventwriter.tables.ocsf.network_activity import COLUMNS
from eventwriter.tables.ocsf.network_activity_flat import Facts, flat
from eventwriter.tables.sweep import Sweep, available_ports, ports, sweep_reader
from eventwriter.tables.table import Build, Row, RowBuilder, Table
from eventwriter.tables.values import EMPTY_OBJECT, int4_array, jsonb, redacted_jsonb, redacted_text, timestamp

_CLASS, _CATEGORY, _ACTIVITY = 4001, 4, 99
_ICMP = 1
_MANY_PORTS = 5
"""A host that answers and has more ports open than these is of low severity, not informational."""
_ACTOR = b'\x01{"app_name":"ServiceRadar Agent","app_ver":"1.0.0"}'
_OBSERVED_WHOLE = (
    b'\x01[{"name":%b,"type":"MAC Address","type_id":3},{"name":%b,"type":"Hostname","type_id":1},'
    b'{"name":%b,"type":"IP Address","type_id":2}]'
)


def _host(one: Sweep) -> tuple[bytes | None, bytes | None]:
    """Return observables and the source's endpoint as jsonb; by template where nothing is missing."""
    # Hot: once per message.
    if one.mac and one.hostname:
        ip, hostname, mac = dumps(one.host_ip), dumps(one.hostname), dumps(one.mac)
        return _OBSERVED_WHOLE % (mac, hostname, ip), b'\x01{"ip":%b,"hostname":%b,"mac":%b}' % (ip, hostname, mac)
    found = [("MAC Address", 3, one.mac), ("Hostname", 1, one.hostname), ("IP Address", 2, one.host_ip)]
    observables = [{"name": name, "type": kind, "type_id": number} for kind, number, name in found if name]
    endpoint = {"ip": one.host_ip, "hostname": one.hostname, "mac": one.mac}
    return jsonb(observables), jsonb({key: value for key, value in endpoint.items() if value})


def _connection_info(network_cidr: str | None) -> bytes:
    return b'\x01{"network_cidr":%b}' % dumps(network_cidr) if network_cidr else EMPTY_OBJECT


def _device(gateway_id: str | None) -> bytes:
    return b'\x01{"name":%b}' % dumps(gateway_id) if gateway_id else EMPTY_OBJECT


def _unmapped(one: Sweep) -> dict[str, Any]:
    """Return what the wide table has no column for."""
    found = {
        "icmp_packet_loss": one.icmp_packet_loss,
        "port_scan_results": one.port_scan_results,
        "first_seen": one.first_seen,
        "metadata": one.metadata,
        "partition": one.partition,
    }
    kept = {key: value for key, value in found.items() if value is not None}
    return {**kept, **one.rest} if one.rest else kept


def _open_ports(one: Sweep) -> list[int]:
    """Return the open ports: those listed, then those that only the port scan's results call available."""
    listed = ports(one.tcp_ports_open)
    if not one.port_scan_results:
        return listed
    return list(dict.fromkeys(listed + available_ports(one.port_scan_results)))


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a host's state."""
    adjustments, json_column = build.adjustments, redacted_jsonb(build.redact)
    read = sweep_reader(adjustments, redacted_text(build.redact))
    make_id, metadata = id_generator(build.origin), metadata_maker(build.ocsf_version, "NetworkSweeper")
    connection_infos, devices = BoundedCache(_connection_info), BoundedCache(_device)

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per message.
        one = read(record)
        opened, reachable = _open_ports(one), one.icmp_available is True
        low = reachable and len(opened) > _MANY_PORTS
        host = f"{one.hostname} ({one.host_ip})" if one.hostname else one.host_ip
        observables, source = _host(one)
        unmapped = _unmapped(one)
        return (
            make_id(message.stream_seq, index),
            timestamp(one.last_sweep_time, message, adjustments),
            _CLASS,
            _CATEGORY,
            _CLASS * 100 + _ACTIVITY,
            _ACTIVITY,
            "Scan",
            2 if low else 1,
            "Low" if low else "Informational",
            f"Network scan: {host} is {'reachable' if reachable else 'unreachable'}",
            None,
            None,
            1 if reachable else 2,
            "Success" if reachable else "Failure",
            None,
            None,
            metadata(message),
            observables,
            source,
            EMPTY_OBJECT,
            connection_infos[one.network_cidr],
            EMPTY_OBJECT,
            "ICMP" if reachable else None,
            _ICMP if reachable else None,
            None,
            None,
            one.icmp_response_time_ns,
            devices[one.gateway_id],
            _ACTOR,
            "network_discovery",
            int4_array(ports(one.tcp_ports_scanned)),
            int4_array(opened),
            one.icmp_available,
            one.icmp_response_time_ns,
            json_column(unmapped) if unmapped else EMPTY_OBJECT,
            None,
            one.gateway_id,
            one.agent_id,
        )

    return row


def facts_from_sweep(build: Build, adjustments: Adjustments) -> Callable[[Record], Facts]:
    """Return the function that reads what the flat table has columns for."""
    read = sweep_reader(adjustments, redacted_text(build.redact))

    def facts(record: Record) -> Facts:
        one = read(record)
        reachable = one.icmp_available is True
        return Facts(
            src_ip=one.host_ip,
            protocol=_ICMP if reachable else None,
            protocol_name="ICMP" if reachable else None,
            partition=one.partition,
            src_mac=bare_mac(one.mac),
        )

    return facts


OCSF_NETWORK_ACTIVITY_FROM_SWEEP = Table(
    name="ocsf_network_activity",
    columns=COLUMNS,
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
    variants={"ocsf_payload": flat(builder, COLUMNS, facts_from_sweep)},
)
