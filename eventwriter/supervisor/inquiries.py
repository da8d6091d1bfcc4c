"""
Verbs whose answers only workers have: stacks, positions on both servers, tapped messages.

Each returns a `Question`; `errands` carries it out while the loop turns.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventwriter.control.protocol import Request
from eventwriter.errors import EventwriterError
from eventwriter.supervisor import processes
from eventwriter.supervisor.errands import NO_WORKER, Failures, Question, Replies
from eventwriter.supervisor.slot import Slot

STACKS_S_MAX = 2.0
"""A worker whose loop does not answer within this is blocked; its threads' stacks are there all the same."""
TAP_S_MAX = 3.0

STAGES = ("raw", "row", "dead")
TEXT_CHARS_MAX = 200
"""Of what operators send along: a name, a filter."""


class Refusal(EventwriterError):
    """The request is understood and cannot be granted; the text is the answer."""


def stacks(slots: Sequence[Slot]) -> Question:
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

    return Question(slots, {"type": "stacks"}, join, STACKS_S_MAX)


def look(slots: Sequence[Slot]) -> Question:
    """Ask how far workers are: the stream's end, the consumer's delivery and ack floor, the ledger's floor."""

    def join(replies: Replies, failures: Failures) -> Any:
        in_order = {str(slot.name): replies[str(slot.name)] for slot in slots if str(slot.name) in replies}
        return {"slots": in_order, "why": dict(failures)}

    return Question(slots, {"type": "look"}, join)


def tap(slots: Sequence[Slot], request: Request) -> Question:
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

    return Question(slots, command, join, TAP_S_MAX)


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
