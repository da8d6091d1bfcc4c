"""Verbs of the control socket."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from eventwriter.config.settings import Settings
from eventwriter.control.protocol import Request
from eventwriter.model import SlotName
from eventwriter.supervisor.requests import WorkerRequest
from eventwriter.supervisor.slot import ChildName, Slot, State
from eventwriter.supervisor.verbs import VERBS, Refusal, dispatch, tap_fields


def slots() -> dict[ChildName, Slot]:
    """Return three slots of two streams, one of them failed."""
    names = [SlotName("NETFLOW", 0), SlotName("NETFLOW", 1), SlotName("LOGS", 0)]
    result: dict[ChildName, Slot] = {name: Slot(name, created_s=0.0) for name in names}
    result[names[2]].state = State.FAILED
    result[names[2]].in_crash_loop = True
    return result


@dataclass
class ScriptedSupervisor:
    """A supervisor that only records calls."""

    slots: dict[ChildName, Slot] = field(default_factory=slots)
    stopping: bool = False
    calls: list[str] = field(default_factory=list)
    settings: Settings | None = None

    def snapshot(self) -> dict[str, Any]:
        """Return a snapshot."""
        return {"status": "healthy"}

    def stop(self, reason: str) -> None:
        """Record the call."""
        self.calls.append(f"stop: {reason}")

    def reload(self) -> dict[str, Any]:
        """Record the call."""
        self.calls.append("reload")
        return {"reloaded": "nothing changed"}

    def preview_reload(self) -> dict[str, Any]:
        """Record the call."""
        self.calls.append("preview reload")
        return {"changes": []}

    def scale(self, stream: str, workers: int) -> dict[str, Any]:
        """Record the call."""
        self.calls.append(f"scale {stream} {workers}")
        return {}

    def set_log_level(self, level: str) -> None:
        """Record the call."""
        self.calls.append(f"log level {level}")


def request(api: ScriptedSupervisor, verb: str, **fields: Any) -> Any:
    """Dispatch one request."""
    return dispatch(api, Request(1, verb, fields, "pid 7, uid 1000"))


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ({"slot": "NETFLOW/1"}, ["NETFLOW/1"]),
        ({"slot": "NETFLOW"}, ["NETFLOW/0", "NETFLOW/1"]),
        ({"slot": "all"}, ["NETFLOW/0", "NETFLOW/1", "LOGS/0"]),
        ({}, ["NETFLOW/0", "NETFLOW/1", "LOGS/0"]),
    ],
)
def test_drain_marks_the_selected_slots(target: dict[str, str], names: list[str]) -> None:
    """A drain affects the named slot, the slots of the named stream, or all."""
    api = ScriptedSupervisor()

    answer = request(api, "drain", **target)

    assert {"draining": names} == answer
    assert names == [str(slot.name) for slot in api.slots.values() if slot.drained]


def test_drain_of_a_failed_slot_stops_it() -> None:
    """A failed slot that is drained is stopped, not failed."""
    api = ScriptedSupervisor()

    request(api, "drain", slot="LOGS")

    assert State.STOPPED == api.slots[SlotName("LOGS", 0)].state


def test_pause_is_kept_until_resume() -> None:
    """A pause is kept for the slot's next workers with its first requester; a resume ends pauses and drains."""
    api = ScriptedSupervisor()
    request(api, "drain", slot="LOGS")
    assert {"pausing": ["NETFLOW/0", "NETFLOW/1"]} == request(api, "pause", slot="NETFLOW", by="alice\x1b[31m")
    request(api, "pause", slot="NETFLOW/0", by="bob")

    pause = api.slots[SlotName("NETFLOW", 0)].sticky_commands["pause"]
    assert ("pause", "alice[31m (pid 7, uid 1000)") == (pause["type"], pause["by"])
    assert {"resuming": ["NETFLOW/0", "NETFLOW/1", "LOGS/0"]} == request(api, "resume", slot="all")
    assert {"resuming": []} == request(api, "resume", slot="all")
    assert [{}, {}, {}] == [slot.sticky_commands for slot in api.slots.values()]
    assert not any(slot.drained for slot in api.slots.values())


@pytest.mark.parametrize("verb", ["restart", "drain"])
def test_restart_or_drain_ends_a_pause(verb: str) -> None:
    """A slot that is restarted or drained is not paused afterwards."""
    api = ScriptedSupervisor()
    request(api, "pause", slot="all")

    request(api, verb, slot="all")

    assert not any(slot.sticky_commands for slot in api.slots.values())


def test_log_level_of_a_slot_is_kept_for_its_next_workers() -> None:
    """The log level of a slot is kept for its next workers, and does not affect other slots."""
    api = ScriptedSupervisor()

    assert {"level": "debug", "slots": ["LOGS/0"], "supervisor": False} == request(
        api, "log_level", level="debug", slot="LOGS"
    )
    assert ["log_level"] == [key for slot in api.slots.values() for key in slot.sticky_commands]


