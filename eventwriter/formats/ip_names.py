"""
Names of the numbers in IP, TCP and UDP headers.

Source: IANA "Assigned Internet Protocol Numbers" and "Service Name and Transport
Protocol Port Number Registry"; RFC 9293, section 3.1, and RFC 3168 (TCP flags).
"""

from collections.abc import Mapping

PROTOCOLS: Mapping[int | None, str] = {
    1: "ICMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 51: "AH", 58: "ICMPv6", 89: "OSPF", 132: "SCTP",
}  # fmt: skip
"""Names of IP protocols by number."""

PROTOCOL_NUMBERS: Mapping[str, int] = {name.lower(): number for number, name in PROTOCOLS.items() if number is not None}
"""Numbers of IP protocols by lower-case name."""

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


def tcp_flag_labels(flags: int) -> list[str]:
    """Return the names of the TCP flags that are set, from the highest bit down; bits above the eighth are unnamed."""
    return [name for position, name in enumerate(_FLAGS) if flags & (0x80 >> position)]


def service(protocol: int | None, port: int | None) -> str | None:
    """Return the service that usually listens on a TCP or UDP port; None for other protocols and ports."""
    if protocol is None or port is None:
        return None
    return _SERVICES.get(protocol, {}).get(port)
