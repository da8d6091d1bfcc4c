"""
What an operator may ask over the control socket: one literal table, one function each.

A verb changes what is wanted of slots or reads the snapshot; `plan` then finds
what has to be done. So every answer comes at once, and what follows shows in `status`.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from eventwriter.control.protocol import Request
from eventwriter.errors import EventwriterError
from eventwriter.model import SlotName
from eventwriter.supervisor.slot import Slot, State

ALL = "all"


class Refusal(EventwriterError):
    """The request is understood and cannot be granted; the text is the answer."""


class Desk(Protocol):
    """What verbs need of the supervisor."""

    @property
    def slots(self) -> Mapping[SlotName, Slot]:
        """Every slot, by name."""

    @property
    def stopping(self) -> bool:
        """Whether the daemon is going down."""

    def picture(self) -> dict[str, Any]:
        """Return the snapshot."""

    def stop(self, reason: str) -> None:
        """Begin to drain everything and exit; asked again, quickly."""

    def reload(self) -> str:
        """Read the configuration again, say what changed; raises EventwriterError where it cannot be used."""


def status(desk: Desk, _request: Request) -> Any:
    """Return the snapshot."""
    return desk.picture()


def ping(desk: Desk, _request: Request) -> Any:
    """Return little, quickly: whether somebody is there."""
    return {"pong": True, "stopping": desk.stopping, "pid": os.getpid()}


def drain(desk: Desk, request: Request) -> Any:
    """Drain slots; they stay stopped until `restart`."""
    slots = chosen(desk, request, default=ALL)
    for slot in slots:
        slot.held, slot.restart_asked = True, False
        if slot.worker is None:
            slot.state = State.STOPPED
    return {"draining": [str(slot.name) for slot in slots]}


def restart(desk: Desk, request: Request) -> Any:
    """Start slots anew: drain what runs, start at once what rests, is stopped or has failed."""
    if desk.stopping:
        raise Refusal("the daemon is stopping: start it again instead")
    slots = chosen(desk, request, default=None)
    for slot in slots:
        slot.held, slot.restart_asked, slot.looping = False, True, False
        slot.exits_s.clear()
    return {"restarting": [str(slot.name) for slot in slots]}


def stop(desk: Desk, _request: Request) -> Any:
    """Drain everything, then exit; a second `stop` is a quick one."""
    desk.stop("an operator asked for it")
    return {"stopping": True, "pid": os.getpid()}


def reload(desk: Desk, _request: Request) -> Any:
    """Read the configuration again; only workers whose settings changed are replaced."""
    if desk.stopping:
        raise Refusal("the daemon is stopping: nothing is read again")
    return {"reloaded": desk.reload()}


VERBS: Mapping[str, Callable[[Desk, Request], Any]] = {
    "status": status,
    "ping": ping,
    "drain": drain,
    "restart": restart,
    "stop": stop,
    "reload": reload,
}


def obey(desk: Desk, request: Request) -> Any:
    """
    Answer one request.

    Raises:
        EventwriterError: It is refused, or cannot be done; the text is the answer.
    """
    verb = VERBS.get(request.verb)
    if verb is None:
        raise Refusal(f"no verb is called {request.verb!r}; there are {', '.join(VERBS)}")
    return verb(desk, request)


def chosen(desk: Desk, request: Request, default: str | None) -> list[Slot]:
    """
    Return the slots that a request names by slot, by stream, or as `all`.

    Raises:
        Refusal: It names none.
    """
    target = request.fields.get("slot", default)
    names = ", ".join(str(name) for name in desk.slots) or "none"
    if not isinstance(target, str):
        raise Refusal(f"{request.verb} needs a slot, a stream, or {ALL}; slots are {names}")
    slots = [slot for slot in desk.slots.values() if target in (ALL, str(slot.name), slot.name.stream)]
    if not slots:
        raise Refusal(f"no slot or stream is called {target!r}; slots are {names}")
    return slots
