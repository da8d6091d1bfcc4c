"""
A TCP proxy of our own, to stand between a program and a server and be the network that fails.

One `Proxy` is one port that forwards to another. What it does to the bytes is its
`way`, which may be changed at any moment and holds for connections that stand and
for those that come; `heal()` goes back to forwarding. Everything runs in one
thread with an event loop of its own; all public methods may be called from any thread.

    proxy = Proxy(server_port)
    proxy.latency(0.2)          each direction is late by 0.2 s
    proxy.one_byte()            one byte in each write
    proxy.black_hole()          connections stand, new ones are accepted; no byte passes, nobody is told
    proxy.not_reading("client")        as a black hole, towards the client only ("server": towards the server only)
    proxy.half_open()           servers see the end of their connections, clients are told nothing
    proxy.cut(rst=True)         connections that stand are cut, with RST or with FIN; new ones are served
    proxy.cut_after(100)        the connection that brings its 100th byte to the client is cut there, once
    proxy.cut_at(b"COMMIT\\0")   what holds this reaches the server, its answer nobody: cut, `times` times
    proxy.before(b"COPY ", act) what holds this waits for the end of `act()`, once, and goes on to the server
    proxy.after(b"PUB ", act)   what holds this goes on to the server, then `act()` is called, once
    proxy.rewrite(function)     what goes to the client is changed by `function`, which keeps its length
    proxy.refuse()              as `cut`, and new connections are refused
    proxy.heal()
"""

import asyncio
import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

_CHUNK_BYTES = 65536
_ANSWER_S_MAX = 10.0
"""Longest wait for the server's answer to the data that `cut_at` let through."""
_ANSWER_S = 0.1
"""Time for the rest of this answer."""


@dataclass(frozen=True, slots=True)
class Way:
    """
    What is done to bytes.

    Attributes:
        latency_s: By how much each direction is late.
        chunk_bytes: At most so many in one write.
        not_reading: Towards whom nothing passes: `client`, `server`.
        rewrite: Changes data for the client; None to leave them.
    """

    latency_s: float = 0.0
    chunk_bytes: int = _CHUNK_BYTES
    not_reading: frozenset[str] = frozenset()
    rewrite: Callable[[bytes], bytes] | None = None


@dataclass(slots=True)
class Link:
    """One connection through the proxy: both sockets, and what moves bytes between them."""

    client: socket.socket
    server: socket.socket
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    orphan: bool = False
    """The server's side is gone, and the client is not to know."""


