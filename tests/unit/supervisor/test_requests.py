"""Questions to workers on operators' behalf, with real links and no processes."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from eventwriter.errors import EventwriterError
from eventwriter.model import SlotName
from eventwriter.supervisor.requests import ANSWER_S_MAX, ERRANDS_MAX, PendingRequests, WorkerRequest
from eventwriter.supervisor.slot import Slot, Worker


class Bench:
    """Three slots, the third without a worker, and the workers' ends of their links."""

    def __init__(self) -> None:
        self.slots = [Slot(SlotName("A", at), born_s=0.0) for at in range(3)]
        self.far: list[socket.socket] = []
        for at, slot in enumerate(self.slots[:2]):
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            near.setblocking(False)
            far.setblocking(False)
            slot.worker = Worker(100 + at, os.open("/dev/null", os.O_RDONLY), near, 0.0, "f")
            self.far.append(far)
        self.errands = PendingRequests()

    def ask(self, join: Any = lambda replies, failures: [dict(replies), dict(failures)]) -> Any:
        """Ask all three."""
        return self.errands.begin(10.0, 7, WorkerRequest(self.slots, {"type": "look"}, join))

    def heard(self, at: int) -> dict[str, Any]:
        """Return what a worker was sent."""
        return dict(json.loads(self.far[at].recv(65536)))

    def reply(self, at: int, number: int, **body: Any) -> None:
        """Have a worker answer."""
        self.errands.hear(self.slots[at], {"type": "answer", "id": number, **body})

    def close(self) -> None:
        """Close what is open."""
        for far in self.far:
            far.close()
        for slot in self.slots:
            slot.bury()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A bench that is cleared away."""
    made = Bench()
    yield made
    made.close()


def said(parked: Any) -> Any:
    """Return an answer's result."""
    answer = json.loads(parked.line)
    assert (7, True) == (answer["id"], answer["ok"])
    return answer["result"]


def test_answer_is_there_when_the_last_worker_has_answered(bench: Bench) -> None:
    """Every worker is asked once; what each says, or why one says nothing, becomes one answer."""
    parked = bench.ask()
    numbers = [bench.heard(at)["id"] for at in (0, 1)]
    bench.reply(0, numbers[0], result={"seq": 1})
    bench.errands.turn(10.1)
    assert parked.line is None

    bench.reply(1, numbers[1], error="its servers are away")
    bench.errands.turn(10.2)

    assert [{"A/0": {"seq": 1}}, {"A/1": "its servers are away", "A/2": "it has no worker"}] == said(parked)
    assert bench.errands.is_empty()


def test_silent_worker_costs_the_time_limit_and_no_more(bench: Bench) -> None:
    """At the deadline the answer is what has come."""
    parked = bench.ask()
    bench.reply(0, bench.heard(0)["id"], result=1)

    bench.errands.turn(10.0 + ANSWER_S_MAX)

    replies, failures = said(parked)
    assert ({"A/0": 1}, "its worker gave no answer within 4 s") == (replies, failures["A/1"])


def test_worker_that_ends_is_not_waited_for(bench: Bench) -> None:
    """A worker that exits, or whose place another one has taken, fails at once."""
    parked = bench.ask()
    bench.slots[0].bury()
    assert bench.slots[1].worker is not None
    bench.slots[1].worker.pid = 999

    bench.errands.turn(10.0)

    assert {"its worker ended before it answered"} == {said(parked)[1][name] for name in ("A/0", "A/1")}


def test_late_and_unasked_answers_are_dropped(bench: Bench) -> None:
    """An answer that nobody waits for, or a second one, changes nothing."""
    parked = bench.ask()
    number = bench.heard(0)["id"]
    bench.reply(0, number, result="first")
    bench.reply(0, number, result="second")
    bench.reply(0, 999, result="stray")
    bench.errands.hear(bench.slots[2], {"type": "answer", "id": number, "result": "not asked"})

    bench.errands.turn(99.0)
    bench.reply(1, number, result="late")

    assert {"A/0": "first"} == said(parked)[0]


def test_operator_who_left_ends_the_errand(bench: Bench) -> None:
    """Nothing is kept for a client that is gone."""
    bench.ask().abandoned = True

    bench.errands.turn(10.0)

    assert bench.errands.is_empty()


def test_full_link_is_a_failure_not_a_wait(bench: Bench) -> None:
    """A worker that does not read its commands holds nobody up."""
    worker = bench.slots[0].worker
    assert worker is not None
    with contextlib.suppress(BlockingIOError):
        while True:
            worker.link.send(b"x" * 10_000)

    parked = bench.ask()
    bench.reply(1, bench.heard(1)["id"], result=1)
    bench.errands.turn(10.0)

    assert "its worker does not listen" == said(parked)[1]["A/0"]


def test_answers_that_cannot_be_joined_are_a_refusal(bench: Bench) -> None:
    """Whatever workers answer, the supervisor goes on and the operator gets a sentence."""
    parked = bench.ask(lambda replies, failures: replies["nobody"])

    bench.errands.turn(99.0)

    assert "the answer broke; the daemon's log says where" == json.loads(parked.line)["error"]


def test_errands_are_limited(bench: Bench) -> None:
    """Operators who ask more than is sensible are refused."""
    for _ in range(ERRANDS_MAX):
        bench.ask()

    with pytest.raises(EventwriterError, match="ask again"):
        bench.ask()
