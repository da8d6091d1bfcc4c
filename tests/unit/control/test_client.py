"""The operator's end of the control socket."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventwriter.control.client import Client, Refused, Unreachable

Serve = Callable[[list[bytes]], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a scripted daemon in a child: each request is answered by the next bytes, then the line goes dead."""
    pids = []

    def start(answers: list[bytes]) -> str:
        path = str(tmp_path / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        pid = os.fork()
        if pid == 0:
            connection, _ = listener.accept()
            for answer in answers:
                connection.recv(65536)
                connection.sendall(answer)
            connection.recv(65536)
            connection.close()
            listener.close()
            os._exit(0)
        listener.close()
        pids.append(pid)
        return path

    yield start
    for pid in pids:
        os.waitpid(pid, 0)


def test_answers_come_back_one_by_one(serve: Serve) -> None:
    """One connection serves several questions."""
    client = Client(serve([b'{"ok":true,"result":1}\n', b'{"ok":true,"result":{"a":2}}\n']))

    assert [1, {"a": 2}] == [client.call("x"), client.call("y")]
    client.close()


def test_refusal_is_raised_with_its_sentence(serve: Serve) -> None:
    """The daemon's sentence reaches the operator."""
    client = Client(serve([b'{"ok":false,"error":"no slot is called X"}\n']))

    with pytest.raises(Refused, match="no slot is called X"):
        client.call("drain", slot="X")
    client.close()


@pytest.mark.parametrize("answer", [b"hello\n", b"[]\n", b'{"ok":true}\n'])
def test_stranger_on_the_socket_is_unreachable(serve: Serve, answer: bytes) -> None:
    """What does not speak the protocol is no daemon."""
    with pytest.raises(Unreachable, match="is no eventwriter of this release"):
        Client(serve([answer])).call("status")


def test_connection_cut_in_the_middle_is_unreachable(serve: Serve) -> None:
    """A daemon that dies while answering is reported, with its socket's path."""
    with pytest.raises(Unreachable, match="cannot be reached"):
        Client(serve([])).call("status")


def test_silence_is_unreachable(serve: Serve) -> None:
    """A daemon that takes the question and says nothing is given up after the time limit."""
    with pytest.raises(Unreachable, match=r"gave no answer within 0\.05 s"):
        Client(serve([b"{"]), timeout_s=0.05).call("status")


def test_missing_and_dead_sockets_are_told_apart(tmp_path: Path) -> None:
    """No socket and a dead daemon's socket have different sentences."""
    with pytest.raises(Unreachable, match="does not exist; start `eventwriter run` or give --socket"):
        Client(str(tmp_path / "none")).call("status")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))

    with pytest.raises(Unreachable, match="was left behind by one that is dead"):
        Client(str(tmp_path / "dead")).call("status")
