"""What operators may ask."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from eventwriter.config.settings import Settings
from eventwriter.control.protocol import Request
from eventwriter.model import SlotName
from eventwriter.supervisor.requests import WorkerRequest, tap_fields
from eventwriter.supervisor.slot import Slot, State
from eventwriter.supervisor.verbs import OPEN, VERBS, Refusal, obey


def slots() -> dict[SlotName, Slot]:
    """Return three slots of two streams, one of them resting."""
    names = [SlotName("NETFLOW", 0), SlotName("NETFLOW", 1), SlotName("LOGS", 0)]
    made = {name: Slot(name, born_s=0.0) for name in names}
    made[names[2]].state = State.FAILED
    made[names[2]].looping = True
    return made


@dataclass
class ScriptedDesk:
    """A supervisor that only remembers what it was asked."""

    slots: dict[SlotName, Slot] = field(default_factory=slots)
    stopping: bool = False
    calls: list[str] = field(default_factory=list)
    settings: Settings | None = None

    def picture(self) -> dict[str, Any]:
        """Return a snapshot."""
        return {"status": "healthy"}

    def stop(self, reason: str) -> None:
        """Remember."""
        self.calls.append(f"stop: {reason}")

    def reload(self) -> dict[str, Any]:
        """Remember."""
        self.calls.append("reload")
        return {"reloaded": "nothing changed"}

    def preview(self) -> dict[str, Any]:
        """Remember."""
        self.calls.append("preview")
        return {"changes": []}

    def scale(self, stream: str, workers: int) -> dict[str, Any]:
        """Remember."""
        self.calls.append(f"scale {stream} {workers}")
        return {}

    def log_level(self, level: str) -> None:
        """Remember."""
        self.calls.append(f"log level {level}")


def ask(desk: ScriptedDesk, verb: str, **fields: Any) -> Any:
    """Ask one question."""
    return obey(desk, Request(1, verb, fields, "pid 7, uid 1000"))


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ({"slot": "NETFLOW/1"}, ["NETFLOW/1"]),
        ({"slot": "NETFLOW"}, ["NETFLOW/0", "NETFLOW/1"]),
        ({"slot": "all"}, ["NETFLOW/0", "NETFLOW/1", "LOGS/0"]),
        ({}, ["NETFLOW/0", "NETFLOW/1", "LOGS/0"]),
    ],
)
def test_drain_holds_what_it_names(target: dict[str, str], names: list[str]) -> None:
    """A drain holds the slot, the stream's slots, or all."""
    desk = ScriptedDesk()

    answer = ask(desk, "drain", **target)

    assert {"draining": names} == answer
    assert names == [str(slot.name) for slot in desk.slots.values() if slot.held]


def test_drain_of_a_resting_slot_stops_it() -> None:
    """A failed slot that is drained is stopped, not failed."""
    desk = ScriptedDesk()

    ask(desk, "drain", slot="LOGS")

    assert State.STOPPED == desk.slots[SlotName("LOGS", 0)].state


def test_pause_stands_until_resume() -> None:
    """A pause is kept for the slot's next workers, with who asked first; a resume takes it back, and lifts a hold."""
    desk = ScriptedDesk()
    ask(desk, "drain", slot="LOGS")
    assert {"pausing": ["NETFLOW/0", "NETFLOW/1"]} == ask(desk, "pause", slot="NETFLOW", by="alice\x1b[31m")
    ask(desk, "pause", slot="NETFLOW/0", by="bob")

    slot = desk.slots[SlotName("NETFLOW", 0)]
    assert ("pause", "alice[31m (pid 7, uid 1000)") == (slot.standing["pause"]["type"], slot.standing["pause"]["by"])
    assert {"resuming": ["NETFLOW/0", "NETFLOW/1", "LOGS/0"]} == ask(desk, "resume", slot="all")
    assert [{}, {}, {}] == [one.standing for one in desk.slots.values()]
    assert not any(one.held for one in desk.slots.values())


@pytest.mark.parametrize("verb", ["restart", "drain"])
def test_pause_ends_with_a_restart_or_a_drain(verb: str) -> None:
    """Who starts a slot anew, or ends it, does not find it paused afterwards."""
    desk = ScriptedDesk()
    ask(desk, "pause", slot="all")

    ask(desk, verb, slot="all")

    assert not any(slot.standing for slot in desk.slots.values())


def test_log_level_of_a_slot_stands_for_its_next_workers() -> None:
    """A slot's own level outlives its worker, and is no other's."""
    desk = ScriptedDesk()

    assert {"level": "debug", "slots": ["LOGS/0"], "supervisor": False} == ask(
        desk, "log_level", level="debug", slot="LOGS"
    )
    assert ["log_level"] == [key for slot in desk.slots.values() for key in slot.standing]


