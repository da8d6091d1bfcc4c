"""The web child with a scripted supervisor, to display any snapshot on the dashboard."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventwriter.demo.process import free_port

CHILD = """
import json, socket, sys
from eventwriter.config.settings import Settings
from eventwriter.web.main import run
settings = Settings.model_validate(json.loads(sys.argv[1]))
sys.exit(run(settings, sys.argv[2], socket.socket(fileno=int(sys.argv[3]))))
"""


class ScriptedSupervisor:
    """
    A control socket that answers every request with `snapshot`, and a web child that reads it.

    Attributes:
        snapshot: The next answer; None to close the connection without an answer.
    """

    def __init__(self, folder: Path, snapshot: dict[str, Any], **http: Any) -> None:
        self.snapshot: dict[str, Any] | None = snapshot
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        path = str(folder / "scripted.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._answer, daemon=True).start()
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = json.dumps({"http": {"listen": f"127.0.0.1:{self.port}", **http}})
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD, settings, path, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        while json.loads(self.link.recv(65536))["state"] != "running":
            pass

    def close(self) -> int:
        """Drain the web child as the supervisor does; return its exit code."""
        self.link.send(b'{"type": "drain"}')
        try:
            return self._child.wait(10)
        finally:
            self._child.kill()
            self._child.wait()
            self.link.close()
            self._listener.close()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as lines:
                for line in lines:
                    if self.snapshot is None:
                        break
                    answer = {"v": 1, "id": json.loads(line)["id"], "ok": True, "result": self.snapshot}
                    lines.write(json.dumps(answer).encode() + b"\n")
                    lines.flush()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Any]:
    """Start a web child with a scripted supervisor: `scripted(snapshot, **http)`."""
    started: list[ScriptedSupervisor] = []

    def make(snapshot: dict[str, Any], **http: Any) -> ScriptedSupervisor:
        started.append(ScriptedSupervisor(tmp_path, snapshot, **http))
        return started[-1]

    yield make
    for supervisor in started:
        supervisor.close()
