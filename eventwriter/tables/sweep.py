"""What a sweep found of a host, read once for both tables that it may fill."""

from collections.abc import Callable
from typing import Any, NamedTuple

from eventwriter.formats.fields import INT8, boolean, find, integer, json_value, names, number, required
from eventwriter.model import Adjustments, Record

_HOST_IP = names("host_ip", "ip")
_GATEWAY, _AGENT = names("gateway_id", "poller_id", "pollerId"), names("agent_id")
_CIDR = names("network_cidr")
_AVAILABLE, _RESPONSE, _LOSS = names("icmp_available"), names("icmp_response_time_ns"), names("icmp_packet_loss")
_SCANNED, _OPEN, _RESULTS = names("tcp_ports_scanned"), names("tcp_ports_open"), names("port_scan_results")
LAST_SWEEP, FIRST_SEEN = names("last_sweep_time"), names("first_seen")

_PORT_MAX = 65_535

_KNOWN = frozenset(
    key
    for keys in (
        _HOST_IP, _GATEWAY, _AGENT, _CIDR, _AVAILABLE, _RESPONSE, _LOSS, _SCANNED, _OPEN, _RESULTS, LAST_SWEEP,
        FIRST_SEEN, ("partition", "hostname", "mac", "metadata"),
    )
    for key in keys
)  # fmt: skip


class Sweep(NamedTuple):
    """The fields of one host's state; text that is empty is None. JSON values are as they came."""

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
    last_sweep_time: Any
    first_seen: Any
    metadata: Any
    rest: Record
    """Keys that no column of either table has."""


def sweep_reader(adjustments: Adjustments, readable: Callable[[Any], str | None]) -> Callable[[Record], Sweep]:
    """
    Return the function that reads a record; it raises Poison `missing_field` where the host has no address.

    Args:
        adjustments: Where adjusted values are counted.
        readable: Makes a text column's value of what a field holds: `scalars.redacted_text`.
    """

    def words(value: Any) -> str | None:
        if value.__class__ is not str or value[:1] in ("{", "["):
            value = readable(value)
        return value or None

    def address(record: Record) -> str:
        return required(next(filter(None, map(words, map(record.get, _HOST_IP))), None), "host_ip")

    def read(record: Record) -> Sweep:
        # Hot: once per message.
        get = record.get
        return Sweep(
            words(get("host_ip")) or address(record),
            words(find(record, _GATEWAY)),
            words(find(record, _AGENT)),
            words(get("partition")),
            words(find(record, _CIDR)),
            words(get("hostname")),
            words(get("mac")),
            boolean(find(record, _AVAILABLE), None),
            integer(find(record, _RESPONSE), INT8, adjustments),
            number(find(record, _LOSS)),
            json_value(find(record, _SCANNED)),
            json_value(find(record, _OPEN)),
            json_value(find(record, _RESULTS)),
            find(record, LAST_SWEEP),
            find(record, FIRST_SEEN),
            json_value(get("metadata")),
            {key: json_value(value) for key, value in record.items() if key not in _KNOWN and value is not None},
        )

    return read


def ports(value: Any) -> list[int]:
    """Return the ports of a list, also of their text; what is no port from 0 to 65535 is junk and left out."""
    if value.__class__ is not list:
        value = [] if value is None else [value]
    return [port for one in value if (port := _port(one)) is not None]


def available_ports(results: Any) -> list[int]:
    """Return the ports that a port scan's results call available."""
    if results.__class__ is not list:
        return []
    found = (one.get("port") for one in results if one.__class__ is dict and boolean(one.get("available"), False))
    return [port for one in found if (port := _port(one)) is not None]


def _port(value: Any) -> int | None:
    # Hot: once per port.
    if value.__class__ is not int:
        # A port out of range is left out, not cut, so nobody counts it.
        value = None if value.__class__ is bool else integer(value, INT8, Adjustments())
    return value if value is not None and 0 <= value <= _PORT_MAX else None