def test_look_is_a_question_to_workers() -> None:
    """What only workers know is not answered at once."""
    question = ask(ScriptedDesk(), "look", slot="NETFLOW")

    assert isinstance(question, WorkerRequest)
    assert ["NETFLOW/0", "NETFLOW/1"] == [str(slot.name) for slot in question.slots]


def test_config_shows_no_secret() -> None:
    """The settings in effect are shown as a file has them, secrets as asterisks."""
    desk = ScriptedDesk(settings=Settings.model_validate({"nats": {"token": "hunter2"}}))

    shown = ask(desk, "config")["settings"]

    assert ("eventwriter", False) == (shown["consumer_name"], "hunter2" in str(shown))


@pytest.mark.parametrize(
    "wrong",
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
def test_tap_refuses_what_it_cannot_do(wrong: dict[str, Any]) -> None:
    """A tap's fields are checked before a worker hears of it."""
    with pytest.raises(Refusal):
        tap_fields({"tap": "a", **wrong})


def test_restart_forgives() -> None:
    """A restart lifts a hold and forgets the crash loop."""
    desk = ScriptedDesk()
    slot = desk.slots[SlotName("LOGS", 0)]
    slot.held = True
    slot.exits_s.extend([1.0, 2.0])

    assert {"restarting": ["LOGS/0"]} == ask(desk, "restart", slot="LOGS/0")
    assert (False, True, False, 0) == (slot.held, slot.restart_asked, slot.looping, len(slot.exits_s))


def test_stop_and_reload_reach_the_supervisor() -> None:
    """Verbs that concern the whole daemon are passed on."""
    desk = ScriptedDesk()

    ask(desk, "stop")
    ask(desk, "reload")
    ask(desk, "reload", diff=True)
    ask(desk, "scale", stream="NETFLOW", workers=3)
    ask(desk, "log_level", level="debug")

    assert ["stop: an operator asked for it", "reload", "preview", "scale NETFLOW 3", "log level debug"] == desk.calls


@pytest.mark.parametrize(
    ("verb", "fields", "stopping", "sentence"),
    [
        ("dance", {}, False, f"no verb is called 'dance'; there are {', '.join(VERBS)}"),
        ("pause", {}, False, "pause needs a slot, a stream, or all; slots are NETFLOW/0, NETFLOW/1, LOGS/0"),
        ("resume", {"slot": "LOGS"}, False, "nothing of LOGS is paused or drained"),
        ("resume", {"slot": "all"}, True, "the daemon is stopping: start it again instead"),
        ("scale", {"stream": "LOGS"}, False, "scale needs a stream's name in `stream` and a number in `workers`"),
        ("scale", {"stream": "LOGS", "workers": 2}, True, "the daemon is stopping: nothing is started"),
        ("log_level", {"level": 3}, False, "a log level is one of debug, info, warning, error, not 3"),
        ("config", {}, False, "this daemon was not started from settings"),
        ("tap", {"slot": "all", "tap": "a"}, False, "no worker runs there: there is nothing to see; see `status`"),
        ("restart", {}, False, "restart needs a slot, a stream, or all; slots are NETFLOW/0, NETFLOW/1, LOGS/0"),
        (
            "restart",
            {"slot": 7},
            False,
            "restart needs a slot, a stream, or all; slots are NETFLOW/0, NETFLOW/1, LOGS/0",
        ),
        ("drain", {"slot": "X"}, False, "no slot or stream is called 'X'; slots are NETFLOW/0, NETFLOW/1, LOGS/0"),
        ("restart", {"slot": "all"}, True, "the daemon is stopping: start it again instead"),
        ("reload", {}, True, "the daemon is stopping: nothing is read again"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    verb: str, fields: dict[str, Any], stopping: bool, sentence: str
) -> None:
    """A refusal says why and what there is."""
    with pytest.raises(Refusal) as refusal:
        ask(ScriptedDesk(stopping=stopping), verb, **fields)

    assert sentence == str(refusal.value)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - set(OPEN)))
def test_who_may_only_look_is_refused_and_told(verb: str) -> None:
    """Whoever is neither root, the daemon's user nor of its group changes nothing, and sees no message's content."""
    desk = ScriptedDesk()

    with pytest.raises(Refusal, match=f"{verb} is for root, .* pid 7, uid 8 may only look: status"):
        obey(desk, Request(1, verb, {"slot": "all"}, "pid 7, uid 8", is_trusted=False))

    assert not desk.calls
    assert not any(slot.held or slot.restart_asked for slot in desk.slots.values())


def test_who_may_only_look_may_look() -> None:
    """Status is for everybody who can connect."""
    assert {"status": "healthy"} == obey(ScriptedDesk(), Request(1, "status", {}, is_trusted=False))


def test_verbs_that_change_are_none_of_the_open_ones() -> None:
    """What everybody may ask is exactly what shows state."""
    assert {"status", "ping", "config", "look"} == set(OPEN)
