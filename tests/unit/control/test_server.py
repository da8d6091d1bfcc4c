"""The daemon's end of the control socket, with real sockets and nobody waiting."""

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
    """A server whose loop is turned by hand."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.bind(self.path)
        listener.listen(64)
        self.server = Server(listener)
        self.asked: list[str] = []
        self.parked: dict[str, DeferredAnswer] = {}
        self.now_s = 0.0

    def park(self, verb: str) -> DeferredAnswer:
        """Have a verb's answer waited for."""
        self.parked[verb] = DeferredAnswer()
        return self.parked[verb]

    def answer(self, request: Request, who: str) -> bytes | DeferredAnswer:
        """Answer `big` with much, what is parked later, anything else with its verb."""
        self.asked.append(request.verb)
        if request.verb in self.parked:
            return self.parked[request.verb]
        return protocol.answer(request.ref, "x" * BIG if request.verb == "big" else request.verb)

    def turn(self, turns: int = 4) -> None:
        """Turn the loop a few times."""
        for _ in range(turns):
            self.server.turn(self.now_s, self.answer)

    def client(self) -> socket.socket:
        """Connect, and let the daemon accept."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(self.path)
        connection.setblocking(False)
        self.turn(1)
        return connection


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon on a fresh socket."""
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
    """Say whether the daemon has closed the connection; leftover bytes are thrown away."""
    try:
        while connection.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def test_requests_in_one_chunk_are_answered_in_order(daemon: Daemon) -> None:
    """A client may ask several things at once."""
    with daemon.client() as client:
        client.send(STATUS + STATUS.replace(b"status", b"ping") + STATUS[:10])
        daemon.turn()

        assert ["status", "ping"] == [answer["result"] for answer in lines(client)]


def test_request_in_pieces_is_one_request(daemon: Daemon) -> None:
    """Half a line waits for its other half, and meanwhile others are served."""
    with daemon.client() as slow, daemon.client() as quick:
        slow.send(STATUS[:9])
        quick.send(STATUS)
        daemon.turn()
        between = (lines(slow), len(lines(quick)))
        slow.send(STATUS[9:])
        daemon.turn()

        assert ([], 1) == between
        assert "status" == lines(slow)[0]["result"]


def test_garbage_is_answered_and_forgiven(daemon: Daemon) -> None:
    """A line of garbage gets a sentence; the next request is served."""
    with daemon.client() as client:
        client.send(b"\x00\xff\n" + STATUS)
        daemon.turn()

        assert [False, True] == [answer["ok"] for answer in lines(client)]


def test_line_without_an_end_is_cut_off(daemon: Daemon) -> None:
    """A request longer than the limit is refused and the connection closed, so memory stays bounded."""
    with daemon.client() as client:
        sent = 0
        for _ in range(64):
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                sent += client.send(b"x" * 16384)
            daemon.turn(2)

        assert sent < 64 * 16384
        assert is_closed(client)


def test_client_that_never_reads_holds_up_nobody(daemon: Daemon) -> None:
    """While one client's answer is stuck it is not served further, others are, and it is dropped in the end."""
    with daemon.client() as stuck, daemon.client() as other:
        stuck.send(STATUS.replace(b"status", b"big") * 50)
        daemon.turn(20)
        other.send(STATUS)
        daemon.turn(20)

        assert 1 == daemon.asked.count("big")
        assert 1 == len(lines(other))

        daemon.now_s = IDLE_S_MAX + 1
        daemon.turn()
        assert is_closed(stuck)


def test_slow_reader_gets_its_whole_answer(daemon: Daemon) -> None:
    """An answer larger than the socket's buffer arrives in pieces."""
    with daemon.client() as client:
        client.send(STATUS.replace(b"status", b"big"))
        received = b""
        while not received.endswith(b"\n"):
            daemon.turn(1)
            if select.select([client], [], [], 0)[0]:
                received += client.recv(1 << 16)

        assert BIG == len(json.loads(received)["result"])


