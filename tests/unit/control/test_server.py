"""The server of the control socket, with real sockets in one thread."""

import contextlib
import json
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventwriter.control import protocol
from eventwriter.control.protocol import Request
from eventwriter.control.server import CLIENTS_MAX, IDLE_S_MAX, DeferredAnswer, Server

BIG = 3_000_000  # bytes: more than any socket buffer takes
STATUS = b'{"v":1,"id":1,"verb":"status"}\n'


class Daemon:
    """A server that the test polls."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.bind(self.path)
        listener.listen(64)
        self.server = Server(listener)
        self.requests: list[str] = []
        self.deferred: dict[str, DeferredAnswer] = {}
        self.now_s = 0.0

    def defer(self, verb: str) -> DeferredAnswer:
        """Defer the answer of a verb."""
        self.deferred[verb] = DeferredAnswer()
        return self.deferred[verb]

    def answer(self, request: Request) -> bytes | DeferredAnswer:
        """Answer `big` with many bytes, a deferred verb later, and any other request with its verb."""
        self.requests.append(request.verb)
        if request.verb in self.deferred:
            return self.deferred[request.verb]
        return protocol.encode_answer(request.ref, "x" * BIG if request.verb == "big" else request.verb)

    def poll(self, times: int = 4) -> None:
        """Poll the server a few times."""
        for _ in range(times):
            self.server.poll(self.now_s, self.answer)

    def client(self) -> socket.socket:
        """Connect, and poll the server once so that it accepts."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(self.path)
        connection.setblocking(False)
        self.poll(1)
        return connection


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon on a new socket."""
    made = Daemon(tmp_path / "s")
    yield made
    made.server.close()


def lines(connection: socket.socket) -> list[Any]:
    """Return the answers that have arrived."""
    received = b""
    while select.select([connection], [], [], 0)[0]:
        chunk = connection.recv(1 << 20)
        if not chunk:
            break
        received += chunk
    return [json.loads(line) for line in received.splitlines()]


def is_closed(connection: socket.socket) -> bool:
    """Return whether the daemon has closed the connection; remaining bytes are discarded."""
    try:
        while connection.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def test_requests_in_one_chunk_are_answered_in_order(daemon: Daemon) -> None:
    """Several requests that arrive together are answered in order."""
    with daemon.client() as client:
        client.send(STATUS + STATUS.replace(b"status", b"ping") + STATUS[:10])
        daemon.poll()

        assert ["status", "ping"] == [answer["result"] for answer in lines(client)]


def test_incomplete_request_does_not_delay_others(daemon: Daemon) -> None:
    """An incomplete line waits for its rest, and other clients are served meanwhile."""
    with daemon.client() as slow, daemon.client() as quick:
        slow.send(STATUS[:9])
        quick.send(STATUS)
        daemon.poll()
        between = (lines(slow), len(lines(quick)))
        slow.send(STATUS[9:])
        daemon.poll()

        assert ([], 1) == between
        assert "status" == lines(slow)[0]["result"]


def test_malformed_line_is_answered_with_an_error(daemon: Daemon) -> None:
    """A malformed line is answered with an error, and the next request is served."""
    with daemon.client() as client:
        client.send(b"\x00\xff\n" + STATUS)
        daemon.poll()

        assert [False, True] == [answer["ok"] for answer in lines(client)]


def test_too_long_line_closes_the_connection(daemon: Daemon) -> None:
    """A request above the limit is refused and the connection closed, so memory is bounded."""
    with daemon.client() as client:
        sent = 0
        for _ in range(64):
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                sent += client.send(b"x" * 16384)
            daemon.poll(2)

        assert sent < 64 * 16384
        assert is_closed(client)


def test_client_that_never_reads_is_closed_and_delays_no_other(daemon: Daemon) -> None:
    """A client that does not read its answer is not served further, delays no other client, and is closed when idle."""
    with daemon.client() as stuck, daemon.client() as other:
        stuck.send(STATUS.replace(b"status", b"big") * 50)
        daemon.poll(20)
        other.send(STATUS)
        daemon.poll(20)

        assert 1 == daemon.requests.count("big")
        assert 1 == len(lines(other))

        daemon.now_s = IDLE_S_MAX + 1
        daemon.poll()
        assert is_closed(stuck)


def test_slow_reader_receives_the_whole_answer(daemon: Daemon) -> None:
    """An answer larger than the socket buffer arrives in several parts."""
    with daemon.client() as client:
        client.send(STATUS.replace(b"status", b"big"))
        received = b""
        while not received.endswith(b"\n"):
            daemon.poll(1)
            if select.select([client], [], [], 0)[0]:
                received += client.recv(1 << 16)

        assert BIG == len(json.loads(received)["result"])


def test_idle_client_is_closed(daemon: Daemon) -> None:
    """A client that completes no request for `IDLE_S_MAX` is closed, even if it sends single bytes."""
    with daemon.client() as silent, daemon.client() as trickling:
        for daemon.now_s in (IDLE_S_MAX / 2, IDLE_S_MAX, IDLE_S_MAX + 1):
            if not is_closed(trickling):
                trickling.send(b"x")
            daemon.poll()

        assert (True, True) == (is_closed(silent), is_closed(trickling))


def test_new_client_evicts_the_longest_idle_one(daemon: Daemon) -> None:
    """If all places are taken, a new client evicts the client that has been idle for longest."""
    clients = []
    for second in range(CLIENTS_MAX):
        daemon.now_s = float(second)
        clients.append(daemon.client())
    clients[0].send(STATUS)
    daemon.now_s += 1
    daemon.poll()

    newcomer = daemon.client()
    newcomer.send(STATUS)
    daemon.poll()

    assert 1 == len(lines(newcomer))
    assert [1] == [number for number, client in enumerate(clients) if is_closed(client)]
    for client in [*clients, newcomer]:
        client.close()


def test_client_that_disconnects_before_its_answer_is_dropped(daemon: Daemon) -> None:
    """A client that disconnects before its answer does not affect others."""
    client = daemon.client()
    client.send(STATUS.replace(b"status", b"big"))
    client.close()
    daemon.poll()

    with daemon.client() as other:
        other.send(STATUS)
        daemon.poll()

        assert 1 == len(lines(other))


def test_buffered_request_is_work(daemon: Daemon) -> None:
    """`has_work` reports complete requests that are buffered and that no descriptor announces."""
    with daemon.client() as client:
        client.send(STATUS * 2)
        daemon.poll(1)
        after_one = daemon.server.has_work()
        daemon.poll(1)

        assert (True, False) == (after_one, daemon.server.has_work())


def test_closing_in_a_child_keeps_the_parent_listening(daemon: Daemon) -> None:
    """A forked child that closes its copies does not stop the parent from listening."""
    with daemon.client() as client:
        pid = os.fork()
        if pid == 0:
            daemon.server.close_in_child()
            os._exit(0)
        os.waitpid(pid, 0)
        client.send(STATUS)
        readable = select.select([daemon.server], [], [], 5)[0]
        daemon.poll()

        assert [daemon.server] == readable
        assert 1 == len(lines(client))


def test_deferred_answer_is_delivered_later(daemon: Daemon) -> None:
    """A client with a deferred answer delays no other, and receives all its answers in order."""
    deferred = daemon.defer("stacks")
    with daemon.client() as patient, daemon.client() as other:
        patient.send(STATUS.replace(b"status", b"stacks") + STATUS)
        other.send(STATUS)
        daemon.poll()
        daemon.now_s = IDLE_S_MAX + 1
        other.send(STATUS)
        daemon.poll()
        assert ([], 2) == (lines(patient), len(lines(other)))

        deferred.line = protocol.encode_answer(1, "late")
        daemon.server.deliver(daemon.now_s)
        daemon.poll()

        assert ["late", "status"] == [answer["result"] for answer in lines(patient)]


def test_disconnected_client_abandons_its_deferred_answer(daemon: Daemon) -> None:
    """A deferred answer is marked as abandoned when its client disconnects."""
    deferred = daemon.defer("stacks")
    with daemon.client() as client:
        client.send(STATUS.replace(b"status", b"stacks"))
        daemon.poll()
        assert not deferred.abandoned
    daemon.poll()

    assert deferred.abandoned


def test_client_with_a_deferred_answer_cannot_buffer_many_requests(daemon: Daemon) -> None:
    """A client that sends more requests than the limit while its answer is deferred is closed."""
    daemon.defer("stacks")
    with daemon.client() as client:
        client.send(STATUS.replace(b"status", b"stacks"))
        daemon.poll()
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                client.send(STATUS * 100)
                daemon.poll(1)

        assert is_closed(client)
