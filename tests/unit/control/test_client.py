"""The client of the control socket."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventwriter.control.client import Client, Refused, Unreachable

Serve = Callable[[list[bytes]], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a scripted daemon in a child process: it answers each request with the next bytes, then closes."""
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


def test_connection_serves_several_requests(serve: Serve) -> None:
    """Several requests use one connection, and each call returns its own result."""
    client = Client(serve([b'{"ok":true,"result":1}\n', b'{"ok":true,"result":{"a":2}}\n']))

    assert [1, {"a": 2}] == [client.call("x"), client.call("y")]
    client.close()


def test_refusal_has_the_text_and_code_of_the_daemon(serve: Serve) -> None:
    """A refusal raises Refused with the daemon's text and code."""
    client = Client(serve([b'{"ok":false,"error":"there is no slot X","code":"unknown_slot"}\n']))

    with pytest.raises(Refused, match="there is no slot X") as refused:
        client.call("drain", slot="X")
    assert "unknown_slot" == refused.value.code
    client.close()


@pytest.mark.parametrize("answer", [b"hello\n", b"[]\n", b'{"ok":true}\n'])
def test_other_program_on_the_socket_is_reported(serve: Serve, answer: bytes) -> None:
    """An answer that is not of the protocol raises Unreachable."""
    with pytest.raises(Unreachable, match="not an eventwriter of this release"):
        Client(serve([answer])).call("status")


def test_closed_connection_is_unreachable(serve: Serve) -> None:
    """A daemon that closes the connection before it answers raises Unreachable."""
    with pytest.raises(Unreachable, match="is unreachable: "):
        Client(serve([])).call("status")


def test_missing_answer_is_unreachable_after_the_time_limit(serve: Serve) -> None:
    """A daemon that does not answer within the time limit raises Unreachable."""
    with pytest.raises(Unreachable, match=r"did not answer within 0\.05 s"):
        Client(serve([b"{"]), timeout_s=0.05).call("status")


def test_missing_and_dead_sockets_have_different_messages(tmp_path: Path) -> None:
    """A missing socket and the socket of a dead daemon have different messages."""
    with pytest.raises(Unreachable, match="does not exist; start `eventwriter run`"):
        Client(str(tmp_path / "none")).call("status")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))

    with pytest.raises(Unreachable, match="remains from one that has died"):
        Client(str(tmp_path / "dead")).call("status")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize(("mode", "trusted"), [(0o1777, False), (0o755, True)], ids=["shared folder", "private folder"])
def test_daemon_of_another_user_is_trusted_only_in_a_private_folder(tmp_path: Path, mode: int, trusted: bool) -> None:
    """Whoever may create files in a folder could answer there, so another user's program is not asked anything."""
    tmp_path.chmod(mode)
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        listener.listen()  # the peer's user is that of listen()
        connection, _ = listener.accept()
        if connection.recv(65536):
            connection.sendall(b'{"ok":true,"result":1}\n')
        os._exit(0)
    listener.close()
    client = Client(path)

    def call() -> object:
        while True:
            try:
                return client.call("x")
            except Unreachable as error:
                if error.code != "daemon_unreachable":  # it may not listen yet
                    return error.code

    assert (1 if trusted else "socket_untrusted") == call()
    client.close()
    os.waitpid(pid, 0)
