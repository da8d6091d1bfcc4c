"""The proxy that stands between, by itself: each way of failing is what it says."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from fix_proxy import Proxy


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.heard = bytearray()
        self.ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(one,), daemon=True).start()

    def _echo(self, one: socket.socket) -> None:
        with one:
            try:
                while data := one.recv(1000):
                    self.heard += data
                    one.sendall(data)
            except OSError:
                pass
            self.ended.set()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server."""
    one = Echo()
    yield one
    one.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """A proxy in front of it."""
    one = Proxy(echo.listener.getsockname()[1])
    yield one
    one.close()


def read(one: socket.socket, count: int) -> bytes:
    """Return so many bytes."""
    got = b""
    while len(got) < count:
        part = one.recv(count - len(got))
        assert part, got
        got += part
    return got


def dial(proxy: Proxy) -> socket.socket:
    """Return a connection through the proxy that works."""
    one = socket.create_connection(("127.0.0.1", proxy.port), 2)
    one.settimeout(2)
    one.sendall(b"hello")
    assert b"hello" == read(one, 5)
    return one


def test_latency_is_added_in_both_directions_without_losing_rate(proxy: Proxy) -> None:
    """An answer is late by twice the latency, and two questions at once cost it once."""
    with dial(proxy) as one:
        proxy.latency(0.1)
        began = time.monotonic()
        one.sendall(b"a")
        time.sleep(0.05)
        one.sendall(b"b")

        assert b"ab" == read(one, 2)
        assert 0.2 <= time.monotonic() - began < 0.4


def test_black_hole_holds_everything_until_it_heals(proxy: Proxy) -> None:
    """In a black hole old and new connections are silent, and what was held goes on afterwards."""
    with dial(proxy) as one:
        proxy.black_hole()
        with socket.create_connection(("127.0.0.1", proxy.port), 1) as other:
            for each in (one, other):
                each.settimeout(0.2)
                each.sendall(b"x")
                with pytest.raises(TimeoutError):
                    each.recv(1)

        proxy.heal()
        one.settimeout(2)

        assert b"x" == one.recv(1)


def test_client_that_reads_nothing_can_still_send(proxy: Proxy, echo: Echo) -> None:
    """Towards a not_reading client nothing passes, towards the server everything."""
    with dial(proxy) as one:
        proxy.not_reading("client")
        one.settimeout(0.2)
        one.sendall(b"question")
        with pytest.raises(TimeoutError):
            one.recv(1)

    assert echo.heard.endswith(b"question")


def test_half_open_connection_ends_for_the_server_only(proxy: Proxy, echo: Echo) -> None:
    """A half-open connection is at an end for the server, and silent for the client."""
    with dial(proxy) as one:
        proxy.half_open()
        assert echo.ended.wait(2)
        one.settimeout(0.2)
        one.sendall(b"x")

        with pytest.raises(TimeoutError):
            one.recv(1)
        dial(proxy).close()


@pytest.mark.parametrize("rst", [True, False])
def test_cut_is_rst_or_fin(proxy: Proxy, rst: bool) -> None:
    """A cut connection ends with RST or FIN, and the next one is served."""
    with dial(proxy) as one:
        proxy.cut(rst)

        if rst:
            with pytest.raises(ConnectionResetError):
                one.recv(1)
        else:
            assert b"" == one.recv(1)
        dial(proxy).close()


def test_cut_after_bytes_is_exact_and_happens_once(proxy: Proxy) -> None:
    """A connection is cut right after the byte that was named; the next one is not."""
    with dial(proxy) as one:
        proxy.cut_after(3)
        one.sendall(b"abcdef")
        with pytest.raises(ConnectionResetError):
            read(one, 4)  # and not always three: what is not read when RST comes may be lost

        assert 1 == proxy.cuts
        dial(proxy).close()


def test_cut_at_a_marker_keeps_the_answer_back(proxy: Proxy, echo: Echo) -> None:
    """What holds the marker reaches the server; the client gets a reset instead of the answer."""
    with dial(proxy) as one:
        proxy.cut_at(b"COMMIT")
        one.sendall(b"x COMMIT y")

        with pytest.raises(ConnectionResetError):
            one.recv(1)

    assert echo.heard.endswith(b"x COMMIT y")
    dial(proxy).close()


def test_before_a_marker_something_happens_once(proxy: Proxy, echo: Echo) -> None:
    """What holds the marker reaches the server only after the act that was to come before it; the next time without."""
    heard = []
    with dial(proxy) as one:
        proxy.before(b"COPY", lambda: heard.append(bytes(echo.heard)))
        for part in (b"BEGIN;", b"x COPY y", b"z COPY a"):
            one.sendall(part)
            assert part == read(one, len(part))

    assert [b"helloBEGIN;"] == heard
    assert echo.heard.endswith(b"BEGIN;x COPY yz COPY a")


def test_refused_until_healed(proxy: Proxy) -> None:
    """While refusing there is nobody at the port; afterwards there is again."""
    with dial(proxy):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), 1)
        proxy.heal()

        dial(proxy).close()


def test_one_byte_at_a_time_arrives_whole(proxy: Proxy) -> None:
    """Bytes passed one by one are all there, in order."""
    with dial(proxy) as one:
        proxy.one_byte()
        one.sendall(b"abcdefghij" * 20)

        assert b"abcdefghij" * 20 == read(one, 200)
