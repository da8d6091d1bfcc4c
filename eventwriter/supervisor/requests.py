"""
Operators' requests that only workers can answer, handled without blocking the loop.

A verb returns a `WorkerRequest`. The client's answer is deferred, each worker receives the command
with an id, and the replies with this id are combined when all have arrived or the time is up.
"""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventwriter.control import protocol
from eventwriter.control.protocol import Ref
from eventwriter.control.server import DeferredAnswer
from eventwriter.errors import EventwriterError
from eventwriter.supervisor import processes
from eventwriter.supervisor.slot import Slot

ANSWER_S_MAX = 4.0
"""Time limit of workers: a request to both servers takes milliseconds, and the client gives up after 5 s."""
PENDING_MAX = 64
"""Requests at the same time; there are few operators, and each waits for an answer."""

NO_WORKER = "it has no worker"

log = logging.getLogger(__name__)

Replies = Mapping[str, Any]
"""Slot name → reply of its worker."""
Failures = Mapping[str, str]
"""Slot name → why there is no reply, in words."""


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """
    A command for several workers, and the function that combines their replies.

    Attributes:
        slots: Slots whose workers receive the command; slots without a worker fail at once.
        command: The command, including its `type`.
        combine: Combines the replies to one result; may raise EventwriterError to refuse.
        timeout_s: Time after which the replies that have arrived are combined.
    """

    slots: Sequence[Slot]
    command: Mapping[str, Any]
    combine: Callable[[Replies, Failures], Any]
    timeout_s: float = ANSWER_S_MAX


@dataclass(slots=True)
class PendingRequest:
    """A request whose replies have not all arrived; owned by `PendingRequests`."""

    ref: Ref
    request: WorkerRequest
    deadline_s: float
    answer: DeferredAnswer = field(default_factory=DeferredAnswer)
    waiting: dict[str, int] = field(default_factory=dict)
    """Slot name → process id of the worker that received the command."""
    replies: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def fail_exited_workers(self) -> None:
        """Record a failure for each worker that has exited without a reply."""
        alive = {str(slot.name): slot.worker.pid for slot in self.request.slots if slot.worker is not None}
        for name in [name for name, pid in self.waiting.items() if alive.get(name) != pid]:
            self.failures[name] = "its worker exited before it answered"
            del self.waiting[name]

    def fail_silent_workers(self) -> None:
        """Record a failure for each worker that has not replied in time."""
        for name in self.waiting:
            self.failures[name] = f"its worker did not answer within {self.request.timeout_s:g} s"

    def encode_answer(self) -> bytes:
        """Return the answer to the client."""
        try:
            return protocol.encode_answer(self.ref, self.request.combine(self.replies, self.failures))
        except EventwriterError as error:
            return protocol.encode_error(self.ref, str(error), error.code)
        except Exception:
            log.exception("replies of workers cannot be combined", extra={"about": self.request.command.get("type")})
            return protocol.encode_error(self.ref, "internal error; see the daemon's log", "internal")


class PendingRequests:
    """All pending requests; owned by the supervisor's loop."""

    def __init__(self) -> None:
        self._pending: dict[int, PendingRequest] = {}
        self._ids = itertools.count(1)

    def start(self, now_s: float, ref: Ref, request: WorkerRequest) -> DeferredAnswer:
        """
        Send a request to its workers, and return the deferred answer.

        Raises:
            EventwriterError: There are too many pending requests.
        """
        if len(self._pending) >= PENDING_MAX:
            raise EventwriterError(f"{PENDING_MAX} requests to workers are pending", code="busy", hint="try again")
        number = next(self._ids)
        pending = PendingRequest(ref, request, now_s + request.timeout_s)
        for slot in request.slots:
            name = str(slot.name)
            if slot.worker is None:
                pending.failures[name] = NO_WORKER
            elif processes.send(slot.worker, {**request.command, "id": number}):
                pending.waiting[name] = slot.worker.pid
            else:
                pending.failures[name] = "its worker does not read commands"
        self._pending[number] = pending
        return pending.answer

    def record_reply(self, slot: Slot, packet: Mapping[str, Any]) -> None:
        """Record a worker's reply; one that no request is waiting for is dropped."""
        pending = self._pending.get(packet.get("id", 0))
        name = str(slot.name)
        if pending is None or pending.waiting.pop(name, None) is None:
            return
        if "error" in packet:
            pending.failures[name] = str(packet["error"])
        else:
            pending.replies[name] = packet.get("result")

    def poll(self, now_s: float) -> None:
        """Finish the requests that are answered, overdue, or abandoned by their client."""
        for number, pending in list(self._pending.items()):
            pending.fail_exited_workers()
            if pending.waiting and now_s < pending.deadline_s and not pending.answer.abandoned:
                continue
            pending.fail_silent_workers()
            del self._pending[number]
            pending.answer.line = pending.encode_answer()

    def is_empty(self) -> bool:
        """Return whether no request is pending."""
        return not self._pending