class Proxy:
    """
    A port of 127.0.0.1 that forwards to another one.

    Attributes:
        port: Where it listens.
        accepted: How many connections came.
        cuts: How many connections `cut_after` and `cut_at` have cut.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.accepted = self.cuts = 0
        self.way = Way()
        self._after: int | None = None
        self._at: tuple[bytes, int] = (b"", 0)
        self._before: tuple[bytes, Callable[[], object]] | None = None
        self._after_sent: tuple[bytes, Callable[[], object]] | None = None
        self._links: list[Link] = []
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen)

    @property
    def connections(self) -> int:
        """How many connections stand."""
        return len(self._links)

    def heal(self) -> None:
        """Forward again, at once; what was held in a black hole goes on its way."""
        self._do(self._set, Way())

    def latency(self, late_s: float) -> None:
        """Be late by so much in each direction."""
        self._do(self._set, Way(latency_s=late_s))

    def one_byte(self) -> None:
        """Pass bytes one by one."""
        self._do(self._set, Way(chunk_bytes=1))

    def black_hole(self) -> None:
        """Keep connections and accept new ones, without a byte passing; nobody is told."""
        self._do(self._set, Way(not_reading=frozenset(("client", "server"))))

    def not_reading(self, whom: str) -> None:
        """Let nothing pass towards `client` or `server`, the other direction as before."""
        self._do(self._set, Way(not_reading=frozenset((whom,))))

    def rewrite(self, function: Callable[[bytes], bytes]) -> None:
        """Change what goes to clients; `function` must keep the length of the data."""
        self._do(self._set, Way(rewrite=function))

    def half_open(self) -> None:
        """End the servers' side of the connections that stand; their clients are not told."""
        self._do(self._orphan)

    def cut(self, rst: bool = True) -> None:
        """Cut the connections that stand."""
        self._do(self._cut_all, rst)

    def cut_after(self, count: int) -> None:
        """Cut, with RST, the connection that brings the next `count`th byte to a client, right after it."""
        self._do(setattr, self, "_after", count)

    def cut_at(self, marker: bytes, times: int = 1) -> None:
        """Let what holds `marker` through to the server, and cut before its answer; so many times."""
        self._do(setattr, self, "_at", (marker, times))

    def before(self, marker: bytes, act: Callable[[], object]) -> None:
        """Call `act`, in another thread, before what holds `marker` goes to the server; once."""
        self._do(setattr, self, "_before", (marker, act))

    def after(self, marker: bytes, act: Callable[[], object]) -> None:
        """Call `act`, in another thread, after data that contain `marker` were sent to the server; once."""
        self._do(setattr, self, "_after_sent", (marker, act))

    def refuse(self) -> None:
        """Cut the connections that stand, and refuse new ones until `heal`."""
        self._do(self._refuse)

    def close(self) -> None:
        """End every connection."""
        self._do(self._refuse)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, act: Callable[..., object], *values: object) -> None:
        """Have `act` done by the proxy's thread, and wait for it."""
        done = threading.Event()

        def doing() -> None:
            try:
                act(*values)
            finally:
                done.set()

        self._loop.call_soon_threadsafe(doing)
        done.wait()

    def _set(self, way: Way) -> None:
        self.way = way
        self._after, self._at, self._before, self._after_sent = None, (b"", 0), None, None
        self._changed.set()
        self._changed = asyncio.Event()
        self._listen()

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener.fileno(), self._accept, self._listener)

    def _refuse(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        self._cut_all(rst=True)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client, _ = listener.accept()
            self.accepted += 1
            link = Link(client, socket.socket())
            # A server whose client does not read is to feel it soon.
            link.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
            self._links.append(link)
            for one in (link.client, link.server):
                one.setblocking(False)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.tasks.append(self._loop.create_task(self._join(link)))

    async def _join(self, link: Link) -> None:
        try:
            await self._loop.sock_connect(link.server, ("127.0.0.1", self.target))
        except OSError:
            self._end(link, rst=True)
            return
        for pump in (self._pump(link, link.client, "server"), self._pump(link, link.server, "client")):
            link.tasks.append(self._loop.create_task(pump))

    async def _pump(self, link: Link, source: socket.socket, whom: str) -> None:
        """Read from `source` and have it written, in time, to `whom`."""
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        link.tasks.append(self._loop.create_task(self._write(link, late, whom)))
        data = b"x"
        while data:
            await self._open(whom)
            try:
                data = await self._loop.sock_recv(source, _CHUNK_BYTES)
            except OSError:
                data = b""
            if not data and link.orphan:
                self._end(link, rst=False)
            late.put_nowait((self._loop.time() + self.way.latency_s, data))

    async def _write(self, link: Link, late: "asyncio.Queue[tuple[float, bytes]]", whom: str) -> None:
        sink = link.server if whom == "server" else link.client
        while True:
            due_s, data = await late.get()
            await asyncio.sleep(max(0.0, due_s - self._loop.time()))
            await self._open(whom)
            if not data:
                self._end(link, rst=False)
                return
            if whom == "server" and self._before and self._before[0] in data:
                (_, act), self._before = self._before, None
                await self._loop.run_in_executor(None, act)
            if whom == "client" and self.way.rewrite is not None:
                data = self.way.rewrite(data)
            after = self._after_sent if whom == "server" and self._after_sent and self._after_sent[0] in data else None
            try:
                while data:
                    size = min(self.way.chunk_bytes, self._left(whom))
                    await self._loop.sock_sendall(sink, data[:size])
                    if await self._is_last(link, data[:size], whom):
                        return
                    data = data[size:]
                if after is not None:
                    self._after_sent = None
                    await self._loop.run_in_executor(None, after[1])
            except OSError:
                if not link.orphan:
                    self._end(link, rst=True)
                return

    def _left(self, whom: str) -> int:
        return self._after if whom == "client" and self._after is not None else _CHUNK_BYTES

    async def _is_last(self, link: Link, sent: bytes, whom: str) -> bool:
        """Cut where `cut_after` or `cut_at` wants it."""
        if whom == "client" and self._after is not None:
            self._after -= len(sent)
            if self._after > 0:
                return False
            self._after = None
        elif whom == "server" and self._at[1] and self._at[0] in sent:
            self._at = (self._at[0], self._at[1] - 1)
            # The answer must not be passed on: the pump of the other direction stops reading.
            self._loop.remove_reader(link.server.fileno())
            await self._answered(link.server)
        else:
            return False
        self.cuts += 1
        self._end(link, rst=True)
        return True

    async def _answered(self, server: socket.socket) -> None:
        """Wait until the server has answered, and thereby acted on what it received."""
        await self._loop.run_in_executor(None, select.select, [server], [], [], _ANSWER_S_MAX)
        await asyncio.sleep(_ANSWER_S)

    async def _open(self, whom: str) -> None:
        while whom in self.way.not_reading:
            await self._changed.wait()

    def _orphan(self) -> None:
        for link in (one for one in self._links if not one.orphan):
            link.orphan = True
            self._loop.remove_reader(link.server.fileno())
            self._loop.remove_writer(link.server.fileno())
            _close(link.server, rst=False)

    def _cut_all(self, rst: bool) -> None:
        for link in list(self._links):
            self._end(link, rst)

    def _end(self, link: Link, rst: bool) -> None:
        if link in self._links:
            self._links.remove(link)
        current = asyncio.current_task(self._loop)
        for task in link.tasks:
            if task is not current:
                task.cancel()
        for one in (link.client, link.server):
            if one.fileno() >= 0:
                self._loop.remove_reader(one.fileno())
                self._loop.remove_writer(one.fileno())
            _close(one, rst)


def _close(one: socket.socket, rst: bool) -> None:
    with contextlib.suppress(OSError):
        if rst:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            one.shutdown(socket.SHUT_RDWR)
    one.close()