def test_positions_are_requested_from_workers() -> None:
    """The positions are a request to the selected workers."""
    result = request(ScriptedSupervisor(), "positions", slot="NETFLOW")

    assert isinstance(result, WorkerRequest)
    assert ["NETFLOW/0", "NETFLOW/1"] == [str(slot.name) for slot in result.slots]


def test_config_contains_no_secret() -> None:
    """The settings in effect have the form of a file, with secrets as asterisks."""
    api = ScriptedSupervisor(settings=Settings.model_validate({"nats": {"token": "hunter2"}}))

    settings = request(api, "config")["settings"]

    assert ("eventwriter", False) == (settings["consumer_name"], "hunter2" in str(settings))


@pytest.mark.parametrize(
    "fields",
    [
        {"tap": ""},
        {"stage": "cooked"},
        {"filter": 7},
        {"filter": "x" * 201},
        {"per_s": 0},
        {"per_s": True},
        {"per_s": "9"},
    ],
)
def test_invalid_field_of_a_tap_is_refused(fields: dict[str, Any]) -> None:
    """The fields of a tap are checked before workers receive them."""
    with pytest.raises(Refusal) as refusal:
        tap_fields({"tap": "a", **fields})

    assert "invalid_field" == refusal.value.code


def test_restart_ends_drain_and_crash_loop() -> None:
    """A restart ends a drain, and forgets earlier exits."""
    api = ScriptedSupervisor()
    slot = api.slots[SlotName("LOGS", 0)]
    slot.drained = True
    slot.exits_s.extend([1.0, 2.0])

    assert {"restarting": ["LOGS/0"]} == request(api, "restart", slot="LOGS/0")
    assert (False, True, False, 0) == (slot.drained, slot.restart_requested, slot.in_crash_loop, len(slot.exits_s))


def test_verbs_of_the_whole_daemon_call_the_supervisor() -> None:
    """Verbs that concern the whole daemon are passed to the supervisor."""
    api = ScriptedSupervisor()

    request(api, "stop")
    request(api, "reload")
    request(api, "reload", diff=True)
    request(api, "scale", stream="NETFLOW", workers=3)
    request(api, "log_level", level="debug")

    assert [
        "stop: an operator requested it",
        "reload",
        "preview reload",
        "scale NETFLOW 3",
        "log level debug",
    ] == api.calls


@pytest.mark.parametrize(
    ("verb", "fields", "stopping", "code"),
    [
        ("dance", {}, False, "unknown_verb"),
        ("pause", {}, False, "invalid_field"),
        ("resume", {"slot": "all"}, True, "stopping"),
        ("scale", {"stream": "LOGS"}, False, "invalid_field"),
        ("scale", {"stream": "LOGS", "workers": 2}, True, "stopping"),
        ("log_level", {"level": 3}, False, "invalid_field"),
        ("config", {}, False, "refused"),
        ("tap", {"slot": "all", "tap": "a"}, False, "refused"),
        ("restart", {}, False, "invalid_field"),
        ("restart", {"slot": 7}, False, "invalid_field"),
        ("drain", {"slot": "X"}, False, "unknown_slot"),
        ("restart", {"slot": "all"}, True, "stopping"),
        ("reload", {}, True, "stopping"),
    ],
)
def test_impossible_request_is_refused(verb: str, fields: dict[str, Any], stopping: bool, code: str) -> None:
    """A request that cannot be granted is refused with a code."""
    with pytest.raises(Refusal) as refusal:
        request(ScriptedSupervisor(stopping=stopping), verb, **fields)

    assert code == refusal.value.code


@pytest.mark.parametrize("verb", sorted(name for name, verb in VERBS.items() if not verb.for_everyone))
def test_untrusted_peer_changes_nothing(verb: str) -> None:
    """A peer that is not an operator changes nothing, and sees no content of messages."""
    api = ScriptedSupervisor()

    with pytest.raises(Refusal) as refusal:
        dispatch(api, Request(1, verb, {"slot": "all"}, "pid 7, uid 8", is_trusted=False))

    assert "not_permitted" == refusal.value.code
    assert not api.calls
    assert not any(slot.drained or slot.restart_requested for slot in api.slots.values())


def test_untrusted_peer_may_read_the_status() -> None:
    """Every user who can connect may read the status."""
    assert {"status": "healthy"} == dispatch(ScriptedSupervisor(), Request(1, "status", {}, is_trusted=False))


def test_only_verbs_that_show_state_are_for_everyone() -> None:
    """Exactly the verbs that show state, and not the content of messages, are for everyone."""
    assert {"status", "ping", "config", "positions"} == {name for name, verb in VERBS.items() if verb.for_everyone}
