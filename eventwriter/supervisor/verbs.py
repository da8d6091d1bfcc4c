"""
Requests of operators over the control socket: one literal table, one function for each verb.

A verb reads the snapshot, changes the desired state of slots, or returns a `WorkerRequest` for what
only workers know. `plan` then derives the actions, so most answers are immediate, and `status`
shows the effect later.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from eventwriter import clock
from eventwriter.config.describe import effective
from eventwriter.config.settings import Settings
from eventwriter.control.protocol import Request
from eventwriter.errors import EventwriterError
from eventwriter.model import SlotName
from eventwriter.observe.logging import LEVELS
from eventwriter.supervisor import processes
from eventwriter.supervisor.requests import NO_WORKER, Failures, Replies, WorkerRequest
from eventwriter.supervisor.slot import ChildName, Slot, State

ALL = "all"
STACKS_S_MAX = 2.0  # a worker whose event loop does not answer by then is blocked; its threads' stacks still arrive
TAP_S_MAX = 3.0
TAP_STAGES = ("raw", "row", "dead")
TAP_PER_S_MAX = 1000
TEXT_CHARS_MAX = 200
"""Length of a text in a request: a name, a filter."""


class Refusal(EventwriterError):
    """The request is valid, but cannot be granted now or to this user."""

    default_code = "refused"


class SupervisorApi(Protocol):
    """The part of the supervisor that verbs use."""

    @property
    def slots(self) -> Mapping[ChildName, Slot]:
        """All slots by name."""

    @property
    def stopping(self) -> bool:
        """Whether the daemon is stopping."""

    @property
    def settings(self) -> Settings | None:
        """The settings that the daemon runs with."""

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the daemon and its slots."""

    def stop(self, reason: str) -> None:
        """Drain all workers and exit; the second call does so quickly."""

    def reload(self) -> dict[str, Any]:
        """Load the configuration again and apply it; raises EventwriterError if it is invalid."""

    def preview_reload(self) -> dict[str, Any]:
        """Return what a reload would change; raises EventwriterError if the configuration is invalid."""

    def scale(self, stream: str, workers: int) -> dict[str, Any]:
        """Change a stream's number of workers; raises EventwriterError if that is not possible."""

    def set_log_level(self, level: str) -> None:
        """Change the log level of every process."""


def status(api: SupervisorApi, _request: Request) -> Any:
    """Return the snapshot."""
    return api.snapshot()


def ping(api: SupervisorApi, _request: Request) -> Any:
    """Return a small answer, to show that the daemon is alive."""
    return {"pong": True, "stopping": api.stopping, "pid": os.getpid()}


def config(api: SupervisorApi, _request: Request) -> Any:
    """Return the settings in effect, with secrets as asterisks."""
    if api.settings is None:
        raise Refusal("this daemon was not started from settings")
    return {"settings": effective(api.settings)}


def drain(api: SupervisorApi, request: Request) -> Any:
    """Drain slots; they stay stopped until `restart` or `resume`."""
    slots = select_slots(api, request, default=ALL)
    for slot in slots:
        slot.drained, slot.restart_requested = True, False
        slot.sticky_commands.pop("pause", None)
        if slot.worker is None:
            slot.state = State.STOPPED
    return {"draining": names(slots)}


def pause(api: SupervisorApi, request: Request) -> Any:
    """Make workers stop pulling and settle their open messages; they stay connected and bound until `resume`."""
    slots = select_slots(api, request, default=None)
    for slot in slots:
        command = {"type": "pause", "slot": str(slot.name), "by": requester(request), "since_ns": clock.now_ns()}
        send_command(slot, slot.sticky_commands.setdefault("pause", command))
    return {"pausing": names(slots)}


def resume(api: SupervisorApi, request: Request) -> Any:
    """Make paused workers pull again, and start drained slots."""
    check_not_stopping(api, "start it again instead")
    slots = select_slots(api, request, default=None)
    resting = [slot for slot in slots if slot.drained or "pause" in slot.sticky_commands]
    for slot in resting:
        slot.drained = False
        if slot.sticky_commands.pop("pause", None):
            send_command(slot, {"type": "resume"})
    return {"resuming": names(resting)}


def restart(api: SupervisorApi, request: Request) -> Any:
    """Replace running workers, and start slots that are paused, stopped, failed or in backoff at once."""
    check_not_stopping(api, "start it again instead")
    slots = select_slots(api, request, default=None)
    for slot in slots:
        slot.drained, slot.restart_requested, slot.in_crash_loop = False, True, False
        slot.sticky_commands.pop("pause", None)
        slot.exits_s.clear()
    return {"restarting": names(slots)}


