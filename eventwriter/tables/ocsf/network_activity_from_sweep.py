"""
Hosts reported by sweeps as OCSF Network Activity (class 4001), activity Scan, in the wide table.

Source: OCSF schema 1.3.0, "Network Activity [4001]".
"""

from collections.abc import Callable
from typing import Any

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.ip_names import PROTOCOLS
from eventwriter.formats.json import dumps
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.ids import id_generator
from eventwriter.tables.ocsf.metadata import metadata_maker
from eventwriter.tables.ocsf.network_activity import COLUMNS
from eventwriter.tables.ocsf.network_activity_flat import FlatFields, bare_mac, flat
from eventwriter.tables.record_reader import with_rest
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.sweep import HostState, host_state, open_ports, ports
from eventwriter.tables.table import Build, Row, RowBuilder, Table
from eventwriter.tables.values import EMPTY_OBJECT, instant_or_default, int4_array, jsonb

_CLASS, _CATEGORY, _ACTIVITY = 4001, 4, 99
_ICMP, _TCP = 1, 6
_MANY_PORTS = 5
"""A reachable host with more open ports than this has severity Low instead of Informational."""
_ACTOR = b'\x01{"app_name":"ServiceRadar Agent","app_ver":"1.0.0"}'
_OBSERVED_WHOLE = (
    b'\x01[{"name":%b,"type":"MAC Address","type_id":3},{"name":%b,"type":"Hostname","type_id":1},'
    b'{"name":%b,"type":"IP Address","type_id":2}]'
)


def _host(state: HostState) -> tuple[bytes | None, bytes | None]:
    """Return observables and source endpoint as jsonb."""
    # Hot: once per message. A complete host is written by template.
    if state.mac and state.hostname:
        ip, hostname, mac = dumps(state.host_ip), dumps(state.hostname), dumps(state.mac)
        return _OBSERVED_WHOLE % (mac, hostname, ip), b'\x01{"ip":%b,"hostname":%b,"mac":%b}' % (ip, hostname, mac)
    fields = [("MAC Address", 3, state.mac), ("Hostname", 1, state.hostname), ("IP Address", 2, state.host_ip)]
    observables = [{"name": name, "type": kind, "type_id": number} for kind, number, name in fields if name]
    endpoint = {"ip": state.host_ip, "hostname": state.hostname, "mac": state.mac}
    return jsonb(observables), jsonb({key: value for key, value in endpoint.items() if value})


def _connection_info(network_cidr: str | None) -> bytes:
    return b'\x01{"network_cidr":%b}' % dumps(network_cidr) if network_cidr else EMPTY_OBJECT


def _device(gateway_id: str | None) -> bytes:
    return b'\x01{"name":%b}' % dumps(gateway_id) if gateway_id else EMPTY_OBJECT


def _unmapped(state: HostState, scanned: list[int], listed: list[int], adjustments: Adjustments) -> dict[str, Any]:
    """Return the fields that the wide table has no column for, and values that a column cannot take."""
    fields = {
        "icmp_packet_loss": state.icmp_packet_loss,
        "port_scan_results": state.port_scan_results,
        "first_seen": state.first_seen,
        "metadata": state.metadata,
        "partition": state.partition,
    }
    kept = {key: value for key, value in fields.items() if value is not None}
    for column, key, value, converted in (
        ("ports_scanned", "tcp_ports_scanned", state.tcp_ports_scanned, scanned),
        ("ports_open", "tcp_ports_open", state.tcp_ports_open, listed),
    ):
        if len(value if value.__class__ is list else (value,) if value is not None else ()) != len(converted):
            adjustments.nulled_by_column.add(column)
            kept[key] = value
    return with_rest(kept, state.rest, "unmapped") if state.rest else kept


def _protocol(state: HostState, opened: list[int]) -> int | None:
    """Return the protocol by which the host answered."""
    if state.icmp_available is True:
        return _ICMP
    return _TCP if opened else None


def reader(build: Build) -> Callable[[Record, Message], HostState]:
    """Return the function that reads the state of a host."""
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None

    def read(record: Record, message: Message) -> HostState:
        # Hot: once per message.
        if clean is not None:
            record = clean(record, message)
        return host_state(record, adjustments)

    return read


def row_maker(build: Build) -> Callable[[HostState, Message, int], Row]:
    """Return the function (state of a host, its message, index of its record) → wide row."""
    adjustments = build.adjustments
    make_id, metadata = id_generator(build.origin), metadata_maker(build.ocsf_version, "NetworkSweeper")
    connection_infos, devices = BoundedCache(_connection_info), BoundedCache(_device)

    def row(state: HostState, message: Message, index: int) -> Row:
        # Hot: once per message.
        scanned, listed = ports(state.tcp_ports_scanned), ports(state.tcp_ports_open)
        opened = open_ports(state, listed)
        protocol = _protocol(state, opened)
        reachable = protocol is not None
        low = reachable and len(opened) > _MANY_PORTS
        host = f"{state.hostname} ({state.host_ip})" if state.hostname else state.host_ip
        observables, source = _host(state)
        unmapped = _unmapped(state, scanned, listed, adjustments)
        return (
            make_id(message.stream_seq, index),
            instant_or_default(state.last_sweep_us, message, adjustments),
            _CLASS, _CATEGORY, _CLASS * 100 + _ACTIVITY, _ACTIVITY, "Scan",
            2 if low else 1,
            "Low" if low else "Informational",
            f"Network scan: {host} is {'reachable' if reachable else 'unreachable'}",
            None, None,
            1 if reachable else 2,
            "Success" if reachable else "Failure",
            None, None,
            metadata(message),
            observables, source, EMPTY_OBJECT,
            connection_infos[state.network_cidr],
            EMPTY_OBJECT,
            PROTOCOLS.get(protocol), protocol,
            None, None,
            state.icmp_response_time_ns,
            devices[state.gateway_id],
            _ACTOR,
            "network_discovery",
            int4_array(scanned), int4_array(opened),
            state.icmp_available, state.icmp_response_time_ns,
            jsonb(unmapped) if unmapped else EMPTY_OBJECT,
            None,
            state.gateway_id, state.agent_id,
        )  # fmt: skip

    return row


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a host."""
    read, row_of = reader(build), row_maker(build)

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per message.
        return row_of(read(record, message), message, index)

    return row


def _flat_fields(state: HostState, _: Adjustments) -> FlatFields:
    protocol = _protocol(state, open_ports(state, ports(state.tcp_ports_open)))
    return FlatFields(
        src_ip=state.host_ip,
        protocol=protocol,
        protocol_name=PROTOCOLS.get(protocol),
        partition=state.partition,
        src_mac=bare_mac(state.mac),
    )


OCSF_NETWORK_ACTIVITY_FROM_SWEEP = Table(
    name="ocsf_network_activity",
    columns=COLUMNS,
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
    variants={"ocsf_payload": flat(reader, row_maker, COLUMNS, _flat_fields)},
)
