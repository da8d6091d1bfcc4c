"""Addresses to listen on, as they are written."""

import pytest

from eventwriter.config.address import read_address


@pytest.mark.parametrize(
    ("text", "host", "port", "written", "loopback"),
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
def test_address_is_read(text: str, host: str, port: int, written: str, loopback: bool) -> None:
    """Host and port are told apart; no host means this machine; brackets are IPv6's."""
    address = read_address(text)

    assert (host, port, written, loopback) == (address.host, address.port, str(address), address.is_loopback)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("8088", "an address is written"),
        ("::1:8088", "an address is written"),
        ("http://localhost:8088", "an address is written"),
        ("localhost:http", "an address is written"),
        ("localhost:", "an address is written"),
        ("localhost:0", "port 0 does not exist"),
        ("localhost:65536", "port 65536 does not exist"),
    ],
)
def test_what_is_no_address_is_told_how_one_is_written(text: str, sentence: str) -> None:
    """A mistake is answered with a form that is right."""
    with pytest.raises(ValueError, match=sentence):
        read_address(text)
