"""
Questions that only workers can answer, asked on an operator's behalf, without waiting.

A verb returns a `WorkerRequest`; the operator's request is parked, each worker is sent
the command with a number, and what comes back with that number is put together
when all have answered or the time is up. The loop turns all the while.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventwriter.control import protocol
from eventwriter.control.protocol import Ref, Request
from eventwriter.control.server import DeferredAnswer
from eventwriter.errors import EventwriterError
from eventwriter.supervisor import processes
from eventwriter.supervisor.slot import Slot

ANSWER_S_MAX = 4.0
"""How long a worker may take: a look at both servers is milliseconds, and the operator's client gives up after 5 s."""
ERRANDS_MAX = 64
"""At once; operators are few, and each waits for his answer."""

NO_WORKER = "it has no worker"
GONE = "its worker ended before it answered"

log = logging.getLogger(__name__)

Replies = Mapping[str, Any]
"""Slot name → what its worker answered."""
Failures = Mapping[str, str]
"""Slot name → why there is no answer, in words."""


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """
    What is to be asked of whom, and how the answers become one.

    Attributes:
        slots: Whose workers are asked; those without one fail at once.
        command: As it goes down the link, `type` included.
        join: Puts the answers together; may raise EventwriterError to refuse.
        wait_s: After which what has come must do.
    """

    slots: Sequence[Slot]
    command: Mapping[str, Any]
    join: Callable[[Replies, Failures], Any]
    wait_s: float = ANSWER_S_MAX


@dataclass(slots=True)
class PendingRequest:
    """One question under way; owned by `PendingRequests`."""

    ref: Ref
    question: WorkerRequest
    deadline_s: float
    parked: DeferredAnswer = field(default_factory=DeferredAnswer)
    waiting: dict[str, int] = field(default_factory=dict)
    """Slot name → the process that was asked."""
    replies: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class PendingRequests:
    """All questions under way; owned by the supervisor's loop."""

    def __init__(self) -> None:
        self._errands: dict[int, PendingRequest] = {}
        self._numbers = itertools.count(1)

    def begin(self, now_s: float, ref: Ref, question: WorkerRequest) -> DeferredAnswer:
        """
        Ask, and return the promise of the answer.

        Raises:
            EventwriterError: Too much is being asked already.
        """
        if len(self._errands) >= ERRANDS_MAX:
            raise EventwriterError(f"{ERRANDS_MAX} questions to workers are under way already; ask again")
        number = next(self._numbers)
        errand = PendingRequest(ref, question, now_s + question.wait_s)
        for slot in question.slots:
            name = str(slot.name)
            if slot.worker is None:
                errand.failures[name] = NO_WORKER
            elif processes.send(slot.worker, {**question.command, "id": number}):
                errand.waiting[name] = slot.worker.pid
            else:
                errand.failures[name] = "its worker does not listen"
        self._errands[number] = errand
        return errand.parked

    def hear(self, slot: Slot, packet: Mapping[str, Any]) -> None:
        """Take in a worker's answer; one that nobody waits for any more is dropped."""
        errand = self._errands.get(packet.get("id", 0))
        name = str(slot.name)
        if errand is None or errand.waiting.pop(name, None) is None:
            return
        if "error" in packet:
            errand.failures[name] = str(packet["error"])
        else:
            errand.replies[name] = packet.get("result")

    def turn(self, now_s: float) -> None:
        """Close what is answered, overdue, or no longer waited for."""
        for number, errand in list(self._errands.items()):
            for name in self._dead(errand):
                errand.failures[name] = GONE
                del errand.waiting[name]
            late = now_s >= errand.deadline_s
            if errand.waiting and not late and not errand.parked.abandoned:
                continue
            for name in errand.waiting:
                errand.failures[name] = f"its worker gave no answer within {errand.question.wait_s:g} s"
            del self._errands[number]
            errand.parked.line = _line(errand)

    def is_empty(self) -> bool:
        """Say whether nothing is under way."""
        return not self._errands

    def _dead(self, errand: PendingRequest) -> list[str]:
        """Return the slots whose asked worker is no more."""
        alive = {str(slot.name): slot.worker.pid for slot in errand.question.slots if slot.worker is not None}
        return [name for name, pid in errand.waiting.items() if alive.get(name) != pid]


