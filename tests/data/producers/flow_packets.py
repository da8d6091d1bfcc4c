"""
Build the packets of a router: NetFlow v5 and v9, IPFIX, and sFlow v5; and the frames of a pcap file.

What collectors make of them is recorded by record_flows.py. Times are in nanoseconds, addresses in text.

Source: RFC 3954 (v9), RFC 7011 and IANA's registry of IPFIX entities, sflow.org's version 5.
"""

import struct
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

Flow = dict[str, Any]

EXPORT_S = 1_767_225_605
"""When every packet says that it was exported: 2026-01-01 00:00:05 UTC."""

UPTIME_MS = 3_600_000
"""For how long the router has been up then; v5 and v9 tell a flow's times relative to it."""

OBSERVATION_DOMAIN = 70_001
SAMPLING_RATE = 512

# Name: (information element of IPv4 flows, of IPv6 flows, length in bytes).
ELEMENTS = {
    "bytes": (1, 1, 8),
    "packets": (2, 2, 8),
    "proto": (4, 4, 1),
    "tos": (5, 5, 1),
    "tcp_flags": (6, 6, 1),
    "src_port": (7, 7, 2),
    "src_addr": (8, 27, 0),
    "src_net": (9, 29, 1),
    "in_if": (10, 10, 4),
    "dst_port": (11, 11, 2),
    "dst_addr": (12, 28, 0),
    "dst_net": (13, 30, 1),
    "out_if": (14, 14, 4),
    "next_hop": (15, 62, 0),
    "src_as": (16, 16, 4),
    "dst_as": (17, 17, 4),
    "ttl": (52, 52, 1),
    "src_mac": (56, 56, 6),
    "src_vlan": (58, 58, 2),
    "dst_vlan": (59, 59, 2),
    "flow_direction": (61, 61, 1),
    "dst_mac": (80, 80, 6),
    "forwarding_status": (89, 89, 1),
    "ingress_vrf": (234, 234, 4),
    "egress_vrf": (235, 235, 4),
    "etype": (256, 256, 2),
}
V9_TIMES = ((22, 4), (21, 4))
"""First and last packet, in ms of uptime."""
IPFIX_TIMES = ((152, 8), (153, 8))
"""First and last packet, in ms since 1970."""


def is_v6(flow: Flow) -> bool:
    return ":" in flow.get("src_addr", "")


def address(text: str) -> bytes:
    return ip_address(text).packed


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def value_of(flow: Flow, name: str) -> bytes:
    value = flow[name]
    if name in ("src_addr", "dst_addr", "next_hop"):
        return address(value)
    return mac(value) if name.endswith("_mac") else int(value).to_bytes(ELEMENTS[name][2], "big")


def length_of(flow: Flow, name: str) -> int:
    return ELEMENTS[name][2] or (16 if is_v6(flow) else 4)


def uptime_ms(ns: str) -> int:
    return int(ns) // 10**6 - (EXPORT_S * 1000 - UPTIME_MS)


def netflow_v5(flows: Sequence[Flow], sequence: int) -> bytes:
    """Return one v5 packet; it holds IPv4 only, and 16 bits of interfaces and AS numbers."""
    sampling = 1 << 14 | SAMPLING_RATE
    head = struct.pack("!HHIIIIBBH", 5, len(flows), UPTIME_MS, EXPORT_S, 0, sequence, 0, 7, sampling)
    return head + b"".join(map(v5_record, flows))


def v5_record(flow: Flow) -> bytes:
    get = flow.get
    return (
        address(flow["src_addr"])
        + address(flow["dst_addr"])
        + address(get("next_hop", "0.0.0.0"))
        + struct.pack("!HHII", get("in_if", 0), get("out_if", 0), flow["packets"], flow["bytes"])
        + struct.pack("!II", uptime_ms(flow["start_ns"]), uptime_ms(flow["end_ns"]))
        + struct.pack(
            "!HHBBBB", get("src_port", 0), get("dst_port", 0), 0, get("tcp_flags", 0), flow["proto"], get("tos", 0)
        )
        + struct.pack("!HHBBH", get("src_as", 0), get("dst_as", 0), get("src_net", 0), get("dst_net", 0), 0)
    )


def netflow_v9(flows: Sequence[Flow], sequence: int) -> bytes:
    """Return one v9 packet with a template for every shape of flow, and the sampling rate in an options template."""
    options = struct.pack("!HHHHHHHHHH", 1, 24, 512, 4, 8, 1, 4, 34, 4, 35) + struct.pack("!H", 1)
    sampler = struct.pack("!HH", 512, 16) + bytes(4) + struct.pack("!IB", SAMPLING_RATE, 1) + bytes(3)
    sets = [options + bytes(24 - len(options)), sampler]
    for number, names, alike in shapes(flows):
        sets.append(template(0, number, alike[0], names, V9_TIMES))
        sets.append(data(number, alike, names, lambda f: (uptime_ms(f["start_ns"]), uptime_ms(f["end_ns"])), 4))
    count = 2 + 2 * len(flows)
    head = struct.pack("!HHIIII", 9, count, UPTIME_MS, EXPORT_S, sequence, OBSERVATION_DOMAIN)
    return head + b"".join(sets)