def test_silent_clients_are_closed(daemon: Daemon) -> None:
    """A client that asks nothing for long is closed; trickled bytes of half a request are no question."""
    with daemon.client() as silent, daemon.client() as trickling:
        for daemon.now_s in (IDLE_S_MAX / 2, IDLE_S_MAX, IDLE_S_MAX + 1):
            if not is_closed(trickling):
                trickling.send(b"x")
            daemon.turn()

        assert (True, True) == (is_closed(silent), is_closed(trickling))


def test_newcomer_takes_the_place_of_the_most_silent(daemon: Daemon) -> None:
    """Full is never locked: the client silent for longest goes."""
    clients = []
    for second in range(CLIENTS_MAX):
        daemon.now_s = float(second)
        clients.append(daemon.client())
    clients[0].send(STATUS)
    daemon.now_s += 1
    daemon.turn()

    newcomer = daemon.client()
    newcomer.send(STATUS)
    daemon.turn()

    assert 1 == len(lines(newcomer))
    assert [1] == [number for number, client in enumerate(clients) if is_closed(client)]
    for client in [*clients, newcomer]:
        client.close()


def test_client_that_leaves_in_the_middle_is_forgotten(daemon: Daemon) -> None:
    """A client that is gone before its answer costs nothing."""
    client = daemon.client()
    client.send(STATUS.replace(b"status", b"big"))
    client.close()
    daemon.turn()

    with daemon.client() as other:
        other.send(STATUS)
        daemon.turn()

        assert 1 == len(lines(other))


def test_waiting_requests_keep_the_loop_awake(daemon: Daemon) -> None:
    """The server says when whole requests wait that no descriptor announces."""
    with daemon.client() as client:
        client.send(STATUS * 2)
        daemon.turn(1)
        after_one = daemon.server.has_work()
        daemon.turn(1)

        assert (True, False) == (after_one, daemon.server.has_work())


def test_abandoned_copy_leaves_the_original_listening(daemon: Daemon) -> None:
    """What a forked child closes does not deafen its parent."""
    with daemon.client() as client:
        pid = os.fork()
        if pid == 0:
            daemon.server.abandon()
            os._exit(0)
        os.waitpid(pid, 0)
        client.send(STATUS)
        readable = select.select([daemon.server], [], [], 5)[0]
        daemon.turn()

        assert [daemon.server] == readable
        assert 1 == len(lines(client))


def test_parked_answer_comes_when_it_is_there(daemon: Daemon) -> None:
    """A client whose answer must be waited for holds up nobody, and gets its later answers in order."""
    parked = daemon.park("stacks")
    with daemon.client() as patient, daemon.client() as other:
        patient.send(STATUS.replace(b"status", b"stacks") + STATUS)
        other.send(STATUS)
        daemon.turn()
        daemon.now_s = IDLE_S_MAX + 1
        other.send(STATUS)
        daemon.turn()
        assert ([], 2) == (lines(patient), len(lines(other)))

        parked.line = protocol.answer(1, "late")
        daemon.server.deliver(daemon.now_s)
        daemon.turn()

        assert ["late", "status"] == [answer["result"] for answer in lines(patient)]


def test_client_that_leaves_abandons_its_answer(daemon: Daemon) -> None:
    """Whoever works on an answer can see that nobody waits for it any more."""
    parked = daemon.park("stacks")
    with daemon.client() as client:
        client.send(STATUS.replace(b"status", b"stacks"))
        daemon.turn()
        assert not parked.abandoned
    daemon.turn()

    assert parked.abandoned


def test_parked_client_cannot_pile_up_requests(daemon: Daemon) -> None:
    """A client that goes on asking while it waits is dropped at the limit of one request."""
    daemon.park("stacks")
    with daemon.client() as client:
        client.send(STATUS.replace(b"status", b"stacks"))
        daemon.turn()
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                client.send(STATUS * 100)
                daemon.turn(1)

        assert is_closed(client)
