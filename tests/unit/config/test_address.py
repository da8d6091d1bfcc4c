"""Addresses of the web child."""

import pytest

from eventwriter.config.address import parse_address


@pytest.mark.parametrize(
    ("text", "host", "port", "canonical", "loopback"),
    [
        ("127.0.0.1:8088", "127.0.0.1", 8088, "127.0.0.1:8088", True),
        (":8088", "127.0.0.1", 8088, "127.0.0.1:8088", True),
        ("localhost:1", "localhost", 1, "localhost:1", True),
        ("127.8.8.8:80", "127.8.8.8", 80, "127.8.8.8:80", True),
        ("[::1]:65535", "::1", 65535, "[::1]:65535", True),
        ("0.0.0.0:80", "0.0.0.0", 80, "0.0.0.0:80", False),
        ("[::]:80", "::", 80, "[::]:80", False),
        ("metrics.example.com:80", "metrics.example.com", 80, "metrics.example.com:80", False),
    ],
)
def test_valid_address_is_split_into_host_and_port(
    text: str, host: str, port: int, canonical: str, loopback: bool
) -> None:
    """Host and port are separated; an empty host means the loopback, brackets enclose an IPv6 address."""
    address = parse_address(text)

    assert (host, port, canonical, loopback) == (address.host, address.port, str(address), address.is_loopback)


@pytest.mark.parametrize(
    "text",
    ["8088", "::1:8088", "http://localhost:8088", "localhost:http", "localhost:", "localhost:0", "localhost:65536"],
)
def test_invalid_address_is_refused(text: str) -> None:
    """A text without a valid host and port raises ValueError."""
    with pytest.raises(ValueError, match="not an address"):
        parse_address(text)
