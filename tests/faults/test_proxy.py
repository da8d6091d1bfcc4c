"""The fault-injecting proxy itself: each kind of fault behaves as documented."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from fix_proxy import Proxy

WAIT_S = 30.0


class Echo:
    """Server that sends back what it receives."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.received = bytearray()
        self.closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1000):
                    self.received += data
                    connection.sendall(data)
            except OSError:
                pass
            self.closed.set()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """An echo server."""
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """A proxy in front of the echo server."""
    running = Proxy(echo.listener.getsockname()[1])
    yield running
    running.close()


def read(connection: socket.socket, count: int) -> bytes:
    """Read exactly `count` bytes."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        assert part, data
        data += part
    return data


def connect(proxy: Proxy) -> socket.socket:
    """Open a connection through the proxy, and check that it works."""
    connection = socket.create_connection(("127.0.0.1", proxy.port), WAIT_S)
    connection.settimeout(WAIT_S)
    connection.sendall(b"hello")
    assert b"hello" == read(connection, 5)
    return connection


def until_received(echo: Echo, end: bytes) -> None:
    """Wait until the data that the server has received ends with `end`."""
    until = time.monotonic() + WAIT_S
    while not echo.received.endswith(end):
        assert time.monotonic() < until, echo.received
        time.sleep(0.01)


def test_latency_delays_each_direction_without_serializing_requests(proxy: Proxy) -> None:
    """An answer is late by twice the latency, and two overlapping requests do not wait for each other."""
    with connect(proxy) as connection:
        proxy.latency(0.5)
        began_s = time.monotonic()
        connection.sendall(b"a")
        time.sleep(0.05)
        connection.sendall(b"b")

        assert b"ab" == read(connection, 2)
        assert 1.0 <= time.monotonic() - began_s < 2.0


def test_black_hole_holds_bytes_until_healed(proxy: Proxy) -> None:
    """In a black hole old and new connections receive nothing; held bytes arrive afterwards."""
    with connect(proxy) as connection:
        proxy.black_hole()
        with socket.create_connection(("127.0.0.1", proxy.port), WAIT_S) as other:
            for each in (connection, other):
                each.settimeout(0.2)
                each.sendall(b"x")
                with pytest.raises(TimeoutError):
                    each.recv(1)

        proxy.heal()
        connection.settimeout(WAIT_S)

        assert b"x" == connection.recv(1)


def test_client_that_does_not_read_can_send(proxy: Proxy, echo: Echo) -> None:
    """Bytes to a client that does not read are held; bytes to the server pass."""
    with connect(proxy) as connection:
        proxy.not_reading("client")
        connection.settimeout(0.2)
        connection.sendall(b"request")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        until_received(echo, b"request")


def test_half_open_connection_is_closed_for_the_server_only(proxy: Proxy, echo: Echo) -> None:
    """A half-open connection is closed for the server, and receives nothing for the client."""
    with connect(proxy) as connection:
        proxy.half_open()
        assert echo.closed.wait(WAIT_S)
        connection.settimeout(0.2)
        connection.sendall(b"x")

        with pytest.raises(TimeoutError):
            connection.recv(1)
        connect(proxy).close()


@pytest.mark.parametrize("rst", [True, False])
def test_cut_is_rst_or_fin(proxy: Proxy, rst: bool) -> None:
    """A connection is cut with RST or FIN, and the next one works."""
    with connect(proxy) as connection:
        proxy.cut(rst)

        if rst:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        else:
            assert b"" == connection.recv(1)
        connect(proxy).close()


def test_cut_after_bytes_happens_once(proxy: Proxy) -> None:
    """A connection is cut right after the given number of bytes; the next one is not."""
    with connect(proxy) as connection:
        proxy.cut_after(3)
        connection.sendall(b"abcdef")
        with pytest.raises(ConnectionResetError):
            read(connection, 4)  # the client may read fewer than three: RST discards unread data

        assert 1 == proxy.cuts
        connect(proxy).close()


def test_cut_at_marker_withholds_the_answer(proxy: Proxy, echo: Echo) -> None:
    """Data with the marker reaches the server; the client gets a reset instead of the answer."""
    with connect(proxy) as connection:
        proxy.cut_at(b"COMMIT")
        connection.sendall(b"x COMMIT y")

        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    assert echo.received.endswith(b"x COMMIT y")
    connect(proxy).close()


def test_function_runs_once_before_the_marker_is_sent(proxy: Proxy, echo: Echo) -> None:
    """Data with the marker reaches the server after the function has returned; the next time without it."""
    received_before = []
    with connect(proxy) as connection:
        proxy.before(b"COPY", lambda: received_before.append(bytes(echo.received)))
        for part in (b"BEGIN;", b"x COPY y", b"z COPY a"):
            connection.sendall(part)
            assert part == read(connection, len(part))

    assert [b"helloBEGIN;"] == received_before
    assert echo.received.endswith(b"BEGIN;x COPY yz COPY a")


def test_connections_are_refused_until_healed(proxy: Proxy) -> None:
    """Connections are refused until the proxy is healed."""
    with connect(proxy):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), WAIT_S)
        proxy.heal()

        connect(proxy).close()


def test_single_bytes_arrive_in_order(proxy: Proxy) -> None:
    """Bytes that are written one by one arrive complete and in order."""
    with connect(proxy) as connection:
        proxy.one_byte()
        connection.sendall(b"abcdefghij" * 20)

        assert b"abcdefghij" * 20 == read(connection, 200)
