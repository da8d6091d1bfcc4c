"""The numbered book: what was published, each message stored by JetStream before it counts."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import nats
import nats.errors
import nats.js.errors

SUBJECT = "telemetry.test"
GARBAGE_EVERY = 50
STORE_S_MAX = 60.0


def is_garbage(n: int) -> bool:
    """Say whether message `n` is one that becomes a dead letter."""
    return n % GARBAGE_EVERY == 7


def garbage(n: int) -> bytes:
    """Return a message that is no JSON."""
    return b"garbage %d" % n


def large(limit: int, margin: int = 400) -> Callable[[int], bytes]:
    """Return what makes messages that, with headers, just fit the server's `max_payload`."""

    def body(n: int) -> bytes:
        made = json.dumps({"value": n, "metadata": {"n": n, "pad": ""}}).encode()
        return made.replace(b'""', b'"%b"' % (b"x" * (limit - margin - len(made))))

    return body


def sample(n: int) -> bytes:
    """Return message `n`."""
    return json.dumps({"value": n, "metadata": {"n": n}}).encode()


class Publisher:
    """
    Publishes numbered messages from a thread of its own, until it is closed.

    A message whose acknowledgement does not come is published again under the same
    `Nats-Msg-Id`, so that the stream has it once.

    Attributes:
        stored: The stream sequence of each number that JetStream has acknowledged.
        excused: Numbers that may be missing because the fault takes them out of the stream; never twice, though.
        burst, gap_s: How many at once, and the pause after them: the load. May be changed at any time.
        body, garbage, subject: Make message `n`, where it is to become a row and where not; and its subject.
    """

    def __init__(self, book: str, url: str, login: dict[str, Any]) -> None:
        self.book, self.url, self.login = book, url, login
        self.stored: dict[int, int] = {}
        self.excused: set[int] = set()
        self.burst, self.gap_s = 60, 0.05
        self.body: Callable[[int], bytes] = sample
        self.garbage: Callable[[int], bytes] = garbage
        self.subject: Callable[[int], str] = lambda _: SUBJECT
        self.next = 0
        self.failed: BaseException | None = None
        self._wanted, self._idle, self._ended = False, threading.Event(), False
        self._idle.set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()

    def begin(self, book: str) -> None:
        """Open a new, empty book; the publisher must be at rest."""
        assert self._idle.is_set()
        self.book, self.next = book, 0
        self.stored, self.excused = {}, set()

    def start(self) -> None:
        """Publish from now on."""
        self._idle.clear()
        self._wanted = True

    def rest(self) -> None:
        """Publish no more, and wait until everything that was begun is stored."""
        self._wanted = False
        if not self._idle.wait(STORE_S_MAX) or self.failed:
            raise AssertionError(f"the publisher cannot store message {len(self.stored)}: {self.failed}")

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Rest, and publish again afterwards."""
        self.rest()
        yield
        self.start()

    def add(self, count: int) -> None:
        """Publish so many more, and then rest."""
        until, upto = time.monotonic() + STORE_S_MAX, self.next + count
        self.start()
        while self.next < upto and time.monotonic() < until:
            time.sleep(0.01)
        self.rest()

    def add_large(self, js: Any, body: Callable[[int], bytes], count: int) -> Any:
        """Publish over a connection that knows the server's limits as they are now; we must be at rest."""

        async def each() -> None:
            for _ in range(count):
                self.next += is_garbage(self.next)
                self.stored[self.next] = (await js.publish(self.subject(self.next), body(self.next), timeout=5)).seq
                self.next += 1

        return each()

    def close(self) -> None:
        """End."""
        self._ended, self._wanted = True, False
        self._thread.join(5)

    async def _main(self) -> None:
        try:
            client = await nats.connect(
                self.url, **self.login, max_reconnect_attempts=-1, reconnect_time_wait=0.05, ping_interval=1,
                error_cb=self._ignore, pending_size=64 * 2**20,
            )  # fmt: skip
        except (nats.errors.Error, OSError) as error:
            self.failed = error
            self._idle.set()
            return
        jetstream = client.jetstream()
        while not self._ended:
            if self._wanted:
                first, self.next = self.next, self.next + self.burst
                await asyncio.gather(*(self._store(jetstream, n) for n in range(first, first + self.burst)))
                await asyncio.sleep(self.gap_s)
            else:
                self._idle.set()
                await asyncio.sleep(0.01)
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(client.close(), 2)

    async def _ignore(self, error: BaseException) -> None:
        pass

    async def _store(self, jetstream: Any, n: int) -> None:
        book, body = self.book, self.garbage(n) if is_garbage(n) else self.body(n)
        while not self._ended:
            try:
                ack = await jetstream.publish(
                    self.subject(n), body, timeout=2.0, headers={"Nats-Msg-Id": f"{book}-{n}"}
                )
                self.stored[n] = ack.seq
                return
            except (nats.errors.Error, OSError, TimeoutError):
                await asyncio.sleep(0.05)
