"""Tests of the names of header numbers."""

import pytest

from eventwriter.formats.ip_names import service, tcp_flag_labels


@pytest.mark.parametrize(
    ("flags", "labels"),
    [
        (0, []),
        (2, ["SYN"]),
        (18, ["ACK", "SYN"]),
        (255, ["CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN"]),
        (0x100, []),
        (0x101, ["FIN"]),
    ],
)
def test_tcp_flags_are_named_from_the_high_bit(flags: int, labels: list[str]) -> None:
    """Each of the eight flag bits has a name, listed from the highest bit; further bits have none."""
    assert labels == tcp_flag_labels(flags)


@pytest.mark.parametrize(
    ("protocol", "port", "name"),
    [
        (6, 443, "HTTPS"),
        (17, 53, "DNS"),
        (17, 443, "HTTPS"),
        (6, 51820, None),
        (1, 80, None),
        (None, 80, None),
        (6, None, None),
    ],
)
def test_service_depends_on_protocol_and_port(protocol: int | None, port: int | None, name: str | None) -> None:
    """A service is named by the combination of protocol and port."""
    assert name == service(protocol, port)
