"""Other users of the machine and the control socket: who may connect, and which verbs they may use."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fix_shared_stream import SharedStream

from eventwriter.control.client import Client, Unreachable
from eventwriter.errors import EventwriterError
from eventwriter.supervisor.verbs import VERBS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

OTHER_USER = 65534
READING = tuple(name for name, verb in VERBS.items() if verb.for_everyone)
CHANGING = tuple(name for name in VERBS if name not in READING)


def as_other_user(folder: Path, groups: list[int], work: Callable[[], Any]) -> Any:
    """Call `work` in `folder` in a process of another user, and return its result, which is passed as JSON."""
    folder.chmod(0o711)
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.chdir(folder)  # before the change of user, who may not have access to the parent folders
            os.setgroups(groups)
            os.setgid(OTHER_USER)
            os.setuid(OTHER_USER)
            os.write(writing, json.dumps(work()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as result:
        text = result.read()
    assert 0 == os.waitpid(pid, 0)[1]
    return json.loads(text)


def codes(socket_name: str, verbs: tuple[str, ...]) -> dict[str, str]:
    """Call each verb; return the code of each error, and an empty text for each answer."""
    client = Client(socket_name)
    result = {}
    for verb in verbs:
        try:
            client.call(verb, slot="all")
            result[verb] = ""
        except EventwriterError as error:
            result[verb] = error.code
    return result


def start(shared: SharedStream, **control: Any) -> Path:
    """Start the daemon with these settings of its control socket; return the socket's path."""
    config = json.loads(shared.run.config.read_text())
    config["control"] = {**config.get("control", {}), "socket": shared.run.socket, **control}
    shared.run.config.write_text(json.dumps(config))
    shared.run_until_written()
    return Path(shared.run.socket)


def test_other_user_cannot_connect_by_default(shared: SharedStream) -> None:
    """By default the socket has mode 0660, and another user cannot connect."""
    path = start(shared)

    result = as_other_user(path.parent, [], lambda: codes(path.name, ("status",)))

    assert 0o660 == stat.S_IMODE(path.stat().st_mode)
    assert {"status": Unreachable.default_code} == result


def test_other_user_may_read_but_not_change(shared: SharedStream) -> None:
    """With mode 0666 another user may use the reading verbs; pause, stop, tap and others are refused."""
    path = start(shared, mode="0666")

    reading = as_other_user(path.parent, [], lambda: codes(path.name, READING))
    changing = as_other_user(path.parent, [], lambda: codes(path.name, CHANGING))

    assert dict.fromkeys(READING, "") == reading
    assert {"pause", "stop", "tap", "stacks"} <= set(changing)
    assert {"not_permitted"} == set(changing.values())
    shared.publish(1)
    shared.run_until_written()  # neither paused nor stopped


def test_member_of_the_sockets_group_may_change(shared: SharedStream) -> None:
    """By default a member of the socket's group may connect and pause."""
    path = start(shared)

    result = as_other_user(path.parent, [path.stat().st_gid], lambda: codes(path.name, ("status", "pause")))

    assert {"status": "", "pause": ""} == result
    shared.run.until(lambda s: all(slot["worker_state"] == "paused" for slot in s["slots"]), "paused")