def stop(api: SupervisorApi, _request: Request) -> Any:
    """Drain all workers, then exit; a second `stop` does not wait for open messages."""
    api.stop("an operator requested it")
    return {"stopping": True, "pid": os.getpid()}


def reload(api: SupervisorApi, request: Request) -> Any:
    """Load the configuration again, or with `diff` return only what that would change."""
    check_not_stopping(api, "the configuration is not loaded again")
    return api.preview_reload() if request.fields.get("diff") else api.reload()


def scale(api: SupervisorApi, request: Request) -> Any:
    """Change a stream's number of workers until the configuration is loaded again."""
    check_not_stopping(api, "no worker is started")
    stream, workers = request.fields.get("stream"), request.fields.get("workers")
    if not isinstance(stream, str) or not isinstance(workers, int) or isinstance(workers, bool):
        raise Refusal("scale requires a stream's name in `stream` and a number in `workers`", code="invalid_field")
    return api.scale(stream, workers)


def log_level(api: SupervisorApi, request: Request) -> Any:
    """Change the log level of every process, or of some slots' workers, until a reload changes it."""
    level = request.fields.get("level")
    if not isinstance(level, str) or level not in LEVELS:
        raise Refusal(f"{level!r} is not a log level; use one of {', '.join(LEVELS)}", code="invalid_field")
    if "slot" not in request.fields:
        api.set_log_level(level)
        return {"level": level, "slots": names(api.slots.values()), "supervisor": True}
    slots = select_slots(api, request, default=None)
    for slot in slots:
        command = {"type": "log_level", "level": level}
        slot.sticky_commands["log_level"] = command
        send_command(slot, command)
    return {"level": level, "slots": names(slots), "supervisor": False}


def stacks(api: SupervisorApi, request: Request) -> WorkerRequest:
    """Return what workers are executing: the stacks of every thread and of every task of the event loop."""
    slots = select_slots(api, request, default=None)
    workers = {str(slot.name): slot.worker for slot in slots if slot.worker is not None}
    for worker in workers.values():
        processes.request_stack_dump(worker)

    def combine(replies: Replies, failures: Failures) -> Any:
        result = {}
        for slot in slots:
            name, worker = str(slot.name), workers.get(str(slot.name))
            # The file is closed with its worker; a new worker's file must not be read instead.
            threads = processes.read_stack_dump(worker) if worker is not None and slot.worker is worker else ""
            reply = replies.get(name)
            result[name] = {
                "pid": worker.pid if worker else None,
                "threads": threads,
                "tasks": reply["tasks"] if isinstance(reply, dict) else None,
                "why": failures.get(name),
            }
        return {"stacks": result}

    return WorkerRequest(slots, {"type": "stacks"}, combine, STACKS_S_MAX)


def positions(api: SupervisorApi, request: Request) -> WorkerRequest:
    """Return the positions of workers: the stream's end, the consumer's delivery and ack floors, the ledger's floor."""
    slots = select_slots(api, request, default=ALL)

    def combine(replies: Replies, failures: Failures) -> Any:
        in_order = {name: replies[name] for name in names(slots) if name in replies}
        return {"slots": in_order, "why": dict(failures)}

    return WorkerRequest(slots, {"type": "positions"}, combine)


def tap(api: SupervisorApi, request: Request) -> WorkerRequest:
    """Return the samples that taps have taken since the last request; the first request opens the taps."""
    slots = select_slots(api, request, default=None)
    if all(slot.worker is None for slot in slots):
        raise Refusal("none of these slots has a worker", hint="see `status`")
    command = {"type": "tap", **tap_fields(request.fields)}

    def combine(replies: Replies, failures: Failures) -> Any:
        samples = [{"slot": name, **sample} for name, reply in replies.items() for sample in _samples(reply)]
        return {
            "samples": sorted(samples, key=lambda sample: sample.get("at_ns", 0)),
            "seen": sum(_number(reply, "seen") for reply in replies.values()),
            "left_out": sum(_number(reply, "left_out") for reply in replies.values()),
            "why": {name: reason for name, reason in failures.items() if reason != NO_WORKER},
        }

    return WorkerRequest(slots, command, combine, TAP_S_MAX)


