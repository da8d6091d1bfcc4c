"""The state of one host as a network sweep reports it, read for the tables that store it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT8, LATEST_US, boolean, instant_us, is_blank, json_value, names, text, whole
from eventwriter.model import Adjustments, Record
from eventwriter.tables.record_reader import RecordReader, filled

_HOST_IP = names("host_ip", "ip")
_GATEWAY, _AGENT = names("gateway_id", "poller_id", "pollerId"), names("agent_id")
_CIDR = names("network_cidr")
_AVAILABLE, _RESPONSE, _LOSS = names("icmp_available"), names("icmp_response_time_ns"), names("icmp_packet_loss")
_SCANNED, _OPEN, _RESULTS = names("tcp_ports_scanned"), names("tcp_ports_open"), names("port_scan_results")
_LAST_SWEEP, _FIRST_SEEN = names("last_sweep_time"), names("first_seen")

_USUAL = frozenset(
    ("host_ip", "gateway_id", "agent_id", "partition", "network_cidr", "hostname", "mac", "icmp_available",
     "icmp_response_time_ns", "icmp_packet_loss", "tcp_ports_scanned", "tcp_ports_open", "port_scan_results",
     "last_sweep_time", "first_seen", "metadata")
)  # fmt: skip
"""Keys of the records that are read without a `RecordReader`."""
_USUAL_TEXTS = ("gateway_id", "agent_id", "partition", "network_cidr", "hostname", "mac")

_TEXT_TYPES = frozenset({str, type(None)})

_PORT_MAX = 65_535
_INT8_MAX = INT8[1]


class HostState(NamedTuple):
    """The fields of one host. Blank text is None; JSON values are as in the payload."""

    host_ip: str
    gateway_id: str | None
    agent_id: str | None
    partition: str | None
    network_cidr: str | None
    hostname: str | None
    mac: str | None
    icmp_available: bool | None
    icmp_response_time_ns: int | None
    icmp_packet_loss: float | None
    tcp_ports_scanned: Any
    tcp_ports_open: Any
    port_scan_results: Any
    last_sweep_us: int | None
    """Microseconds since 1970 UTC."""
    first_seen: Any
    metadata: Any
    rest: Record
    """Fields that neither table has a column for, and values that a column could not take."""


_new_host_state: Callable[[type[HostState], tuple[Any, ...]], HostState] = tuple.__new__
"""Creates a HostState from a tuple in a quarter of the time of the class's constructor."""


def host_state(record: Record, adjustments: Adjustments) -> HostState:
    """
    Read a record.

    Raises:
        Poison: `missing_field`: the host has no address.
    """
    # Hot: once per message. Records with the usual keys and types are read here, others by `_search`.
    if not _USUAL.issuperset(record):
        return _search(record, adjustments)
    get = record.get
    host_ip, time = get("host_ip"), get("last_sweep_time")
    gateway, agent, partition, cidr, hostname, mac = texts = tuple(map(get, _USUAL_TEXTS))
    available, response, loss = get("icmp_available"), get("icmp_response_time_ns"), get("icmp_packet_loss")
    at = time if time.__class__ is int and 100_000_000_000_000 <= time < LATEST_US else instant_us(time)
    if (
        at is None
        or host_ip.__class__ is not str
        or not host_ip
        or host_ip.isspace()
        or not _TEXT_TYPES.issuperset(map(type, texts))
        or "" in texts
        or (available.__class__ is not bool and available is not None)
        or not (response is None or (response.__class__ is int and 0 <= response <= _INT8_MAX))
        or (loss.__class__ is not float and loss is not None)
    ):
        return _search(record, adjustments)
    scanned, opened, results = get("tcp_ports_scanned"), get("tcp_ports_open"), get("port_scan_results")
    return _new_host_state(
        HostState,
        (
            host_ip, gateway, agent, partition, cidr, hostname, mac, available, response, loss,
            json_value(scanned), json_value(opened), json_value(results), at, get("first_seen"),
            json_value(get("metadata")), _NO_REST,
        ),
    )  # fmt: skip


_NO_REST: Record = {}
"""Shared by all usual records; never modified."""


def _search(record: Record, adjustments: Adjustments) -> HostState:
    reader = RecordReader(record, adjustments)
    host_ip = reader.filled_text(_HOST_IP)
    if host_ip is None:
        raise Poison("missing_field", "host_ip is missing or blank; no row can be written without a host")
    return HostState(
        host_ip=host_ip,
        gateway_id=reader.first(None, _GATEWAY, _nonempty),
        agent_id=reader.first(None, _AGENT, _nonempty),
        partition=reader.first(None, ("partition",), _nonempty),
        network_cidr=reader.first(None, _CIDR, _nonempty),
        hostname=reader.first(None, ("hostname",), _nonempty),
        mac=reader.first(None, ("mac",), _nonempty),
        icmp_available=reader.boolean("icmp_available", _AVAILABLE),
        icmp_response_time_ns=reader.integer("icmp_response_time_ns", _RESPONSE, INT8),
        icmp_packet_loss=reader.number("icmp_packet_loss", _LOSS),
        tcp_ports_scanned=reader.first(None, _SCANNED, json_value),
        tcp_ports_open=reader.first(None, _OPEN, json_value),
        port_scan_results=reader.first(None, _RESULTS, json_value),
        last_sweep_us=reader.instant_us("last_sweep_time", _LAST_SWEEP),
        first_seen=reader.first(None, _FIRST_SEEN, filled_or_json),
        metadata=reader.json("metadata"),
        rest={key: value for key, value in reader.remaining().items() if not is_blank(value)},
    )


def _nonempty(value: Any) -> str | None:
    return text(value) or None


def filled_or_json(value: Any) -> Any:
    """Return a value, or None for blank text."""
    return filled(value) if value.__class__ is str else value


def ports(value: Any) -> list[int]:
    """Return the ports in a list, numbers or numeric text; other elements are omitted."""
    return [port for element in _elements(value) if (port := _port(element)) is not None]


def _elements(value: Any) -> list[Any]:
    if value.__class__ is list:
        return value
    return [] if value is None else [value]


def available_ports(results: Any) -> list[int]:
    """Return the ports that the results of a port scan report as available."""
    if results.__class__ is not list:
        return []
    available = (each.get("port") for each in results if each.__class__ is dict and boolean(each.get("available")))
    return [port for port in map(_port, available) if port is not None]


def open_ports(state: HostState, listed: list[int]) -> list[int]:
    """Return the open ports: the listed ones, then those that only the results of the port scan report."""
    if not state.port_scan_results:
        return listed
    return list(dict.fromkeys(listed + available_ports(state.port_scan_results)))


def _port(value: Any) -> int | None:
    # Hot: once per port.
    if value.__class__ is not int:
        value = whole(value)
    return value if value is not None and 0 <= value <= _PORT_MAX else None
