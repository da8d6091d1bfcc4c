"""
The daemon's end of the control socket: accept, read requests, write answers, never wait.

It is polled from the supervisor's loop: `fileno` is readable when `turn` has
something to do. Every client has bounded buffers and limited time, so one that
never reads, sends half a line, or sends garbage costs a few kilobytes and nothing else.
"""

import contextlib
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from eventwriter.control.peer import Operators, Peer, peer_of
from eventwriter.control.protocol import REQUEST_BYTES_MAX, ProtocolError, Request, parse, refusal

CLIENTS_MAX = 32  # operators, a dashboard, a few scripts; the one silent for longest makes room for another
IDLE_S_MAX = 60.0  # a watcher asks every few seconds
REQUESTS_MAX = 64  # answered in one turn over all clients, so that the loop keeps turning
CHUNK_BYTES = 64 * 1024


@dataclass(slots=True, eq=False)
class DeferredAnswer:
    """
    An answer that is not there yet; its client waits, and nothing else does.

    Whoever returned it must give it a line in the end: there is no time limit here.
    """

    line: bytes | None = None
    """The answer, once it is there."""
    abandoned: bool = False
    """The client went away meanwhile."""


Answer = Callable[[Request, str], bytes | DeferredAnswer]
"""(request, who asks) -> the answer's line, or the promise of one; must not raise."""


@dataclass(slots=True, eq=False)
class Client:
    """One connection; owned by the server."""

    socket: socket.socket
    peer: Peer
    active_s: float
    """When it last asked, or took bytes of an answer: monotonic seconds."""
    received: bytearray = field(default_factory=bytearray)
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    leaving: bool = False
    """Close once `unsent` is gone."""
    parked: DeferredAnswer | None = None
    """What it waits for; its further requests wait too."""


class Server:
    """The listening socket and its clients; lives in the supervisor's process, closed in every child."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._keepers = Operators.of(listener)
        self._clients: set[Client] = set()
        self._selector = selectors.EpollSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def fileno(self) -> int:
        """Return a descriptor that is readable when `turn` has work."""
        return self._selector.fileno()

    def turn(self, now_s: float, answer: Answer) -> None:
        """
        Do what can be done without waiting: accept, read, answer, write, close the silent.

        Args:
            now_s: Monotonic seconds.
            answer: Gives the answer to a request.
        """
        for key, _ in self._selector.select(timeout=0):
            if key.data is None:
                self._accept(now_s)
            else:
                self._serve(key.data, now_s)
        for client in self._waiting():
            self._answer_one(client, now_s, answer)
        for client in list(self._clients):
            if client.parked is None and now_s - client.active_s > IDLE_S_MAX:
                self._drop(client)

    def deliver(self, now_s: float) -> None:
        """Give parked clients the answers that have come."""
        for client in list(self._clients):
            if client.parked is not None and client.parked.line is not None:
                line, client.parked, client.active_s = client.parked.line, None, now_s
                self._say(client, line, now_s)

    def has_work(self) -> bool:
        """Say whether whole requests are waiting, so that the loop should not sleep."""
        return bool(self._waiting())

    def close(self) -> None:
        """Close every connection and the listening socket; the path on disk stays."""
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        self._listener.close()

    def abandon(self) -> None:
        """
        Close this copy of the descriptors, in a forked child.

        Not `close`: the child shares the kernel's epoll object with its parent, and
        unregistering anything here would deafen the parent.
        """
        self._selector.close()
        self._listener.close()
        for client in self._clients:
            client.socket.close()

    def _waiting(self) -> list[Client]:
        ready = [one for one in self._clients if b"\n" in one.received and not one.unsent and one.parked is None]
        return ready[:REQUESTS_MAX]

    def _accept(self, now_s: float) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # gone again, or no descriptor free: the next turn tries anew
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
            self._drop(client)
            return
        if not chunk:
            self._drop(client)
            return
        client.received += chunk
        if client.parked is not None and len(client.received) > REQUEST_BYTES_MAX:
            self._drop(client)  # it goes on asking without hearing the answer
        elif len(client.received) > REQUEST_BYTES_MAX and b"\n" not in client.received[:REQUEST_BYTES_MAX]:
            client.leaving = True
            self._say(client, refusal(None, f"a request has at most {REQUEST_BYTES_MAX} bytes"), now_s)

    def _answer_one(self, client: Client, now_s: float, answer: Answer) -> None:
        line, _, rest = client.received.partition(b"\n")
        client.received = rest
        client.active_s = now_s
        reply: bytes | DeferredAnswer
        try:
            request = replace(parse(bytes(line)), is_trusted=self._keepers.include(client.peer))
            reply = answer(request, str(client.peer))
        except ProtocolError as error:
            reply = refusal(error.ref, str(error))
        if isinstance(reply, DeferredAnswer):
            client.parked = reply
        else:
            self._say(client, reply, now_s)

    def _say(self, client: Client, line: bytes, now_s: float) -> None:
        client.unsent = memoryview(line)
        self._write(client, now_s)

    def _write(self, client: Client, now_s: float) -> None:
        """Write what the client takes now; while something is left it is not read from, so nothing piles up."""
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
        if client.leaving and not client.unsent:
            self._drop(client)
            return
        interest = selectors.EVENT_WRITE if client.unsent else selectors.EVENT_READ
        self._selector.modify(client.socket, interest, client)

    def _drop(self, client: Client) -> None:
        self._clients.discard(client)
        if client.parked is not None:
            client.parked.abandoned = True
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.socket)
        client.socket.close()
