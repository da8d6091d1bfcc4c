"""Publisher of numbered messages, which records what JetStream has stored."""

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
"""Longest wait for JetStream to store a message while a server is down."""


def is_garbage(n: int) -> bool:
    """Return whether message `n` should become a dead letter."""
    return n % GARBAGE_EVERY == 7


def garbage(n: int) -> bytes:
    """Return a message that is not JSON."""
    return b"garbage %d" % n


def large(limit: int, margin: int = 400) -> Callable[[int], bytes]:
    """Return a body function whose messages, with headers, just fit the server's `max_payload`."""

    def body(n: int) -> bytes:
        payload = json.dumps({"value": n, "metadata": {"n": n, "pad": ""}}).encode()
        return payload.replace(b'""', b'"%b"' % (b"x" * (limit - margin - len(payload))))

    return body


def sample(n: int) -> bytes:
    """Return the payload of message `n`."""
    return json.dumps({"value": n, "metadata": {"n": n}}).encode()


class Publisher:
    """
    Publishes numbered messages from its own thread until it is closed.

    A message that is not acknowledged is published again with the same `Nats-Msg-Id`,
    so that the stream stores it once.

    Attributes:
        stored: Stream sequence of each number that JetStream has acknowledged.
        optional: Numbers that may be missing because the fault removes them from the stream; duplicates still count.
        burst, gap_s: Load: messages published at once, and the pause after them. May be changed at any time.
        body, garbage, subject: Return the payload of message `n` that becomes a row or a dead letter, and its subject.
    """

    def __init__(self, run_id: str, url: str, login: dict[str, Any]) -> None:
        self.run_id, self.url, self.login = run_id, url, login
        self.stored: dict[int, int] = {}
        self.optional: set[int] = set()
        self.burst, self.gap_s = 60, 0.05
        self.body: Callable[[int], bytes] = sample
        self.garbage: Callable[[int], bytes] = garbage
        self.subject: Callable[[int], str] = lambda _: SUBJECT
        self.next = 0
        self.failed: BaseException | None = None
        self._publishing, self._idle, self._closed = False, threading.Event(), False
        self._idle.set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()

    def reset(self, run_id: str) -> None:
        """Start a new run from message 0; the publisher must be paused."""
        assert self._idle.is_set()
        self.run_id, self.next = run_id, 0
        self.stored, self.optional = {}, set()

    def start(self) -> None:
        """Start or resume publishing."""
        self._idle.clear()
        self._publishing = True

    def pause(self) -> None:
        """Stop publishing, and wait until every published message is stored."""
        self._publishing = False
        if not self._idle.wait(STORE_S_MAX) or self.failed:
            raise AssertionError(f"the publisher cannot store message {len(self.stored)}: {self.failed}")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Pause publishing during the block."""
        self.pause()
        yield
        self.start()

    def add(self, count: int) -> None:
        """Publish at least `count` more messages, and pause."""
        until, end = time.monotonic() + STORE_S_MAX, self.next + count
        self.start()
        while self.next < end and time.monotonic() < until:
            time.sleep(0.01)
        self.pause()

    def add_large(self, js: Any, body: Callable[[int], bytes], count: int) -> Any:
        """Publish over a new connection, which has the server's current limits; the publisher must be paused."""

        async def publish() -> None:
            for _ in range(count):
                self.next += is_garbage(self.next)
                self.stored[self.next] = (await js.publish(self.subject(self.next), body(self.next), timeout=5)).seq
                self.next += 1

        return publish()

    def close(self) -> None:
        """Stop the thread."""
        self._closed, self._publishing = True, False
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
        while not self._closed:
            if self._publishing:
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
        run_id, body = self.run_id, self.garbage(n) if is_garbage(n) else self.body(n)
        while not self._closed:
            try:
                ack = await jetstream.publish(
                    self.subject(n), body, timeout=2.0, headers={"Nats-Msg-Id": f"{run_id}-{n}"}
                )
                self.stored[n] = ack.seq
                return
            except (nats.errors.Error, OSError, TimeoutError):
                await asyncio.sleep(0.05)
