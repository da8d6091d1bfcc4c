"""A TCP proxy of our own, in front of PostgreSQL: it lets COMMIT through and swallows its answer."""

import contextlib
import select
import socket
import threading
import time


class CommitCutter:
    """
    Forwards connections to a port; the first `cuts` COMMITs reach the server, their answers nobody.

    Attributes:
        cut: How many answers were swallowed.
    """

    def __init__(self, port: int, cuts: int) -> None:
        self._target, self._cuts = port, cuts
        self.cut = 0
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """End every connection."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._forward, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server, contextlib.suppress(OSError):
            while not self._closing.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.1)
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    (server if one is client else client).sendall(data)
                    if one is client and b"COMMIT\0" in data and self.cut < self._cuts:
                        self.cut += 1
                        time.sleep(0.1)  # the server commits; its answer stays here
                        return
