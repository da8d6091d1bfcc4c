"""Client of the control socket: one request, one answer, within a time limit."""

import itertools
import json
import os
import socket
from typing import Any

from eventwriter.control.peer import peer_of
from eventwriter.control.protocol import ANSWER_BYTES_MAX, encode_request
from eventwriter.control.socket_lock import is_shared_folder
from eventwriter.errors import EventwriterError

TIMEOUT_S = 5.0  # the daemon answers within one turn of its loop, which takes milliseconds
CHUNK_BYTES = 256 * 1024


class Unreachable(EventwriterError):
    """No daemon answers on the control socket."""

    default_code = "daemon_unreachable"


class Refused(EventwriterError):
    """The daemon refused the request; the text and the code are those of its answer."""

    default_code = "refused"


def inaccessible_folder(path: str) -> str | None:
    """Return the first folder on the way to a path that this user may not enter; None if there is none."""
    folders = [folder for folder in itertools.accumulate(path.split("/")[:-1], lambda a, b: f"{a}/{b}") if folder]
    return next((folder for folder in folders if os.path.isdir(folder) and not os.access(folder, os.X_OK)), None)


class Client:
    """A connection to a daemon; it is opened at first use, so that one object outlives a daemon's restart."""

    def __init__(self, path: str, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._ids = itertools.count(1)

    def call(self, verb: str, **fields: Any) -> Any:
        """
        Send one request and return the result.

        Raises:
            Unreachable: No daemon answers, or not in time.
            Refused: The daemon refused the request.
        """
        try:
            line = self._exchange(encode_request(next(self._ids), verb, fields))
        except TimeoutError:
            self.close()
            raise Unreachable(
                f"the daemon on {self.path} accepted the request but did not answer within {self._timeout_s:g} s"
            ) from None
        except OSError as error:
            self.close()
            raise self._unreachable(error) from None
        try:
            answer = json.loads(line)
            ok, body, code = answer["ok"], answer["result" if answer["ok"] else "error"], answer.get("code", "")
        except (ValueError, KeyError, TypeError, AttributeError):
            self.close()
            raise Unreachable(f"the program on {self.path} is not an eventwriter of this release") from None
        if not ok:
            raise Refused(str(body), code=str(code))
        return body

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(self._timeout_s)
            self._socket.connect(self.path)
            self._check_owner(self._socket)
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

    def _check_owner(self, connection: socket.socket) -> None:
        """Refuse a socket that another user has put into a folder where every user may create files."""
        if is_shared_folder(self.path) and peer_of(connection).uid not in (0, os.geteuid()):
            self.close()
            raise Unreachable(
                f"the program on {self.path} belongs to another user, and every user may create files in its folder",
                code="socket_untrusted",
                hint="set control.socket to a path in a folder of the daemon's user, such as /run/eventwriter",
            )

    def _unreachable(self, error: OSError) -> Unreachable:
        if isinstance(error, FileNotFoundError):
            message = f"no daemon is running: {self.path} does not exist"
            return Unreachable(message, hint="start `eventwriter run`, or set --socket")
        if isinstance(error, ConnectionRefusedError):
            return Unreachable(f"no daemon is running: {self.path} remains from one that has died")
        if isinstance(error, PermissionError):
            folder = inaccessible_folder(self.path)
            if folder is not None:
                return Unreachable(
                    f"this user may not enter {folder}, the folder of the control socket {self.path}",
                    hint="run the command as root, or join the folder's group and log in again",
                )
            message = f"this user may not open {self.path}"
            return Unreachable(message, hint="see control.mode and control.group")
        return Unreachable(f"the daemon on {self.path} is unreachable: {error.strerror or error}")
