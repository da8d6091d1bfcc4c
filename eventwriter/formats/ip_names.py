"""
Names of the numbers in IP, TCP and UDP headers.

Source: IANA "Assigned Internet Protocol Numbers" and "Service Name and Transport
Protocol Port Number Registry"; RFC 9293, section 3.1, and RFC 3168 (TCP flags).
"""

from collections.abc import Mapping
from typing import Any

from eventwriter.formats.fields import whole

_PROTOCOL_NAMES: tuple[str | None, ...] = (
    "HOPOPT", "ICMP", "IGMP", "GGP", "IPv4", "ST", "TCP", "CBT", "EGP", "IGP", "BBN-RCC-MON", "NVP-II", "PUP",
    "ARGUS", "EMCON", "XNET", "CHAOS", "UDP", "MUX", "DCN-MEAS", "HMP", "PRM", "XNS-IDP", "TRUNK-1", "TRUNK-2",
    "LEAF-1", "LEAF-2", "RDP", "IRTP", "ISO-TP4", "NETBLT", "MFE-NSP", "MERIT-INP", "DCCP", "3PC", "IDPR", "XTP",
    "DDP", "IDPR-CMTP", "TP++", "IL", "IPv6", "SDRP", "IPv6-Route", "IPv6-Frag", "IDRP", "RSVP", "GRE", "DSR", "BNA",
    "ESP", "AH", "I-NLSP", "SWIPE", "NARP", "Min-IPv4", "TLSP", "SKIP", "ICMPv6", "IPv6-NoNxt", "IPv6-Opts", None,
    "CFTP", None, "SAT-EXPAK", "KRYPTOLAN", "RVD", "IPPC", None, "SAT-MON", "VISA", "IPCV", "CPNX", "CPHB", "WSN",
    "PVP", "BR-SAT-MON", "SUN-ND", "WB-MON", "WB-EXPAK", "ISO-IP", "VMTP", "SECURE-VMTP", "VINES", "IPTM",
    "NSFNET-IGP", "DGP", "TCF", "EIGRP", "OSPF", "Sprite-RPC", "LARP", "MTP", "AX.25", "IPIP", "MICP", "SCC-SP",
    "ETHERIP", "ENCAP", None, "GMTP", "IFMP", "PNNI", "PIM", "ARIS", "SCPS", "QNX", "A/N", "IPComp", "SNP",
    "Compaq-Peer", "IPX-in-IP", "VRRP", "PGM", None, "L2TP", "DDX", "IATP", "STP", "SRP", "UTI", "SMP", "SM", "PTP",
    "ISIS", "FIRE", "CRTP", "CRUDP", "SSCOPMCE", "IPLT", "SPS", "PIPE", "SCTP", "FC", "RSVP-E2E-IGNORE", "Mobility",
    "UDPLite", "MPLS-in-IP", "manet", "HIP", "Shim6", "WESP", "ROHC", "Ethernet", "AGGFRAG", "NSH", "Homa", "BIT-EMU",
)  # fmt: skip
"""Names by number, from 0; None for numbers that stand for any protocol of a class."""

PROTOCOLS: Mapping[int | None, str] = {number: name for number, name in enumerate(_PROTOCOL_NAMES) if name is not None}
"""Names of IP protocols by number."""

_OTHER_PROTOCOL_NAMES = {
    "ipv6icmp": 58,
    "icmp6": 58,
    "ospfigp": 89,
    "ipencap": 4,
    "ipinip": 4,
    "mobile": 55,
    "mobilityheader": 135,
}
_PROTOCOL_NUMBERS: Mapping[str, int] = {
    **_OTHER_PROTOCOL_NAMES,
    **{name.lower().replace("-", ""): number for number, name in PROTOCOLS.items() if number is not None},
}

ETHERTYPES: Mapping[int, str] = {
    0x0800: "IPv4", 0x0806: "ARP", 0x0842: "Wake-on-LAN", 0x22F0: "AVTP", 0x22F3: "TRILL", 0x8035: "RARP",
    0x809B: "AppleTalk", 0x8100: "VLAN", 0x8137: "IPX", 0x86DD: "IPv6", 0x8808: "Flow control", 0x8809: "LACP",
    0x8847: "MPLS", 0x8848: "MPLS", 0x8863: "PPPoE", 0x8864: "PPPoE", 0x888E: "EAPOL", 0x88A8: "QinQ",
    0x88CC: "LLDP", 0x88E5: "MACsec", 0x88F7: "PTP", 0x8902: "CFM", 0x8906: "FCoE",
}  # fmt: skip
"""Names of EtherTypes. Source: IEEE Registration Authority, "EtherType Public Listing"."""

_TCP, _UDP = 6, 17
_FLAGS = ("CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN")
"""Names of the flag bits from the highest, 128, to the lowest."""

_BOTH: Mapping[int, str] = {53: "DNS", 88: "Kerberos", 111: "RPC", 123: "NTP", 389: "LDAP", 443: "HTTPS", 5060: "SIP"}
_SERVICES: Mapping[int, Mapping[int, str]] = {
    _TCP: {
        **_BOTH,
        20: "FTP-DATA", 21: "FTP", 22: "SSH", 23: "Telnet", 25: "SMTP", 80: "HTTP", 110: "POP3", 143: "IMAP",
        179: "BGP", 445: "SMB", 465: "SMTPS", 514: "RSH", 587: "Submission", 636: "LDAPS", 853: "DNS-over-TLS",
        993: "IMAPS", 995: "POP3S", 1433: "MSSQL", 1521: "Oracle", 1883: "MQTT", 2049: "NFS", 3306: "MySQL",
        3389: "RDP", 4222: "NATS", 5432: "PostgreSQL", 5671: "AMQPS", 5672: "AMQP", 6379: "Redis",
        8080: "HTTP-ALT", 8443: "HTTPS-ALT", 8883: "MQTTS", 9092: "Kafka", 9200: "Elasticsearch", 27017: "MongoDB",
    },
    _UDP: {
        **_BOTH,
        67: "DHCP", 68: "DHCP", 69: "TFTP", 137: "NetBIOS-NS", 138: "NetBIOS-DGM", 161: "SNMP", 162: "SNMP-TRAP",
        500: "IKE", 514: "Syslog", 520: "RIP", 1194: "OpenVPN", 1812: "RADIUS", 1813: "RADIUS-ACCT", 1900: "SSDP",
        2055: "NetFlow", 3478: "STUN", 4500: "IPsec-NAT-T", 4739: "IPFIX", 4789: "VXLAN", 5353: "mDNS",
        6343: "sFlow", 51820: "WireGuard",
    },
}  # fmt: skip


def protocol_number(value: Any) -> int | None:
    """Return the number of an IP protocol that is given by number or name, or None for an unknown name."""
    number = whole(value)
    if number is not None or value.__class__ is not str:
        return number
    return _PROTOCOL_NUMBERS.get(value.strip().lower().replace("-", ""))


def tcp_flag_labels(flags: int) -> list[str]:
    """Return the names of the TCP flags that are set, from the highest bit down; bits above the eighth are unnamed."""
    return [name for position, name in enumerate(_FLAGS) if flags & (0x80 >> position)]


def service(protocol: int | None, port: int | None) -> str | None:
    """Return the service that usually listens on a TCP or UDP port; None for other protocols and ports."""
    if protocol is None or port is None:
        return None
    return _SERVICES.get(protocol, {}).get(port)
