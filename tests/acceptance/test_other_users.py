"""Another user of the machine on a running daemon's control socket: who may connect, and what that one may ask."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fix_books import Shared

from eventwriter.control.client import Client
from eventwriter.errors import EventwriterError
from eventwriter.supervisor.verbs import VERBS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

STRANGER = 65534
OPEN = tuple(name for name, verb in VERBS.items() if verb.for_everyone)
CHANGING = tuple(name for name in VERBS if name not in OPEN)


def as_stranger(folder: Path, groups: list[int], work: Callable[[], Any]) -> Any:
    """Return what `work` returns in a process of another user, with a folder as its own; as JSON."""
    folder.chmod(0o711)
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.chdir(folder)  # while root: folders above may be closed to others
            os.setgroups(groups)
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            os.write(writing, json.dumps(work()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as answer:
        text = answer.read()
    assert 0 == os.waitpid(pid, 0)[1]
    return json.loads(text)


def answers(socket_name: str, verbs: tuple[str, ...]) -> dict[str, str]:
    """Ask each verb; return the sentence of each refusal, nothing for what is answered."""
    client = Client(socket_name)
    said = {}
    for verb in verbs:
        try:
            client.call(verb, slot="all")
            said[verb] = ""
        except EventwriterError as error:
            said[verb] = str(error)
    return said


def started(shared: Shared, **control: Any) -> Path:
    """Start the daemon with these further settings of its socket; return the socket's path."""
    config = json.loads(shared.run.config.read_text())
    config["control"] = {**config.get("control", {}), "socket": shared.run.socket, **control}
    shared.run.config.write_text(json.dumps(config))
    shared.written()
    return Path(shared.run.socket)


def test_stranger_cannot_connect_by_default(shared: Shared) -> None:
    """By default the socket's mode is 0660, and another user may not even look."""
    path = started(shared)

    said = as_stranger(path.parent, [], lambda: answers(path.name, ("status",)))

    assert 0o660 == stat.S_IMODE(path.stat().st_mode)
    assert ["status"] == list(said)
    assert "control.mode" in said["status"]


def test_stranger_may_look_and_change_nothing(shared: Shared) -> None:
    """With mode 0666 another user may look; to pause, stop and look into messages is refused, each by a sentence."""
    path = started(shared, mode="0666")

    looked = as_stranger(path.parent, [], lambda: answers(path.name, OPEN))
    refused = as_stranger(path.parent, [], lambda: answers(path.name, CHANGING))

    assert dict.fromkeys(OPEN, "") == looked
    assert {"pause", "stop", "tap", "stacks"} <= set(refused)
    for verb, sentence in refused.items():
        assert sentence.startswith(
            f"{verb} requires root, the daemon's own user or a member of the control socket's group; pid "
        ), sentence
        assert sentence.endswith(f", uid {STRANGER} may use only status, ping, config, positions")
    shared.publish(1)
    shared.written()  # neither paused nor stopped


def test_member_of_the_sockets_group_may_change_things(shared: Shared) -> None:
    """By default a member of the socket's group may connect, and pause."""
    path = started(shared)

    said = as_stranger(path.parent, [path.stat().st_gid], lambda: answers(path.name, ("status", "pause")))

    assert {"status": "", "pause": ""} == said
    shared.run.until(lambda s: all(slot["worker_state"] == "paused" for slot in s["slots"]), "paused")
