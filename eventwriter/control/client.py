"""The operator's end of the control socket: one question, one answer, within a time limit."""

import itertools
import json
import socket
from typing import Any

from eventwriter.control.protocol import ANSWER_BYTES_MAX, question
from eventwriter.errors import EventwriterError

TIMEOUT_S = 5.0  # the daemon answers within a turn of its loop: milliseconds
CHUNK_BYTES = 256 * 1024


class Unreachable(EventwriterError):
    """No daemon answers on the control socket."""


class Refused(EventwriterError):
    """The daemon understood and says no; the text is its sentence."""


class Client:
    """A connection to a daemon; opens on first use, so that one object outlives a daemon's restart."""

    def __init__(self, path: str, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._ids = itertools.count(1)

    def call(self, verb: str, **fields: Any) -> Any:
        """
        Ask one question and return its answer.

        Raises:
            Unreachable: Nobody answers, or not in time.
            Refused: The daemon says no.
        """
        try:
            line = self._exchange(question(next(self._ids), verb, fields))
        except TimeoutError:
            self.close()
            raise Unreachable(
                f"the daemon on {self.path} took the question and gave no answer within {self._timeout_s:g} s"
            ) from None
        except OSError as error:
            self.close()
            raise Unreachable(self._why(error)) from None
        try:
            answer = json.loads(line)
            ok, body = answer["ok"], answer["result" if answer["ok"] else "error"]
        except (ValueError, KeyError, TypeError):
            self.close()
            raise Unreachable(f"what answers on {self.path} is no eventwriter of this release") from None
        if not ok:
            raise Refused(str(body))
        return body

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(self._timeout_s)
            self._socket.connect(self.path)
        self._socket.sendall(request)
        received = bytearray()
        while not received.endswith(b"\n"):
            chunk = self._socket.recv(CHUNK_BYTES)
            if not chunk:
                raise ConnectionResetError("the daemon closed the connection")
            received += chunk
            if len(received) > ANSWER_BYTES_MAX:
                raise ConnectionAbortedError("the answer is longer than any daemon's")
        return bytes(received)

    def _why(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError):
            return f"no daemon is running here: {self.path} does not exist; start `eventwriter run` or give --socket"
        if isinstance(error, ConnectionRefusedError):
            return f"no daemon is running here: {self.path} was left behind by one that is dead"
        if isinstance(error, PermissionError):
            return f"{self.path} may not be opened by this user; see control.mode and control.group"
        return f"the daemon on {self.path} cannot be reached: {error.strerror or error}"