def ipfix(flows: Sequence[Flow], sequence: int) -> bytes:
    """Return one IPFIX message with a template for every shape of flow."""
    sets = []
    for number, names, alike in shapes(flows):
        sets.append(template(2, number, alike[0], names, IPFIX_TIMES))
        sets.append(data(number, alike, names, lambda f: (int(f["start_ns"]) // 10**6, int(f["end_ns"]) // 10**6), 8))
    body = b"".join(sets)
    return struct.pack("!HHIII", 10, 16 + len(body), EXPORT_S, sequence, OBSERVATION_DOMAIN) + body


def shapes(flows: Sequence[Flow]) -> list[tuple[int, list[str], list[Flow]]]:
    """Group flows by their fields: (number of the template, names, flows)."""
    groups: dict[tuple[bool, tuple[str, ...]], list[Flow]] = {}
    for flow in flows:
        names = tuple(name for name in ELEMENTS if name in flow)
        groups.setdefault((is_v6(flow), names), []).append(flow)
    return [(256 + n, list(names), alike) for n, ((_, names), alike) in enumerate(groups.items())]


def template(set_id: int, number: int, flow: Flow, names: Sequence[str], times: Sequence[tuple[int, int]]) -> bytes:
    column = 1 if is_v6(flow) else 0
    fields = [(ELEMENTS[name][column], length_of(flow, name)) for name in names] + list(times)
    body = struct.pack("!HH", number, len(fields)) + b"".join(struct.pack("!HH", *field) for field in fields)
    return struct.pack("!HH", set_id, 4 + len(body)) + body


def data(number: int, flows: Sequence[Flow], names: Sequence[str], times: Any, time_bytes: int) -> bytes:
    rows = []
    for flow in flows:
        values = [value_of(flow, name) for name in names]
        rows.append(b"".join(values) + b"".join(time.to_bytes(time_bytes, "big") for time in times(flow)))
    body = b"".join(rows)
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", number, 4 + len(body)) + body


def sflow(flows: Sequence[Flow], sequence: int) -> bytes:
    """Return one sFlow v5 datagram with a flow sample of each frame."""
    agent = address("192.0.2.250")
    head = struct.pack("!II", 5, 1) + agent + struct.pack("!IIII", 0, sequence, UPTIME_MS, len(flows))
    return head + b"".join(sample(flow, sequence + n) for n, flow in enumerate(flows))


def sample(flow: Flow, sequence: int) -> bytes:
    frame = ethernet(flow)
    padded = frame + bytes(-len(frame) % 4)
    header = struct.pack("!IIII", 1, flow["bytes"], 4, len(frame)) + padded
    record = struct.pack("!II", 1, len(header)) + header
    pool = SAMPLING_RATE * sequence
    ends = (flow["in_if"], flow["in_if"], flow["out_if"])
    body = struct.pack("!IIIIIII", sequence, ends[0], SAMPLING_RATE, pool, 0, ends[1], ends[2])
    body += struct.pack("!I", 1) + record
    return struct.pack("!II", 1, len(body)) + body


def ethernet(flow: Flow) -> bytes:
    """Return an Ethernet frame with the headers that a flow tells."""
    tag = struct.pack("!HH", 0x8100, flow["src_vlan"]) if "src_vlan" in flow else b""
    frame = mac(flow["dst_mac"]) + mac(flow["src_mac"]) + tag + struct.pack("!H", flow["etype"])
    if "src_addr" not in flow:
        return frame + bytes.fromhex(flow["layer_2_payload"])
    inner = transport(flow)
    return frame + (ipv6(flow, inner) if is_v6(flow) else ipv4(flow, inner)) + inner


def transport(flow: Flow) -> bytes:
    body = bytes(flow.get("payload_bytes", 0))
    ports = struct.pack("!HH", flow.get("src_port", 0), flow.get("dst_port", 0))
    if flow["proto"] == 6:
        return ports + struct.pack("!IIBBHHH", 1, 1, 5 << 4, flow["tcp_flags"], 1024, 0, 0) + body
    if flow["proto"] == 17:
        return ports + struct.pack("!HH", 8 + len(body), 0) + body
    return struct.pack("!BBHI", flow["icmp_type"], flow["icmp_code"], 0, 0) + body


def ipv4(flow: Flow, inner: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, flow.get("tos", 0), 20 + len(inner), 0x1234, 0, flow["ttl"], flow["proto"], 0)
    head += address(flow["src_addr"]) + address(flow["dst_addr"])
    total = sum(struct.unpack("!10H", head))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", checksum) + head[12:]


def ipv6(flow: Flow, inner: bytes) -> bytes:
    first = 6 << 28 | flow.get("tos", 0) << 20 | flow.get("flow_label", 0)
    head = struct.pack("!IHBB", first, len(inner), flow["proto"], flow["ttl"])
    return head + address(flow["src_addr"]) + address(flow["dst_addr"])


def pcap(frames: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a capture file of (time in ns, frame)."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)]
    for ns, frame in frames:
        out.append(struct.pack("<IIII", ns // 10**9, ns % 10**9 // 1000, len(frame), len(frame)) + frame)
    return b"".join(out)
