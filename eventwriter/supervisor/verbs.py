"""
What an operator may ask over the control socket: one literal table, one function each.

A verb changes what is wanted of slots or reads the snapshot; `plan` then finds
what has to be done. So most answers come at once, and what follows shows in `status`;
what only workers know is a `WorkerRequest`, which `errands` carries out.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from eventwriter import clock
from eventwriter.config.describe import effective
from eventwriter.config.settings import Settings
from eventwriter.control.protocol import Request
from eventwriter.model import SlotName
from eventwriter.observe.logging import LEVELS
from eventwriter.supervisor import processes, requests
from eventwriter.supervisor.requests import TEXT_CHARS_MAX, Refusal
from eventwriter.supervisor.slot import Slot, State

ALL = "all"


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

    @property
    def settings(self) -> Settings | None:
        """What the daemon runs with."""

    def reload(self) -> dict[str, Any]:
        """Read the configuration again, say what changed; raises EventwriterError where it cannot be used."""

    def preview(self) -> dict[str, Any]:
        """Say what a reload would change; raises EventwriterError where the configuration cannot be used."""

    def scale(self, stream: str, workers: int) -> dict[str, Any]:
        """Change a stream's number of workers; raises EventwriterError where it may not be."""

    def log_level(self, level: str) -> None:
        """Change the level of every process."""


def status(desk: Desk, _request: Request) -> Any:
    """Return the snapshot."""
    return desk.picture()


def ping(desk: Desk, _request: Request) -> Any:
    """Return little, quickly: whether somebody is there."""
    return {"pong": True, "stopping": desk.stopping, "pid": os.getpid()}


def config(desk: Desk, _request: Request) -> Any:
    """Return the settings in effect, secrets as asterisks."""
    if desk.settings is None:
        raise Refusal("this daemon was not started from settings")
    return {"settings": effective(desk.settings)}


def drain(desk: Desk, request: Request) -> Any:
    """Drain slots; they stay stopped until `restart`."""
    slots = chosen(desk, request, default=ALL)
    for slot in slots:
        slot.held, slot.restart_asked = True, False
        slot.standing.pop("pause", None)
        if slot.worker is None:
            slot.state = State.STOPPED
    return {"draining": names(slots)}


def pause(desk: Desk, request: Request) -> Any:
    """Have workers pull nothing more and settle what is open; they keep connections and consumer until `resume`."""
    slots = chosen(desk, request, default=None)
    for slot in slots:
        command = {"type": "pause", "slot": str(slot.name), "by": by(request), "since_ns": clock.now_ns()}
        tell(slot, slot.standing.setdefault("pause", command))
    return {"pausing": names(slots)}


def resume(desk: Desk, request: Request) -> Any:
    """Have paused workers pull again, and drained slots run."""
    if desk.stopping:
        raise Refusal("the daemon is stopping: start it again instead")
    resting = [slot for slot in chosen(desk, request, default=None) if slot.held or "pause" in slot.standing]
    if not resting:
        raise Refusal(f"nothing of {request.fields['slot']} is paused or drained")
    for slot in resting:
        slot.held = False
        if slot.standing.pop("pause", None):
            tell(slot, {"type": "resume"})
    return {"resuming": names(resting)}


def restart(desk: Desk, request: Request) -> Any:
    """Start slots anew: drain what runs, start at once what rests, is paused, stopped or has failed."""
    if desk.stopping:
        raise Refusal("the daemon is stopping: start it again instead")
    slots = chosen(desk, request, default=None)
    for slot in slots:
        slot.held, slot.restart_asked, slot.looping = False, True, False
        slot.standing.pop("pause", None)
        slot.exits_s.clear()
    return {"restarting": names(slots)}


def stop(desk: Desk, _request: Request) -> Any:
    """Drain everything, then exit; a second `stop` is a quick one."""
    desk.stop("an operator asked for it")
    return {"stopping": True, "pid": os.getpid()}


def reload(desk: Desk, request: Request) -> Any:
    """Read the configuration again, or with `diff` only say what that would change."""
    if desk.stopping:
        raise Refusal("the daemon is stopping: nothing is read again")
    return desk.preview() if request.fields.get("diff") else desk.reload()


