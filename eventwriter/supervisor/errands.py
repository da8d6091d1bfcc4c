"""
Questions that only workers can answer, asked on an operator's behalf, without waiting.

A verb returns a `Question`; the operator's request is parked, each worker is sent
the command with a number, and what comes back with that number is put together
when all have answered or the time is up. The loop turns all the while.
"""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventwriter.control import protocol
from eventwriter.control.protocol import Ref
from eventwriter.control.server import Parked
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
class Question:
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
class Errand:
    """One question under way; owned by `Errands`."""

    ref: Ref
    question: Question
    deadline_s: float
    parked: Parked = field(default_factory=Parked)
    waiting: dict[str, int] = field(default_factory=dict)
    """Slot name → the process that was asked."""
    replies: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class Errands:
    """All questions under way; owned by the supervisor's loop."""

    def __init__(self) -> None:
        self._errands: dict[int, Errand] = {}
        self._numbers = itertools.count(1)

    def begin(self, now_s: float, ref: Ref, question: Question) -> Parked:
        """
        Ask, and return the promise of the answer.

        Raises:
            EventwriterError: Too much is being asked already.
        """
        if len(self._errands) >= ERRANDS_MAX:
            raise EventwriterError(f"{ERRANDS_MAX} questions to workers are under way already; ask again")
        number = next(self._numbers)
        errand = Errand(ref, question, now_s + question.wait_s)
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

    def _dead(self, errand: Errand) -> list[str]:
        """Return the slots whose asked worker is no more."""
        alive = {str(slot.name): slot.worker.pid for slot in errand.question.slots if slot.worker is not None}
        return [name for name, pid in errand.waiting.items() if alive.get(name) != pid]


def _line(errand: Errand) -> bytes:
    try:
        return protocol.answer(errand.ref, errand.question.join(errand.replies, errand.failures))
    except EventwriterError as error:
        return protocol.refusal(errand.ref, str(error))
    except Exception:
        log.exception("answers could not be put together", extra={"about": errand.question.command.get("type")})
        return protocol.refusal(errand.ref, "the answer broke; the daemon's log says where")
