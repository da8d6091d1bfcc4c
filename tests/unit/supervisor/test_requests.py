"""Requests that workers must answer, with real links and no processes."""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventwriter.control.server import DeferredAnswer
from eventwriter.errors import EventwriterError
from eventwriter.model import SlotName
from eventwriter.supervisor.requests import (
    ANSWER_S_MAX,
    PENDING_MAX,
    Failures,
    PendingRequests,
    Replies,
    WorkerRequest,
)
from eventwriter.supervisor.slot import Slot, Worker


def both(replies: Replies, failures: Failures) -> Any:
    """Return replies and failures as one result."""
    return [dict(replies), dict(failures)]


class Bench:
    """Three slots, the third without a worker, and the workers' ends of their links."""

    def __init__(self) -> None:
        self.slots = [Slot(SlotName("A", partition), created_s=0.0) for partition in range(3)]
        self.worker_ends: list[socket.socket] = []
        for position, slot in enumerate(self.slots[:2]):
            parent_end, worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            parent_end.setblocking(False)
            worker_end.setblocking(False)
            slot.worker = Worker(100 + position, os.open("/dev/null", os.O_RDONLY), parent_end, 0.0, "f")
            self.worker_ends.append(worker_end)
        self.requests = PendingRequests()

    def start(self, combine: Callable[[Replies, Failures], Any] = both) -> DeferredAnswer:
        """Start a request to all three slots at 10 s."""
        return self.requests.start(10.0, 7, WorkerRequest(self.slots, {"type": "positions"}, combine))

    def command(self, position: int) -> dict[str, Any]:
        """Return the command that a worker has received."""
        return dict(json.loads(self.worker_ends[position].recv(65536)))

    def reply(self, position: int, number: int, **body: Any) -> None:
        """Record the reply of a worker."""
        self.requests.record_reply(self.slots[position], {"type": "answer", "id": number, **body})

    def close(self) -> None:
        """Close all links."""
        for worker_end in self.worker_ends:
            worker_end.close()
        for slot in self.slots:
            slot.retire_worker()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Three slots with their links."""
    bench = Bench()
    yield bench
    bench.close()


def result(answer: DeferredAnswer) -> Any:
    """Return the result in an answer."""
    assert answer.line is not None
    body = json.loads(answer.line)
    assert (7, True) == (body["id"], body["ok"])
    return body["result"]


def test_answer_is_complete_when_the_last_worker_has_replied(bench: Bench) -> None:
    """Each worker receives the command once, and all replies and failures are combined to one answer."""
    answer = bench.start()
    numbers = [bench.command(position)["id"] for position in (0, 1)]
    bench.reply(0, numbers[0], result={"seq": 1})
    bench.requests.poll(10.1)
    assert answer.line is None

    bench.reply(1, numbers[1], error="NATS is unreachable")
    bench.requests.poll(10.2)

    assert [{"A/0": {"seq": 1}}, {"A/1": "NATS is unreachable", "A/2": "it has no worker"}] == result(answer)
    assert bench.requests.is_empty()


def test_worker_without_a_reply_fails_at_the_deadline(bench: Bench) -> None:
    """At the deadline, the replies that have arrived are combined."""
    answer = bench.start()
    bench.reply(0, bench.command(0)["id"], result=1)

    bench.requests.poll(10.0 + ANSWER_S_MAX)

    replies, failures = result(answer)
    assert ({"A/0": 1}, {"A/1", "A/2"}) == (replies, set(failures))


def test_worker_that_exits_fails_at_once(bench: Bench) -> None:
    """A worker that exits, or that has been replaced by another one, fails without waiting for the deadline."""
    answer = bench.start()
    bench.slots[0].retire_worker()
    assert bench.slots[1].worker is not None
    bench.slots[1].worker.pid = 999

    bench.requests.poll(10.0)

    replies, failures = result(answer)
    assert ({}, {"A/0", "A/1", "A/2"}) == (replies, set(failures))


def test_late_and_unexpected_replies_are_dropped(bench: Bench) -> None:
    """A second reply, a reply to no request, and a reply after the deadline change nothing."""
    answer = bench.start()
    number = bench.command(0)["id"]
    bench.reply(0, number, result="first")
    bench.reply(0, number, result="second")
    bench.reply(0, 999, result="stray")
    bench.reply(2, number, result="not asked")

    bench.requests.poll(99.0)
    bench.reply(1, number, result="late")

    assert {"A/0": "first"} == result(answer)[0]


def test_abandoned_request_ends(bench: Bench) -> None:
    """A request whose client has disconnected is removed."""
    bench.start().abandoned = True

    bench.requests.poll(10.0)

    assert bench.requests.is_empty()


def test_full_link_is_a_failure(bench: Bench) -> None:
    """A worker that does not read its commands fails at once."""
    worker = bench.slots[0].worker
    assert worker is not None
    with contextlib.suppress(BlockingIOError):
        while True:
            worker.link.send(b"x" * 10_000)

    answer = bench.start()
    bench.reply(1, bench.command(1)["id"], result=1)
    bench.requests.poll(10.0)

    replies, failures = result(answer)
    assert ({"A/1": 1}, {"A/0", "A/2"}) == (replies, set(failures))


def test_replies_that_cannot_be_combined_are_an_internal_error(bench: Bench) -> None:
    """An exception while combining replies is answered as an internal error."""
    answer = bench.start(lambda replies, failures: replies["unknown"])

    bench.requests.poll(99.0)

    assert answer.line is not None
    assert "internal" == json.loads(answer.line)["code"]


def test_number_of_pending_requests_is_limited(bench: Bench) -> None:
    """Above the limit, further requests are refused."""
    for _ in range(PENDING_MAX):
        bench.start()

    with pytest.raises(EventwriterError) as error:
        bench.start()

    assert "busy" == error.value.code