def scale(desk: Desk, request: Request) -> Any:
    """Change a stream's number of workers, until the configuration is read again."""
    if desk.stopping:
        raise Refusal("the daemon is stopping: nothing is started")
    stream, workers = request.fields.get("stream"), request.fields.get("workers")
    if not isinstance(stream, str) or not isinstance(workers, int) or isinstance(workers, bool):
        raise Refusal("scale needs a stream's name in `stream` and a number in `workers`")
    return desk.scale(stream, workers)


def log_level(desk: Desk, request: Request) -> Any:
    """Change the level of every process, or of some slots' workers, until a reload changes it."""
    level = request.fields.get("level")
    if not isinstance(level, str) or level not in LEVELS:
        raise Refusal(f"a log level is one of {', '.join(LEVELS)}, not {level!r}")
    if "slot" not in request.fields:
        desk.log_level(level)
        return {"level": level, "slots": names(list(desk.slots.values())), "supervisor": True}
    slots = chosen(desk, request, default=None)
    for slot in slots:
        command = {"type": "log_level", "level": level}
        slot.standing["log_level"] = command
        tell(slot, command)
    return {"level": level, "slots": names(slots), "supervisor": False}


def stacks(desk: Desk, request: Request) -> Any:
    """Return where workers are in their code."""
    return requests.stacks(chosen(desk, request, default=None))


def look(desk: Desk, request: Request) -> Any:
    """Return how far workers are on both servers."""
    return requests.look(chosen(desk, request, default=ALL))


def tap(desk: Desk, request: Request) -> Any:
    """Return what was sampled of the messages that pass."""
    return requests.tap(chosen(desk, request, default=None), request)


VERBS: Mapping[str, Callable[[Desk, Request], Any]] = {
    "status": status,
    "ping": ping,
    "config": config,
    "look": look,
    "tap": tap,
    "stacks": stacks,
    "pause": pause,
    "resume": resume,
    "drain": drain,
    "restart": restart,
    "scale": scale,
    "log_level": log_level,
    "reload": reload,
    "stop": stop,
}

OPEN = ("status", "ping", "config", "look")
"""Verbs for everybody who can connect. The others change something, or (`tap`, `stacks`) show what workers hold."""

READING = ("status", "ping", "config", "look", "tap")
"""Verbs that change nothing, and may be asked once a second: they are not logged."""


def obey(desk: Desk, request: Request) -> Any:
    """
    Answer one request; a `WorkerRequest` where workers must be asked first.

    Raises:
        EventwriterError: It is refused, or cannot be done; the text is the answer.
    """
    verb = VERBS.get(request.verb)
    if verb is None:
        raise Refusal(f"no verb is called {request.verb!r}; there are {', '.join(VERBS)}")
    if not request.is_trusted and request.verb not in OPEN:
        raise Refusal(
            f"{request.verb} is for root, the daemon's own user and the members of the control socket's group;"
            f" {request.who or 'you'} may only look: {', '.join(OPEN)}"
        )
    return verb(desk, request)


def chosen(desk: Desk, request: Request, default: str | None) -> list[Slot]:
    """
    Return the slots that a request names by slot, by stream, or as `all`.

    Raises:
        Refusal: It names none.
    """
    target = request.fields.get("slot", default)
    there = ", ".join(str(name) for name in desk.slots) or "none"
    if not isinstance(target, str):
        raise Refusal(f"{request.verb} needs a slot, a stream, or {ALL}; slots are {there}")
    slots = [slot for slot in desk.slots.values() if target in (ALL, str(slot.name), slot.name.stream)]
    if not slots:
        raise Refusal(f"no slot or stream is called {target!r}; slots are {there}")
    return slots


def tell(slot: Slot, command: Mapping[str, Any]) -> None:
    """Send a command to a slot's worker, if it has one that is not about to go."""
    if slot.worker is not None:
        processes.send(slot.worker, command)


def names(slots: list[Slot]) -> list[str]:
    """Return slots' names as text."""
    return [str(slot.name) for slot in slots]


def by(request: Request) -> str:
    """Say who asks: the name that the client gives, and what the kernel knows."""
    given = request.fields.get("by")
    name = "".join(one for one in given if one.isprintable())[:TEXT_CHARS_MAX] if isinstance(given, str) else ""
    return f"{name} ({request.who})" if name else request.who or "somebody"
