"""What operators may ask."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from eventwriter.control.protocol import Request
from eventwriter.model import SlotName
from eventwriter.supervisor.slot import Slot, State
from eventwriter.supervisor.verbs import Refusal, obey


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

    def picture(self) -> dict[str, Any]:
        """Return a snapshot."""
        return {"status": "healthy"}

    def stop(self, reason: str) -> None:
        """Remember."""
        self.calls.append(f"stop: {reason}")

    def reload(self) -> str:
        """Remember."""
        self.calls.append("reload")
        return "nothing changed"


def ask(desk: ScriptedDesk, verb: str, **fields: Any) -> Any:
    """Ask one question."""
    return obey(desk, Request(1, verb, fields))


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

    assert ["stop: an operator asked for it", "reload"] == desk.calls


@pytest.mark.parametrize(
    ("verb", "fields", "stopping", "sentence"),
    [
        ("dance", {}, False, "no verb is called 'dance'; there are status, ping, drain, restart, stop, reload"),
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
