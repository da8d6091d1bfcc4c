"""
The daemon's end of the control socket: accept, read requests, write answers, never block.

The supervisor's loop polls it: `fileno` is readable when `poll` has work. Every client has limited
buffers and limited time, so a client that never reads, or that sends incomplete lines or garbage,
costs a few kilobytes and nothing else.
"""

import contextlib
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from eventwriter.control.peer import Operators, Peer, peer_of
from eventwriter.control.protocol import REQUEST_BYTES_MAX, ProtocolError, Request, encode_error, parse_request

CLIENTS_MAX = 32  # operators, a dashboard, a few scripts; another client evicts the longest idle one
IDLE_S_MAX = 60.0  # a client that watches the status sends a request every few seconds
REQUESTS_MAX = 64  # answered in one turn for all clients, so that the loop goes on
CHUNK_BYTES = 64 * 1024


@dataclass(slots=True, eq=False)
class DeferredAnswer:
    """
    An answer that is not known yet; only its client waits for it.

    Whoever returned it must set `line` in the end: the server has no time limit for it.
    """

    line: bytes | None = None
    """The answer, as soon as it is known."""
    abandoned: bool = False
    """Whether the client has disconnected."""


AnswerFn = Callable[[Request], bytes | DeferredAnswer]
"""Returns the answer to a request, as a line, or deferred; must not raise."""


@dataclass(slots=True, eq=False)
class Client:
    """One connection; owned by the server."""

    socket: socket.socket
    peer: Peer
    active_s: float
    """Instant of its last request or of the last bytes that it received: monotonic seconds."""
    received: bytearray = field(default_factory=bytearray)
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    close_when_sent: bool = False
    """Whether to close the connection when `unsent` is empty."""
    deferred: DeferredAnswer | None = None
    """The answer that it waits for; its next requests wait too."""

    @property
    def has_request(self) -> bool:
        """Whether a complete request can be answered now."""
        return b"\n" in self.received and not self.unsent and self.deferred is None


class Server:
    """The listening socket and its clients; used in the supervisor's process, closed in every child."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._operators = Operators.of_socket(listener)
        self._clients: set[Client] = set()
        self._selector = selectors.EpollSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def fileno(self) -> int:
        """Return a descriptor that is readable when `poll` has work."""
        return self._selector.fileno()

    def poll(self, now_s: float, answer: AnswerFn) -> None:
        """
        Accept, read, answer and write without blocking, and close idle clients.

        Args:
            now_s: Monotonic seconds.
            answer: Returns the answer to a request.
        """
        for key, _ in self._selector.select(timeout=0):
            if key.data is None:
                self._accept(now_s)
            else:
                self._serve(key.data, now_s)
        for client in self._clients_with_requests():
            self._answer_one(client, now_s, answer)
        for client in list(self._clients):
            if client.deferred is None and now_s - client.active_s > IDLE_S_MAX:
                self._drop(client)

    def deliver(self, now_s: float) -> None:
        """Send the deferred answers that have become known."""
        for client in list(self._clients):
            if client.deferred is not None and client.deferred.line is not None:
                line, client.deferred, client.active_s = client.deferred.line, None, now_s
                self._send(client, line, now_s)

    def has_work(self) -> bool:
        """Return whether complete requests are waiting, so that the loop should not sleep."""
        return bool(self._clients_with_requests())

    def close(self) -> None:
        """Close every connection and the listening socket; the file stays."""
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        self._listener.close()

    def close_in_child(self) -> None:
        """
        Close a forked child's copies of the descriptors.

        Unlike `close`, it unregisters nothing: the child shares the kernel's epoll object with its
        parent, so that would affect the parent.
        """
        self._selector.close()
        self._listener.close()
        for client in self._clients:
            client.socket.close()

    def _clients_with_requests(self) -> list[Client]:
        return [client for client in self._clients if client.has_request][:REQUESTS_MAX]

    def _accept(self, now_s: float) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # the client has disconnected, or no descriptor is available; the next poll tries again
            return
        connection.setblocking(False)
        if len(self._clients) >= CLIENTS_MAX:
            self._drop(min(self._clients, key=lambda client: client.active_s))
        client = Client(connection, peer_of(connection), now_s)
        self._clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _serve(self, client: Client, now_s: float) -> None:
        if client.unsent:
            self._write(client, now_s)
            return
        try:
            chunk = client.socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(client)
            return
        client.received += chunk
        if client.deferred is not None and len(client.received) > REQUEST_BYTES_MAX:
            self._drop(client)  # it sends more requests without waiting for the answer
        elif len(client.received) > REQUEST_BYTES_MAX and b"\n" not in client.received[:REQUEST_BYTES_MAX]:
            client.close_when_sent = True
            message = f"a request has at most {REQUEST_BYTES_MAX} bytes"
            self._send(client, encode_error(None, message, "too_large"), now_s)

    def _answer_one(self, client: Client, now_s: float, answer: AnswerFn) -> None:
        line, _, client.received = client.received.partition(b"\n")
        client.active_s = now_s
        reply: bytes | DeferredAnswer
        try:
            request = parse_request(bytes(line))
            is_trusted = self._operators.allows(client.peer)
            reply = answer(replace(request, peer=str(client.peer), is_trusted=is_trusted))
        except ProtocolError as error:
            reply = encode_error(error.ref, str(error), error.code)
        if isinstance(reply, DeferredAnswer):
            client.deferred = reply
        else:
            self._send(client, reply, now_s)

    def _send(self, client: Client, line: bytes, now_s: float) -> None:
        client.unsent = memoryview(line)
        self._write(client, now_s)

    def _write(self, client: Client, now_s: float) -> None:
        """Write what the client accepts now; nothing is read from it while a part is unsent, to bound the memory."""
        try:
            sent = client.socket.send(client.unsent, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        client.unsent = client.unsent[sent:]
        if sent:
            client.active_s = now_s
        if client.close_when_sent and not client.unsent:
            self._drop(client)
            return
        interest = selectors.EVENT_WRITE if client.unsent else selectors.EVENT_READ
        self._selector.modify(client.socket, interest, client)

    def _drop(self, client: Client) -> None:
        self._clients.discard(client)
        if client.deferred is not None:
            client.deferred.abandoned = True
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.socket)
        client.socket.close()