def _line(errand: PendingRequest) -> bytes:
    try:
        return protocol.answer(errand.ref, errand.question.join(errand.replies, errand.failures))
    except EventwriterError as error:
        return protocol.refusal(errand.ref, str(error))
    except Exception:
        log.exception("answers could not be put together", extra={"about": errand.question.command.get("type")})
        return protocol.refusal(errand.ref, "the answer broke; the daemon's log says where")


STACKS_S_MAX = 2.0
"""A worker whose loop does not answer within this is blocked; its threads' stacks are there all the same."""
TAP_S_MAX = 3.0

STAGES = ("raw", "row", "dead")
TEXT_CHARS_MAX = 200
"""Of what operators send along: a name, a filter."""


class Refusal(EventwriterError):
    """The request is understood and cannot be granted; the text is the answer."""


def stacks(slots: Sequence[Slot]) -> WorkerRequest:
    """Ask where workers are in their code: every thread, and every task of the event loop."""
    asked = {str(slot.name): slot.worker for slot in slots if slot.worker is not None}
    for worker in asked.values():
        processes.ask_stacks(worker)

    def join(replies: Replies, failures: Failures) -> Any:
        found = {}
        for slot in slots:
            name, worker = str(slot.name), asked.get(str(slot.name))
            # The descriptor is closed with its worker: another one's is not read in its place.
            threads = processes.read_stacks(worker) if worker is not None and slot.worker is worker else ""
            reply = replies.get(name)
            found[name] = {
                "pid": worker.pid if worker else None,
                "threads": threads,
                "tasks": reply["tasks"] if isinstance(reply, dict) else None,
                "why": failures.get(name),
            }
        return {"stacks": found}

    return WorkerRequest(slots, {"type": "stacks"}, join, STACKS_S_MAX)


def look(slots: Sequence[Slot]) -> WorkerRequest:
    """Ask how far workers are: the stream's end, the consumer's delivery and ack floor, the ledger's floor."""

    def join(replies: Replies, failures: Failures) -> Any:
        in_order = {str(slot.name): replies[str(slot.name)] for slot in slots if str(slot.name) in replies}
        return {"slots": in_order, "why": dict(failures)}

    return WorkerRequest(slots, {"type": "look"}, join)


def tap(slots: Sequence[Slot], request: Request) -> WorkerRequest:
    """
    Fetch what taps have taken since they were last asked; the first time, open them.

    Raises:
        Refusal: A field is not as it must be.
    """
    if all(slot.worker is None for slot in slots):
        raise Refusal("no worker runs there: there is nothing to see; see `status`")
    command = {"type": "tap", **tap_fields(request.fields)}

    def join(replies: Replies, failures: Failures) -> Any:
        taken = [{"slot": name, **one} for name, reply in replies.items() for one in _samples(reply)]
        return {
            "samples": sorted(taken, key=lambda one: one.get("at_ns", 0)),
            "seen": sum(_number(reply, "seen") for reply in replies.values()),
            "left_out": sum(_number(reply, "left_out") for reply in replies.values()),
            "why": {name: why for name, why in failures.items() if why != NO_WORKER},
        }

    return WorkerRequest(slots, command, join, TAP_S_MAX)


def tap_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a tap's own fields, checked.

    Raises:
        Refusal: One is missing or not as it must be.
    """
    tap_id, stage, wanted = fields.get("tap"), fields.get("stage", "raw"), fields.get("filter")
    per_s, end = fields.get("per_s", 10), fields.get("end", False)
    if not isinstance(tap_id, str) or not 1 <= len(tap_id) <= TEXT_CHARS_MAX:
        raise Refusal("tap needs an id of its own in `tap`: a text")
    if stage not in STAGES:
        raise Refusal(f"a tap's stage is one of {', '.join(STAGES)}, not {stage!r}")
    if wanted is not None and not (isinstance(wanted, str) and len(wanted) <= TEXT_CHARS_MAX):
        raise Refusal(f"a tap's filter is a text of at most {TEXT_CHARS_MAX} characters")
    if not isinstance(per_s, int | float) or isinstance(per_s, bool) or not 0 < per_s <= 1000:
        raise Refusal("a tap takes more than 0 and at most 1000 messages a second (`per_s`)")
    return {"tap": tap_id, "stage": stage, "filter": wanted, "per_s": per_s, "end": bool(end)}


def _samples(reply: Any) -> Iterable[dict[str, Any]]:
    found = reply.get("samples") if isinstance(reply, dict) else None
    return found if isinstance(found, list) else ()


def _number(reply: Any, key: str) -> int:
    value = reply.get(key) if isinstance(reply, dict) else None
    return value if isinstance(value, int) else 0