def tap_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the fields of a tap.

    Raises:
        Refusal: A field is missing or invalid.
    """
    tap_id, stage, text = fields.get("tap"), fields.get("stage", "raw"), fields.get("filter")
    per_s, end = fields.get("per_s", 10), fields.get("end", False)
    if not isinstance(tap_id, str) or not 1 <= len(tap_id) <= TEXT_CHARS_MAX:
        raise Refusal("a tap requires a unique text in `tap`", code="invalid_field")
    if stage not in TAP_STAGES:
        raise Refusal(f"{stage!r} is not a stage of a tap; use one of {', '.join(TAP_STAGES)}", code="invalid_field")
    if text is not None and not (isinstance(text, str) and len(text) <= TEXT_CHARS_MAX):
        raise Refusal(f"the filter of a tap is a text of at most {TEXT_CHARS_MAX} characters", code="invalid_field")
    if not isinstance(per_s, int | float) or isinstance(per_s, bool) or not 0 < per_s <= TAP_PER_S_MAX:
        raise Refusal(
            f"`per_s` of a tap must be above 0 and at most {TAP_PER_S_MAX} messages per second", code="invalid_field"
        )
    return {"tap": tap_id, "stage": stage, "filter": text, "per_s": per_s, "end": bool(end)}


def _samples(reply: Any) -> Iterable[dict[str, Any]]:
    samples = reply.get("samples") if isinstance(reply, dict) else None
    return samples if isinstance(samples, list) else ()


def _number(reply: Any, key: str) -> int:
    value = reply.get(key) if isinstance(reply, dict) else None
    return value if isinstance(value, int) else 0


class Verb(NamedTuple):
    """One verb of the control protocol."""

    answer: Callable[[SupervisorApi, Request], Any]
    """Returns the result, or a `WorkerRequest`; raises EventwriterError to refuse."""
    for_everyone: bool = False
    """Whether every user who can connect may use it; others change something or show what messages contain."""
    is_logged: bool = True
    """Whether requests are logged; not for verbs that change nothing and are repeated every second."""


VERBS: Mapping[str, Verb] = {
    "status": Verb(status, for_everyone=True, is_logged=False),
    "ping": Verb(ping, for_everyone=True, is_logged=False),
    "config": Verb(config, for_everyone=True, is_logged=False),
    "positions": Verb(positions, for_everyone=True, is_logged=False),
    "tap": Verb(tap, is_logged=False),
    "stacks": Verb(stacks),
    "pause": Verb(pause),
    "resume": Verb(resume),
    "drain": Verb(drain),
    "restart": Verb(restart),
    "scale": Verb(scale),
    "log_level": Verb(log_level),
    "reload": Verb(reload),
    "stop": Verb(stop),
}


def dispatch(api: SupervisorApi, request: Request) -> Any:
    """
    Answer a request; return a `WorkerRequest` if workers must answer it.

    Raises:
        EventwriterError: The request is refused or fails; its text is the answer.
    """
    verb = VERBS.get(request.verb)
    if verb is None:
        raise Refusal(f"unknown verb {request.verb!r}; known verbs are {', '.join(VERBS)}", code="unknown_verb")
    if not request.is_trusted and not verb.for_everyone:
        allowed = ", ".join(name for name, other in VERBS.items() if other.for_everyone)
        raise Refusal(
            f"{request.verb} requires root, the daemon's own user or a member of the control socket's group;"
            f" {request.peer or 'this user'} may use only {allowed}",
            code="not_permitted",
        )
    return verb.answer(api, request)


def check_not_stopping(api: SupervisorApi, consequence: str) -> None:
    """
    Check that the daemon is not stopping.

    Raises:
        Refusal: It is.
    """
    if api.stopping:
        raise Refusal(f"the daemon is stopping; {consequence}", code="stopping")


def select_slots(api: SupervisorApi, request: Request, default: str | None) -> list[Slot]:
    """
    Return the slots that a request selects: by slot, by stream, or `all`.

    Raises:
        Refusal: It selects none.
    """
    target = request.fields.get("slot", default)
    known = ", ".join(str(name) for name in api.slots) or "none"
    if not isinstance(target, str):
        raise Refusal(f"{request.verb} requires a slot, a stream, or {ALL}; slots are {known}", code="invalid_field")
    slots = [slot for name, slot in api.slots.items() if target in (ALL, str(name)) or _is_of_stream(name, target)]
    if not slots:
        raise Refusal(f"there is no slot or stream {target!r}; slots are {known}", code="unknown_slot")
    return slots


def _is_of_stream(name: ChildName, stream: str) -> bool:
    return isinstance(name, SlotName) and name.stream == stream


def send_command(slot: Slot, command: Mapping[str, Any]) -> None:
    """Send a command to a slot's worker, if it has one."""
    if slot.worker is not None:
        processes.send(slot.worker, command)


def names(slots: Iterable[Slot]) -> list[str]:
    """Return the names of slots as text."""
    return [str(slot.name) for slot in slots]


def requester(request: Request) -> str:
    """Return who sent a request: the name that the client claims, and the process that the kernel reports."""
    claimed = request.fields.get("by")
    name = "".join(char for char in claimed if char.isprintable())[:TEXT_CHARS_MAX] if isinstance(claimed, str) else ""
    return f"{name} ({request.peer})" if name else request.peer or "unknown user"
